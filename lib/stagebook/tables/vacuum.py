"""Vacuum: removes the data files of a table that no version needs that anybody may still read.

This is not delta-rs' own vacuum: it removes exactly the files that it planned and showed, and it adds no commit to
the log. `plan_vacuum` decides; this module collects the facts for it and carries out the plan.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stagebook.delta.compaction import require_writable
from stagebook.delta.describe import committed_at
from stagebook.delta.log import open_table, versions
from stagebook.delta.pruning import FileStatistics
from stagebook.errors import UnknownTable
from stagebook.model.maintenance import VacuumPlan
from stagebook.runs.folders import RunFolder
from stagebook.tables.retention import retained_versions
from stagebook.tables.vacuum_plan import FileOnDisk, TableFiles, plan_vacuum
from stagebook.tables.warehouse import Warehouse


def propose_vacuum(
    warehouse: Warehouse, name: str, runs: Sequence[RunFolder], *, older_than: timedelta, now: datetime
) -> VacuumPlan:
    """Plan the removal of the data files of a table that nobody needs any more; nothing is removed yet.

    What stays: the newest version, all versions that were the newest one within `older_than`, every version that
    one of the runs pinned, read or wrote, and files that are younger than `older_than` or than a run that is going on.

    Args:
        runs: the kept runs.
    Raises:
        UnknownTable: if there is no such table.
        ReadOnlyTable: if it is an external one.
        UnwritableTable: if delta-rs must not touch its files.
        DamagedTable: if the newest version has lost files.
    """
    warehouse.refuse_external(name)
    newest, folder = warehouse.resolve_version(name), warehouse.path(name)
    require_writable(folder)
    cutoff = min([now - older_than, *(run.started for run in runs if run.is_held)])
    retained = retained_versions(runs, name, folder)
    files = _table_files(folder, newest, (version.version for version in retained), cutoff)
    return plan_vacuum(files, retained, cutoff=cutoff)


def apply_vacuum(plan: VacuumPlan) -> VacuumPlan:
    """Remove the files of a plan, none other; a file that is gone already is no error."""
    for file in plan.files:
        (plan.folder / file).unlink(missing_ok=True)
    return replace(plan, applied=True)


def _table_files(folder: Path, newest: int, retained: Iterable[int], cutoff: datetime) -> TableFiles:
    # Files on disk first: what is written after this listing cannot be removed by the plan.
    on_disk = _data_files(folder)
    recent = _recent_versions(folder, newest, cutoff)
    by_version = {newest: _files_of_version(folder, newest)}
    for version in {*recent, *retained} - {newest}:
        try:
            by_version[version] = _files_of_version(folder, version)
        except UnknownTable:
            continue  # the log no longer has it
    return TableFiles(folder, on_disk, by_version, newest, recent)


def _data_files(folder: Path) -> dict[str, FileOnDisk]:
    """The Parquet files below a table's folder by their relative paths; names with `_` or `.` in front are no data."""
    files = {}
    for path in folder.rglob("*.parquet"):
        relative = path.relative_to(folder)
        if not any(_is_hidden(part) for part in relative.parts):
            status = path.stat()
            modified = datetime.fromtimestamp(status.st_mtime, UTC)
            files[relative.as_posix()] = FileOnDisk(status.st_size, modified)
    return files


def _is_hidden(name: str) -> bool:
    """Whether Delta keeps its own files under such a name; a partition by a column `_x` is `_x=…`."""
    return name.startswith(("_", ".")) and "=" not in name


def _recent_versions(folder: Path, newest: int, cutoff: datetime) -> set[int]:
    """The versions that were the newest one at some time since the cutoff, as far as the log has them."""
    recent, successor = {newest}, newest
    for version in sorted(versions(folder) - {newest}, reverse=True):
        replaced_at = committed_at(folder, successor)
        if replaced_at is not None and replaced_at < cutoff:
            break
        recent.add(version)
        successor = version
    return recent


def _files_of_version(folder: Path, version: int) -> set[str]:
    """The files that a version consists of.

    Raises:
        UnknownTable: if the log no longer has the version.
    """
    return {file.path for file in FileStatistics(open_table(folder, version)).all}
