"""What changes the files of a Delta table and not its rows, by delta-rs: Z-order and compaction."""

from collections.abc import Sequence
from pathlib import Path

from stagebook.engines.creation import file_properties
from stagebook.engines.deltalog import DeltaLog, may_change_rows, opened, read_metadata, versions
from stagebook.engines.memory import memory
from stagebook.engines.protocol import Protocol, unwritable
from stagebook.errors import UnwritableTable

Z_ORDER = "stagebook.z_order"
"""The key of a commit's metadata that names the columns by which the files were ordered."""


def refuse_foreign(path: Path) -> None:
    """Refuse to touch the files of a table that delta-rs must not write.

    Raises:
        UnwritableTable: with the features.
    """
    if features := unwritable(Protocol.of(opened(path))):
        raise UnwritableTable.of(str(path), engine="delta-rs", features=features)


def z_order(path: Path, columns: Sequence[str], target_file_bytes: int) -> int | None:
    """Write all files anew, ordered by several columns at once; gives the commit's version.

    Sorts beyond half of the free memory on disk. The commit says `dataChange: false`, so it is no new content.

    Raises:
        WriteConflict: another writer was faster; the same call may be made again.
    """
    return _rearranged(path, columns, target_file_bytes)


def compact(path: Path, target_file_bytes: int) -> int | None:
    """Put small files together; gives the commit's version, None where there was nothing to put together.

    Raises:
        WriteConflict: another writer was faster; the same call may be made again.
    """
    return _rearranged(path, (), target_file_bytes)


def ordered_by(path: Path) -> tuple[str, ...]:
    """By which columns all files have been ordered since the last commit that changed rows; empty if by none."""
    for version in sorted(versions(path), reverse=True):
        if columns := read_metadata(path, version).get(Z_ORDER):
            return tuple(columns)
        if may_change_rows(path, version):
            break
    return ()


def _rearranged(path: Path, columns: Sequence[str], target_file_bytes: int) -> int | None:
    from deltalake import CommitProperties
    from deltalake.exceptions import CommitFailedError

    refuse_foreign(path)
    table = opened(path)
    before = table.version()
    metadata = {Z_ORDER: list(columns)} if columns else None
    options = {
        "target_size": target_file_bytes,
        "max_spill_size": memory().free // 2,
        "writer_properties": file_properties(),
        "commit_properties": CommitProperties(custom_metadata=metadata, max_commit_retries=0),
    }
    try:
        if columns:
            table.optimize.z_order(list(columns), **options)
        else:
            table.optimize.compact(**options)
    except CommitFailedError as fault:
        raise DeltaLog().conflict(path) from fault
    return table.version() if table.version() > before else None
