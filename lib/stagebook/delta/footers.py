"""Explains a read from Parquet footers: the row groups that it touches, and the bytes of its columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.delta import pruning
from stagebook.delta.bounds import ALL_NULL, UNKNOWN, Bounds, from_values, may_match, typed_statistic
from stagebook.delta.log import open_table
from stagebook.delta.predicates import Condition
from stagebook.errors import DamagedTable
from stagebook.model.maintenance import ConditionPruning, ReadExplanation
from stagebook.model.tables import Predicates

if TYPE_CHECKING:
    import pyarrow.parquet as pq


def explain(path: Path, version: int, columns: Sequence[str] | None, where: Predicates) -> ReadExplanation:
    """Files, row groups and bytes that a read touches, and what each condition alone excludes.

    The log excludes files first; of the remaining files only the footers are read.

    Raises:
        UnknownColumn, BadPredicate: `columns` or `where` do not fit the table.
        DamagedTable: a file that the log names does not exist.
    """
    files = pruning.FileStatistics(open_table(path, version))
    conditions = files.check(where)
    names = pruning.columns_to_read(files, columns, conditions)
    matches = [pruning.files_that_may_match(files, condition) for condition in conditions]
    remaining = [file for number, file in enumerate(files.all) if all(by_file[number] for by_file in matches)]
    groups = [group for file in remaining for group in _groups(path, file, files, names, conditions)]
    touched = [group for group in groups if all(group.may_match)]
    return ReadExplanation(
        version=version,
        columns=names,
        conditions=[
            ConditionPruning(
                condition=_condition_text(condition),
                files=by_file.count(False),
                row_groups=sum(not group.may_match[number] for group in groups),
            )
            for number, (condition, by_file) in enumerate(zip(conditions, matches, strict=True))
        ],
        files=len({group.file for group in touched}),
        all_files=len(files.all),
        row_groups=len(touched),
        all_row_groups=len(groups),
        rows=sum(group.rows for group in touched),
        all_rows=pruning.total_rows(files.all),
        size_bytes=sum(group.column_bytes for group in touched),
        all_bytes=sum(file.size_bytes for file in files.all),
    )


def _condition_text(condition: Condition) -> str:
    values = ", ".join(map(str, condition.values))
    return f"{condition.column} {condition.op} {f'[{values}]' if condition.op == 'in' else values}"


@dataclass(frozen=True)
class _Group:
    """One row group: its file, rows, bytes of the columns read, and for each condition whether a row may match."""

    file: str
    rows: int
    column_bytes: int
    may_match: Sequence[bool]


def _groups(
    path: Path,
    file: pruning.DataFile,
    files: pruning.FileStatistics,
    names: Sequence[str],
    conditions: Sequence[Condition],
) -> list[_Group]:
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(path / file.path)
    except FileNotFoundError:
        raise DamagedTable.of(str(path), [file.path]) from None
    physical = {name: pruning.physical_name(files.schema, name) for name in files.schema.names}
    groups = []
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        chunks = [group.column(position) for position in range(group.num_columns)]
        chunks_read = [chunk for chunk in chunks if any(_is_of(chunk, physical[name]) for name in names)]
        matches = [
            may_match(condition, _bounds([c for c in chunks if _is_of(c, physical[condition.column])], condition))
            for condition in conditions
        ]
        size = sum(chunk.total_compressed_size for chunk in chunks_read)
        groups.append(_Group(file.path, group.num_rows, size, matches))
    return groups


def _is_of(chunk: "pq.ColumnChunkMetaData", column: str) -> bool:
    """Whether a chunk belongs to this column or to a field inside it."""
    return chunk.path_in_schema == column or chunk.path_in_schema.startswith(f"{column}.")


def _bounds(chunks: "Sequence[pq.ColumnChunkMetaData]", condition: Condition) -> Bounds:
    """The footer's bounds of a column in one row group; unknown for a partition column, which is in no file."""
    statistics: Any = chunks[0].statistics if len(chunks) == 1 else None
    if statistics is None:
        return UNKNOWN
    if statistics.has_null_count and statistics.null_count == chunks[0].num_values:
        return ALL_NULL
    if not statistics.has_min_max:
        return UNKNOWN
    low, high = (typed_statistic(value, condition.type) for value in (statistics.min, statistics.max))
    return from_values(low, high, condition.type)
