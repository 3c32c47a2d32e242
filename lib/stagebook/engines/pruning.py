"""Which files of a Delta table can hold a matching row, and how large they are, from the log alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from stagebook.engines import estimate, predicates
from stagebook.engines.arrow import read_all
from stagebook.engines.bounds import ALL_NULL, Bounds, from_log, from_partition, may_hold, values
from stagebook.engines.predicates import Condition
from stagebook.errors import UnknownColumn
from stagebook.model.tables import Predicates, TableSize

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

PHYSICAL_NAME = b"delta.columnMapping.physicalName"


@dataclass(frozen=True)
class DataFile:
    """One data file: its path below the table's folder (or a URI), and what the log says of it.

    `rows` counts rows that a deletion vector hides too; None where the log has no count. `modified_at` is
    in milliseconds since 1970.
    """

    path: str
    size_bytes: int
    rows: int | None
    modified_at: int
    partition: Mapping[str, Any]


class Files:
    """The files of one version of a table, with their statistics."""

    def __init__(self, table: "DeltaTable") -> None:
        import pyarrow as pa

        self.table = table
        self.schema: pa.Schema = pa.schema(table.schema().to_arrow())
        self.partition_by: tuple[str, ...] = tuple(table.metadata().partition_columns)
        # Not flattened: a column named "a.b" and a field b of a struct a would get one name.
        self._actions = read_all(table.get_add_actions())

    @cached_property
    def all(self) -> list[DataFile]:
        """All files in the order of the log."""
        by_column = [self._statistic("partition", name) for name in self.partition_by]
        rows = zip(*by_column, strict=True) if by_column else [()] * self._actions.num_rows
        partitions = [dict(zip(self.partition_by, row, strict=True)) for row in rows]
        columns = (self._column(name) for name in ("path", "size_bytes", "num_records", "modification_time"))
        return [
            DataFile(unquote(path), size, rows, modified, partition)
            for path, size, rows, modified, partition in zip(*columns, partitions, strict=True)
        ]

    def check(self, where: Predicates) -> tuple[Condition, ...]:
        """The conditions, checked against the table's columns.

        Raises:
            UnknownColumn, BadPredicate: see `predicates.check`.
        """
        return predicates.check(where, self.schema)

    def bounds(self, column: str) -> list[Bounds]:
        """What the log tells of a column in each file."""
        kind = self.schema.field(column).type
        if column in self.partition_by:
            return [from_partition(value, kind) for value in self._statistic("partition", column)]
        physical = physical_name(self.schema, column)
        low, high = self._statistic("min", physical), self._statistic("max", physical)
        return [
            ALL_NULL if rows is not None and nulls == rows else from_log(least, most, kind)
            for least, most, nulls, rows in zip(low, high, self.nulls(column), self._column("num_records"), strict=True)
        ]

    def nulls(self, column: str) -> list[int | None]:
        """How many nulls a column has in each file; None where the log does not say."""
        return self._statistic("null_count", physical_name(self.schema, column))

    def _statistic(self, group: str, column: str) -> list[Any]:
        import pyarrow as pa

        if group in self._actions.column_names:
            struct = self._actions[group].combine_chunks()
            names = [field.name for field in struct.type]
            if names.count(column) == 1:
                found = struct.field(column)
                return [None] * len(struct) if pa.types.is_nested(found.type) else values(found)
        return [None] * self._actions.num_rows

    def _column(self, name: str) -> list[Any]:
        return self._actions[name].to_pylist()


def physical_name(schema: "pa.Schema", column: str) -> str:
    """What the files and their statistics call a column: another name where the table maps columns."""
    metadata = schema.field(column).metadata or {}
    return metadata.get(PHYSICAL_NAME, column.encode()).decode()


def survivors(files: Files, condition: Condition) -> list[bool]:
    """For each file, whether it can hold a row that meets the condition."""
    return [may_hold(condition, bounds) for bounds in files.bounds(condition.column)]


def wanted_columns(files: Files, columns: Sequence[str] | None, conditions: Sequence[Condition]) -> list[str]:
    """The columns that a read of `columns` (None: all) under these conditions takes from the files.

    Raises:
        UnknownColumn: if `columns` names one that the table does not have.
    """
    names = files.schema.names
    for column in columns or ():
        if column not in names:
            raise UnknownColumn.of(column, known=names)
    wanted = {*(names if columns is None else columns), *(condition.column for condition in conditions)}
    return [name for name in names if name in wanted]


def size(table: "DeltaTable", columns: Sequence[str] | None = None, where: Predicates = ()) -> TableSize:
    """What a read touches of the version at which `table` was opened; see `TableSize`.

    Never leaves out a file that has a matching row. A condition that bounds a float from below keeps every
    file, because statistics leave NaN out.

    Raises:
        UnknownColumn, BadPredicate: `columns` or `where` do not fit the table.
    """
    files = Files(table)
    conditions = files.check(where)
    wanted = wanted_columns(files, columns, conditions)
    known = {condition.column: files.bounds(condition.column) for condition in conditions}
    nulls = {column: files.nulls(column) for column in known}
    kept, likely = [], 0.0
    for position, file in enumerate(files.all):
        bounds = [(condition, known[condition.column][position]) for condition in conditions]
        if not all(may_hold(condition, found) for condition, found in bounds):
            continue
        kept.append(file)
        rows = file.rows or 0
        present = [1 - (counts[position] or 0) / rows for counts in nulls.values()] if rows else []
        likely += rows * estimate.matching_share(bounds) * min(present, default=1.0)
    rows = total_rows(kept)
    return TableSize(
        version=table.version(),
        files=len(kept),
        rows=rows,
        size_bytes=sum(file.size_bytes for file in kept),
        all_files=len(files.all),
        all_rows=total_rows(files.all),
        all_bytes=sum(file.size_bytes for file in files.all),
        estimated_rows=None if rows is None else min(rows, round(likely)),
        column_share=_column_share(files, wanted),
        row_bytes=estimate.row_bytes([files.schema.field(name).type for name in wanted]),
    )


def total_rows(files: Sequence[DataFile]) -> int | None:
    """Rows of these files, or None if the log does not count them all."""
    counts = [file.rows for file in files]
    return None if None in counts else sum(count for count in counts if count is not None)


def _column_share(files: Files, wanted: Sequence[str]) -> float:
    """By the widths of the types: how well a column compresses, the log does not tell."""

    def width(names: Sequence[str]) -> int:
        stored = [name for name in names if name not in files.partition_by]
        return estimate.row_bytes(
            [files.schema.field(name).type for name in stored], text_bytes=estimate.TEXT_BYTES_ON_DISK
        )

    whole = width(files.schema.names)
    return width(wanted) / whole if whole else 1.0
