"""Decides which data files of a table a vacuum removes; pure, touches no file."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stagebook.errors import DamagedTable
from stagebook.model.maintenance import FileTotals, RetainedByRun, RetainedVersion, VacuumPlan


@dataclass(frozen=True)
class FileOnDisk:
    """A data file in the table's folder."""

    size_bytes: int
    modified: datetime


@dataclass(frozen=True)
class TableFiles:
    """The files of a table, on disk and by version.

    `on_disk` holds the data files by their paths below `folder`. `by_version` holds the files that a version
    needs, for all recent and retained versions; versions that the log no longer has are missing. `recent` are
    the versions that readers may still use: `newest`, and those that were the newest at some time since the cutoff.
    """

    folder: Path
    on_disk: Mapping[str, FileOnDisk]
    by_version: Mapping[int, AbstractSet[str]]
    newest: int
    recent: AbstractSet[int]

    def needed_by(self, versions: Iterable[int]) -> set[str]:
        """The files that at least one of these versions needs."""
        return {file for version in versions for file in self.by_version.get(version, ())}

    def missing_from(self, version: int) -> set[str]:
        """The files of a version that are not on disk, except those outside of the folder, as a shallow clone has."""
        return {file for file in self.by_version[version] if _is_below_folder(file)} - set(self.on_disk)

    def is_readable(self, version: int) -> bool:
        """Whether the log has the version and all its files are on disk."""
        return version in self.by_version and not self.missing_from(version)

    def totals(self, files: Iterable[str]) -> FileTotals:
        """The count and bytes of those of these files that are on disk."""
        sizes = [self.on_disk[file].size_bytes for file in files if file in self.on_disk]
        return FileTotals(len(sizes), sum(sizes))


def plan_vacuum(files: TableFiles, retained: Sequence[RetainedVersion], *, cutoff: datetime) -> VacuumPlan:
    """The removal of the files that no recent and no retained version needs and that are older than the cutoff.

    Args:
        retained: the versions of the table that kept runs need.
        cutoff: files modified at or after it stay, as they may not be committed yet.
    Raises:
        DamagedTable: if the newest version has lost files: then nothing may be removed.
    """
    if missing := sorted(files.missing_from(files.newest)):
        raise DamagedTable.of(str(files.folder), missing)
    needed_by_recent = files.needed_by(files.recent)
    needed_by_runs = files.needed_by(version.version for version in retained)
    removable = removable_files(files.on_disk, needed_by_recent | needed_by_runs, cutoff)
    removable_without_runs = set(removable_files(files.on_disk, needed_by_recent, cutoff))
    return VacuumPlan(
        folder=files.folder,
        files={file: files.on_disk[file].size_bytes for file in removable},
        remaining=files.totals(set(files.on_disk) - set(removable)),
        retained=[
            RetainedByRun(run_id, reasons, files.totals(removable_without_runs & files.needed_by(reasons)))
            for run_id, reasons in sorted(_reasons_by_run(retained).items())
        ],
        lost={version.version: version.run_id for version in retained if not files.is_readable(version.version)},
    )


def removable_files(on_disk: Mapping[str, FileOnDisk], needed: AbstractSet[str], cutoff: datetime) -> list[str]:
    """The files that are not needed and that were there before the cutoff, sorted."""
    return sorted(path for path, file in on_disk.items() if path not in needed and file.modified < cutoff)


def _reasons_by_run(retained: Iterable[RetainedVersion]) -> dict[str, dict[int, str]]:
    """Run id → version → the reason why the run needs it."""
    reasons: dict[str, dict[int, str]] = {}
    for version in retained:
        reasons.setdefault(version.run_id, {})[version.version] = version.reason
    return reasons


def _is_below_folder(file: str) -> bool:
    return not file.startswith("/") and "://" not in file
