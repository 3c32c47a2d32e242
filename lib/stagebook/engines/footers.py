"""What a read touches inside its files: row groups and the bytes of columns, from the Parquet footers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.engines import pruning
from stagebook.engines.bounds import ALL_NULL, UNKNOWN, Bounds, fitting, from_values, may_hold
from stagebook.engines.deltalog import opened
from stagebook.engines.predicates import Condition
from stagebook.errors import DamagedTable
from stagebook.model.tables import Predicates
from stagebook.model.upkeep import Reading, Ruled

if TYPE_CHECKING:
    import pyarrow.parquet as pq


def explain(path: Path, version: int, columns: Sequence[str] | None, where: Predicates) -> Reading:
    """Files, row groups and bytes that a read touches, and what each condition rules out by itself.

    The log tells the files; of those that remain the footers are read, nothing else.

    Raises:
        UnknownColumn, BadPredicate: `columns` or `where` do not fit the table.
        DamagedTable: a file that the log names is gone.
    """
    files = pruning.Files(opened(path, version))
    conditions = files.check(where)
    wanted = pruning.wanted_columns(files, columns, conditions)
    stay = [pruning.survivors(files, condition) for condition in conditions]
    kept = [file for number, file in enumerate(files.all) if all(by_file[number] for by_file in stay)]
    groups = [group for file in kept for group in _groups(path, file, files, wanted, conditions)]
    reached = [group for group in groups if all(group.holds)]
    return Reading(
        version=version,
        columns=wanted,
        ruled=[
            Ruled(
                condition=_words(condition),
                files=by_file.count(False),
                row_groups=sum(not group.holds[number] for group in groups),
            )
            for number, (condition, by_file) in enumerate(zip(conditions, stay, strict=True))
        ],
        files=len({group.file for group in reached}),
        all_files=len(files.all),
        row_groups=len(reached),
        all_row_groups=len(groups),
        rows=sum(group.rows for group in reached),
        all_rows=pruning.total_rows(files.all),
        size_bytes=sum(group.column_bytes for group in reached),
        all_bytes=sum(file.size_bytes for file in files.all),
    )


def _words(condition: Condition) -> str:
    values = ", ".join(map(str, condition.values))
    return f"{condition.column} {condition.op} {f'[{values}]' if condition.op == 'in' else values}"


@dataclass(frozen=True)
class _Group:
    """One row group: its file, rows, bytes of the wanted columns, and for each condition whether it can hold a row."""

    file: str
    rows: int
    column_bytes: int
    holds: Sequence[bool]


def _groups(
    path: Path,
    file: pruning.DataFile,
    files: pruning.Files,
    wanted: Sequence[str],
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
        taken = [chunk for chunk in chunks if any(_is_of(chunk, physical[name]) for name in wanted)]
        holds = [
            may_hold(condition, _bounds([c for c in chunks if _is_of(c, physical[condition.column])], condition))
            for condition in conditions
        ]
        size = sum(chunk.total_compressed_size for chunk in taken)
        groups.append(_Group(file.path, group.num_rows, size, holds))
    return groups


def _is_of(chunk: "pq.ColumnChunkMetaData", column: str) -> bool:
    """Whether a chunk is of this column, or of a field inside of it."""
    return chunk.path_in_schema == column or chunk.path_in_schema.startswith(f"{column}.")


def _bounds(chunks: "Sequence[pq.ColumnChunkMetaData]", condition: Condition) -> Bounds:
    """What the footer tells of a column in one row group; nothing of a partition's column, which is in no file."""
    statistics: Any = chunks[0].statistics if len(chunks) == 1 else None
    if statistics is None:
        return UNKNOWN
    if statistics.has_null_count and statistics.null_count == chunks[0].num_values:
        return ALL_NULL
    if not statistics.has_min_max:
        return UNKNOWN
    low, high = (fitting(value, condition.type) for value in (statistics.min, statistics.max))
    return from_values(low, high, condition.type)
