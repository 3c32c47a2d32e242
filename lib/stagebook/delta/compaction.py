"""Z-order and compaction by delta-rs: they rewrite the files of a Delta table and keep its rows."""

from collections.abc import Sequence
from pathlib import Path

from stagebook.delta.creation import file_properties
from stagebook.delta.log import DeltaLog, may_change_rows, open_table, read_metadata, versions
from stagebook.delta.protocol import Protocol, unwritable
from stagebook.errors import UnwritableTable
from stagebook.machine import memory

Z_ORDER = "stagebook.z_order"
"""Key of a commit's metadata: the columns by which the files were ordered."""


def require_writable(path: Path) -> None:
    """Refuse to rewrite the files of a table that delta-rs must not write.

    Raises:
        UnwritableTable: names the features that a write would damage.
    """
    if features := unwritable(Protocol.of(open_table(path))):
        raise UnwritableTable.of(str(path), engine="delta-rs", features=features)


def z_order(path: Path, columns: Sequence[str], target_file_bytes: int) -> int | None:
    """Rewrite all files, ordered by several columns at once; returns the commit's version.

    Sorts on disk beyond half of the free memory. The commit says `dataChange: false`, so the content stays the same.

    Raises:
        WriteConflict: another writer committed first; the same call may be repeated.
    """
    return _rewrite_files(path, columns, target_file_bytes)


def compact(path: Path, target_file_bytes: int) -> int | None:
    """Merge small files; returns the commit's version, None where there was nothing to merge.

    Raises:
        WriteConflict: another writer committed first; the same call may be repeated.
    """
    return _rewrite_files(path, (), target_file_bytes)


def ordered_by(path: Path) -> tuple[str, ...]:
    """The columns by which all files have been ordered since rows last changed; empty if by none."""
    for version in sorted(versions(path), reverse=True):
        if columns := read_metadata(path, version).get(Z_ORDER):
            return tuple(columns)
        if may_change_rows(path, version):
            break
    return ()


def _rewrite_files(path: Path, columns: Sequence[str], target_file_bytes: int) -> int | None:
    from deltalake import CommitProperties
    from deltalake.exceptions import CommitFailedError

    require_writable(path)
    table = open_table(path)
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
