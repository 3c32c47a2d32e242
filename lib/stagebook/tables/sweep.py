"""Vacuum: which data files no version needs that anybody may still read, and removing exactly these.

Not delta-rs' own vacuum: what is removed here is what was shown, file by file, and the log gets no commit for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stagebook.engines import describe
from stagebook.engines.base import RUN_ID, STAGE
from stagebook.engines.deltalog import opened, read_metadata, versions
from stagebook.engines.pruning import Files as LogFiles
from stagebook.engines.upkeep import refuse_foreign
from stagebook.errors import DamagedTable, UnknownTable
from stagebook.model.upkeep import Files, Protected, Sweep
from stagebook.storage.runs import RunFolder
from stagebook.tables.pins import Pin, of_run
from stagebook.tables.warehouse import Warehouse

KEPT_HOURS = 168.0
"""For so long a version is kept after another one has replaced it: a week, as Delta itself does."""


@dataclass(frozen=True)
class OnDisk:
    """A data file as it lies in the table's folder."""

    size_bytes: int
    modified: datetime


def sweep(
    warehouse: Warehouse, name: str, kept: Sequence[RunFolder], *, older_than: timedelta, now: datetime, apply: bool
) -> Sweep:
    """Remove, or only name, the data files of a table that nobody needs any more.

    Kept are: the newest version, all versions that were the newest one within `older_than`, every version that a
    kept run pinned, read or wrote, and files that are younger than `older_than` or than a run that is going on.

    Raises:
        UnknownTable: if there is no such table. ReadOnlyTable: if it is an external one.
        UnwritableTable: if delta-rs must not touch its files.
        DamagedTable: if the newest version has lost files: then nothing is removed.
        ConfigError: if a kept run does not tell what it needs.
    """
    warehouse.refuse_external(name)
    newest, path = warehouse.version(name), warehouse.path(name)
    refuse_foreign(path)
    cutoff = min([now - older_than, *(run.started for run in kept if run.is_held)])
    pins = [pin for run in kept for pin in _pins(run, name, path)]
    on_disk = data_files(path)
    current = {version: _needed(path, version) for version in _current(path, newest, cutoff)}
    if gone := sorted(_own(current[newest] or set()) - set(on_disk)):
        raise DamagedTable.of(str(path), gone)
    pinned = {pin.version: _needed(path, pin.version) for pin in pins}
    lost = {version for version, files in pinned.items() if files is None or _own(files) - set(on_disk)}
    in_use = {file for files in current.values() if files for file in files}
    whole = {version: files for version, files in pinned.items() if files}
    removable = unneeded(on_disk, in_use.union(*whole.values()), cutoff)
    found = Sweep(
        files={file: on_disk[file].size_bytes for file in removable},
        kept=_sum(on_disk, set(on_disk) - set(removable)),
        protected=_protected(pins, whole, set(unneeded(on_disk, in_use, cutoff)), on_disk),
        lost={pin.version: pin.run_id for pin in pins if pin.version in lost},
    )
    if apply:
        for file in removable:
            (path / file).unlink(missing_ok=True)
    return replace(found, applied=apply)


def unneeded(on_disk: Mapping[str, OnDisk], needed: Iterable[str], cutoff: datetime) -> list[str]:
    """The files that no version needs and that were there before `cutoff`: younger ones may not be committed yet."""
    wanted = set(needed)
    return sorted(file for file, found in on_disk.items() if file not in wanted and found.modified < cutoff)


def data_files(path: Path) -> dict[str, OnDisk]:
    """The Parquet files below a table's folder by their relative paths; what begins with `_` or `.` is no data."""
    found = {}
    for file in path.rglob("*.parquet"):
        relative = file.relative_to(path)
        if not any(_is_hidden(part) for part in relative.parts):
            stat = file.stat()
            found[relative.as_posix()] = OnDisk(stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))
    return found


def _is_hidden(part: str) -> bool:
    """Whether Delta keeps its own things under such a name; a partition by a column `_x` is `_x=…`."""
    return part.startswith(("_", ".")) and "=" not in part


def _pins(run: RunFolder, table: str, path: Path) -> list[Pin]:
    """What a run needs of a table: what its journal says, and what it has committed, from which a resume goes on."""
    told = {pin.version: pin for pin in of_run(run) if pin.table == table}
    for version in versions(path):
        metadata = read_metadata(path, version)
        if metadata.get(RUN_ID) == run.run_id:
            told.setdefault(version, Pin(table, version, run.run_id, f"committed by {metadata.get(STAGE)}"))
    return list(told.values())


def _current(path: Path, newest: int, cutoff: datetime) -> list[int]:
    """The versions that were the newest one at some time since `cutoff`; those whose log is gone were not."""
    found = [newest]
    for version in sorted(versions(path) - {newest}, reverse=True):
        replaced = describe.committed_at(path, found[-1])
        if replaced is not None and replaced < cutoff:
            break
        found.append(version)
    return found


def _needed(path: Path, version: int) -> set[str] | None:
    """The files of a version; None where the log has forgotten it."""
    try:
        return {file.path for file in LogFiles(opened(path, version)).all}
    except UnknownTable:
        return None


def _own(files: Iterable[str]) -> set[str]:
    """The files below the table's own folder; a shallow clone names files elsewhere."""
    return {file for file in files if not file.startswith("/") and "://" not in file}


def _protected(
    pins: Sequence[Pin], whole: Mapping[int, set[str]], otherwise: set[str], on_disk: Mapping[str, OnDisk]
) -> list[Protected]:
    """For each run the versions that it needs, and the files that would go without it or others like it."""
    by_run: dict[str, dict[int, str]] = {}
    for pin in pins:
        by_run.setdefault(pin.run_id, {})[pin.version] = pin.why
    return [
        Protected(run_id, reasons, _sum(on_disk, otherwise & _union(whole, reasons)))
        for run_id, reasons in sorted(by_run.items())
    ]


def _union(whole: Mapping[int, set[str]], wanted: Iterable[int]) -> set[str]:
    return {file for version in wanted for file in whole.get(version, ())}


def _sum(on_disk: Mapping[str, OnDisk], files: Iterable[str]) -> Files:
    sizes = [on_disk[file].size_bytes for file in files if file in on_disk]
    return Files(len(sizes), sum(sizes))
