"""Finds the files of a Delta table that may contain a matching row, and their sizes, from the log alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from stagebook.delta import estimate, predicates
from stagebook.delta.arrow import read_all
from stagebook.delta.bounds import ALL_NULL, Bounds, from_log, from_partition, may_match, python_values
from stagebook.delta.predicates import Condition
from stagebook.errors import UnknownColumn
from stagebook.model.tables import Predicates, TableSize

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

PHYSICAL_NAME = b"delta.columnMapping.physicalName"


@dataclass(frozen=True)
class DataFile:
    """One data file: its path below the table's folder (or a URI), and its entry in the log.

    `rows` includes rows that a deletion vector hides; None where the log has no count. `modified_at` is
    in milliseconds since 1970.
    """

    path: str
    size_bytes: int
    rows: int | None
    modified_at: int
    partition: Mapping[str, Any]


class FileStatistics:
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
            DataFile(unquote(path), size_bytes, rows, modified, partition)
            for path, size_bytes, rows, modified, partition in zip(*columns, partitions, strict=True)
        ]

    def check(self, where: Predicates) -> tuple[Condition, ...]:
        """The conditions, checked against the table's columns.

        Raises:
            UnknownColumn, BadPredicate: see `predicates.check`.
        """
        return predicates.check(where, self.schema)

    def bounds(self, column: str) -> list[Bounds]:
        """The bounds of a column in each file, according to the log."""
        kind = self.schema.field(column).type
        if column in self.partition_by:
            return [from_partition(value, kind) for value in self._statistic("partition", column)]
        physical = physical_name(self.schema, column)
        lows, highs = self._statistic("min", physical), self._statistic("max", physical)
        return [
            ALL_NULL if rows is not None and nulls == rows else from_log(low, high, kind)
            for low, high, nulls, rows in zip(lows, highs, self.nulls(column), self._column("num_records"), strict=True)
        ]

    def nulls(self, column: str) -> list[int | None]:
        """The number of nulls of a column in each file; None where the log has no count."""
        return self._statistic("null_count", physical_name(self.schema, column))

    def _statistic(self, group: str, column: str) -> list[Any]:
        import pyarrow as pa

        if group in self._actions.column_names:
            struct = self._actions[group].combine_chunks()
            names = [field.name for field in struct.type]
            if names.count(column) == 1:
                values = struct.field(column)
                return [None] * len(struct) if pa.types.is_nested(values.type) else python_values(values)
        return [None] * self._actions.num_rows

    def _column(self, name: str) -> list[Any]:
        return self._actions[name].to_pylist()


def physical_name(schema: "pa.Schema", column: str) -> str:
    """The name of a column in the files and their statistics; it differs where the table maps columns."""
    metadata = schema.field(column).metadata or {}
    return metadata.get(PHYSICAL_NAME, column.encode()).decode()


def files_that_may_match(files: FileStatistics, condition: Condition) -> list[bool]:
    """For each file, whether it may contain a row that meets the condition."""
    return [may_match(condition, bounds) for bounds in files.bounds(condition.column)]


def columns_to_read(files: FileStatistics, columns: Sequence[str] | None, conditions: Sequence[Condition]) -> list[str]:
    """The columns that a read of `columns` (None: all) under these conditions needs from the files.

    Raises:
        UnknownColumn: `columns` names a column that the table does not have.
    """
    names = files.schema.names
    for column in columns or ():
        if column not in names:
            raise UnknownColumn.of(column, columns=names)
    needed = {*(names if columns is None else columns), *(condition.column for condition in conditions)}
    return [name for name in names if name in needed]


def size_of_read(table: "DeltaTable", columns: Sequence[str] | None = None, where: Predicates = ()) -> TableSize:
    """The size of a read of the version at which `table` was opened; see `TableSize`.

    Never excludes a file that has a matching row. A condition that bounds a float from below excludes no
    file, because statistics omit NaN.

    Raises:
        UnknownColumn, BadPredicate: `columns` or `where` do not fit the table.
    """
    files = FileStatistics(table)
    conditions = files.check(where)
    names = columns_to_read(files, columns, conditions)
    bounds = {condition.column: files.bounds(condition.column) for condition in conditions}
    nulls = {column: files.nulls(column) for column in bounds}
    matching, estimated_rows = [], 0.0
    for position, file in enumerate(files.all):
        file_bounds = [(condition, bounds[condition.column][position]) for condition in conditions]
        if not all(may_match(*pair) for pair in file_bounds):
            continue
        matching.append(file)
        rows = file.rows or 0
        non_null_shares = [1 - (counts[position] or 0) / rows for counts in nulls.values()] if rows else []
        estimated_rows += rows * estimate.matching_share(file_bounds) * min(non_null_shares, default=1.0)
    rows = total_rows(matching)
    return TableSize(
        version=table.version(),
        files=len(matching),
        rows=rows,
        size_bytes=sum(file.size_bytes for file in matching),
        all_files=len(files.all),
        all_rows=total_rows(files.all),
        all_bytes=sum(file.size_bytes for file in files.all),
        estimated_rows=None if rows is None else min(rows, round(estimated_rows)),
        column_share=_column_share(files, names),
        row_bytes=estimate.row_bytes([files.schema.field(name).type for name in names]),
    )


def total_rows(files: Sequence[DataFile]) -> int | None:
    """Rows of these files, or None if the log does not count them all."""
    counts = [file.rows for file in files]
    return None if None in counts else sum(count for count in counts if count is not None)


def _column_share(files: FileStatistics, columns: Sequence[str]) -> float:
    """The share of a file's bytes, by the widths of the types: the log does not record compressed sizes."""

    def width(names: Sequence[str]) -> int:
        stored = [name for name in names if name not in files.partition_by]
        return estimate.row_bytes(
            [files.schema.field(name).type for name in stored], text_bytes=estimate.TEXT_BYTES_ON_DISK
        )

    full_width = width(files.schema.names)
    return width(columns) / full_width if full_width else 1.0
