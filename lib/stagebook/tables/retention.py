"""Retention: which versions of tables the kept runs need, by their journals and by the commits of the tables."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stagebook.delta.engine import RUN_ID, STAGE
from stagebook.delta.log import read_metadata, versions
from stagebook.errors import DamagedRun
from stagebook.model.maintenance import RetainedVersion
from stagebook.runs import folders, journal
from stagebook.runs.events import Event
from stagebook.runs.folders import RunFolder

DAMAGED = "it may need it: its record is damaged (`stagebook runs repair`)"


def kept_runs(runs_dirs: Iterable[Path]) -> list[RunFolder]:
    """All runs that have a journal, in any of these folders."""
    return [run for runs_dir in runs_dirs for run in folders.existing(runs_dir)]


def retained_versions(runs: Sequence[RunFolder], table: str, path: Path) -> list[RetainedVersion]:
    """The versions of a table that runs need, each once a run, with the first reason.

    These are the versions that a run has pinned, read or written, by any of its attempts, and those that it has
    committed without a word in its journal: a resume continues from them.

    What a damaged run needs is not known, so it keeps all versions that there are.

    Args:
        path: the table's folder.
    """
    committed = _committed_versions(table, path) if runs else []
    needed: dict[tuple[str, int], RetainedVersion] = {}
    for run in runs:
        try:
            in_journal = [version for version in _versions_in_journal(run) if version.table == table]
        except DamagedRun:
            in_journal = [RetainedVersion(table, version, run.run_id, DAMAGED) for version in sorted(versions(path))]
        in_log = (version for version in committed if version.run_id == run.run_id)
        for version in (*in_journal, *in_log):
            needed.setdefault((run.run_id, version.version), version)
    return list(needed.values())


def _versions_in_journal(run: RunFolder) -> list[RetainedVersion]:
    run.load()  # notices what a single line does not tell
    return [version for event in journal.read(run.events) for version in _versions_in_event(run.run_id, event)]


def _versions_in_event(run_id: str, event: Event) -> Iterator[RetainedVersion]:
    stage = event.get("stage", "")
    for table, version in event.get("pins", {}).items():
        yield RetainedVersion(table, version, run_id, "pinned at its start")
    for table, version in event.get("inputs", {}).items():
        yield RetainedVersion(table, version, run_id, f"read by {stage}")
    for table, output in event.get("outputs", {}).items():
        yield RetainedVersion(table, output["version"], run_id, f"written by {stage}")


def _committed_versions(table: str, path: Path) -> list[RetainedVersion]:
    """All versions that stages of runs have committed, as far as the log has them."""
    commits = ((version, read_metadata(path, version)) for version in versions(path))
    return [
        RetainedVersion(table, version, metadata[RUN_ID], f"committed by {metadata.get(STAGE)}")
        for version, metadata in commits
        if metadata.get(RUN_ID)
    ]
