"""Run folders: `runs/<run id>/` with its journal, record, notebooks, report and lock."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stagebook import atomic
from stagebook.costs import bill
from stagebook.errors import ConfigError, RunHeld, did_you_mean
from stagebook.formatting import strict_json
from stagebook.model.record import SCHEMA_VERSION, RunRecord
from stagebook.runs import journal
from stagebook.runs.events import fold

SWEEP_FILE = "sweep.json"
"""The file in a sweep run's folder that says what it is."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run. Nothing here is created until something is written."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def record(self) -> Path:
        return self.path / "run.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def attempt(self, stage: str, n: int, suffix: str = ".ipynb") -> Path:
        """Where attempt `n` of a stage leaves its notebook (`.ipynb`), page (`.html`) or log (`.log`)."""
        return self.path / "stages" / stage / f"attempt-{n}{suffix}"

    def last_seen(self, stage: str, n: int, *, since: str) -> str:
        """When attempt `n` of a stage last wrote anything, as ISO 8601; `since` where it never did."""
        written = [path.stat().st_mtime for path in self.attempt(stage, n).parent.glob(f"attempt-{n}.*")]
        last = max([datetime.fromisoformat(since).timestamp(), *written])
        return datetime.fromtimestamp(last, UTC).isoformat()

    def last_event_at(self) -> str:
        """The time of the newest event, as ISO 8601.

        Raises:
            LookupError: the journal has no event.
        """
        return [event["at"] for event in journal.read(self.events)][-1]

    def load(self) -> RunRecord | None:
        """The record, folded from the journal; None where the run was never started."""
        return fold(journal.read(self.events))

    def save(self, record: RunRecord) -> None:
        """Write `run.json`, derived from the record."""
        atomic.write_json(self.record, to_json(record))

    @contextmanager
    def held(self, *, wait_seconds: float = 0) -> Iterator[None]:
        """Hold the run for this process. A run that was refused before its first event leaves nothing.

        Args: wait_seconds: how long to wait for another process to let go.
        Raises:
            RunHeld: if another process holds it; the message names the owner.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        owner = self.path / "run.owner"
        lock = FileLock(self.path / "run.lock")
        try:
            lock.acquire(timeout=wait_seconds)
        except Timeout:
            name = owner.read_text(encoding="utf-8") if owner.exists() else "unknown"
            raise RunHeld.of(self.run_id, name) from None
        try:
            atomic.write_text(owner, f"process {os.getpid()} on {os.uname().nodename}")
            yield
        finally:
            if not self.events.exists():
                self._remove_unused(owner)
            lock.release()

    def _remove_unused(self, owner: Path) -> None:
        """Remove what holding has made; the lock is still held then, so whoever waits for it opens another file."""
        owner.unlink(missing_ok=True)
        (self.path / "run.lock").unlink(missing_ok=True)
        with suppress(OSError):  # not empty: it was there before
            self.path.rmdir()
            self.path.parent.rmdir()

    @property
    def started(self) -> datetime:
        """When the run was started, as its journal says."""
        return datetime.fromisoformat(_started_at(self))

    @property
    def is_held(self) -> bool:
        """Whether a live process holds the run now."""
        lock = FileLock(self.path / "run.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False


def to_json(record: RunRecord) -> dict[str, Any]:
    """The content of `run.json`: the record, and what everything cost."""
    value = {"schema_version": SCHEMA_VERSION, **asdict(record)}
    billed = bill.of(record)
    for name, stage in value["stages"].items():
        del stage["name"], stage["saved_usd"]
        stage["seconds"] = round(record.stages[name].seconds, 3)
        stage["cost"] = billed.stage_json(name)
        for attempt in stage["attempts"]:
            attempt["cost_usd"] = bill.amount(billed.attempt(name, attempt["n"]).likely)
    value["cost"] = billed.to_json()
    return strict_json(value)


def new_run_id(now: datetime) -> str:
    """A run id that sorts by time: `20261123T235306Z-1a2b3c`."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def folder(runs: Path, run_id: str) -> RunFolder:
    """The folder of a run id.

    Raises:
        ConfigError: if the id could not be a folder name.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise ConfigError(
            f"--run-id: '{run_id}' cannot name a run.\n"
            "  Allowed: letters, digits, '.', '_' and '-', starting with a letter or digit, at most 100."
        )
    return RunFolder(runs / run_id)


def existing(runs: Path) -> list[RunFolder]:
    """All runs that have a journal, by when they started."""
    if not runs.is_dir():
        return []
    runs_with_journal = [RunFolder(path) for path in runs.iterdir() if (path / "events.jsonl").exists()]
    return sorted(runs_with_journal, key=_started_at)


class PipelineHistory:
    """The records of a pipeline's runs, newest first; each is read from its journal when it is asked for."""

    def __init__(self, runs: Path, pipeline: str, *, without: str | None = None) -> None:
        """Args: without: a run id that is passed over."""
        self._runs, self._pipeline, self._without = runs, pipeline, without
        self._folders: list[RunFolder] | None = None
        self._loaded: dict[str, RunRecord | None] = {}

    def __iter__(self) -> Iterator[RunRecord]:
        if self._folders is None:
            self._folders = [run for run in reversed(existing(self._runs)) if run.run_id != self._without]
        for run in self._folders:
            if (record := self._record(run)) is not None:
                yield record

    def comparable(self) -> Iterator[RunRecord]:
        """The records of ordinary runs, and of the sweep that the run which is passed over belongs to."""
        own = None if self._without is None else sweep_of(self._runs, self._without)
        return (record for record in self if sweep_of(self._runs, record.run_id) in (None, own))

    def of(self, run_id: str) -> RunRecord | None:
        """The record of one run of this pipeline; None where there is none."""
        return None if run_id == self._without else self._record(RunFolder(self._runs / run_id))

    def _record(self, run: RunFolder) -> RunRecord | None:
        if run.run_id not in self._loaded:
            record = run.load()
            self._loaded[run.run_id] = record if record and record.pipeline == self._pipeline else None
        return self._loaded[run.run_id]


def sweep_of(runs: Path, run_id: str) -> str | None:
    """The sweep run that has a run as one of its configurations; None for an ordinary run."""
    sweep_id, _, number = run_id.rpartition("-")
    return sweep_id if number.isdecimal() and (runs / sweep_id / SWEEP_FILE).is_file() else None


def _started_at(run: RunFolder) -> str:
    with run.events.open(encoding="utf-8") as stream:
        first = stream.readline()
    match = re.search(r'"at": "([^"]+)"', first)
    return match.group(1) if match else ""


def find(runs: Path, run_id: str | None, *, pipeline: str | None = None) -> RunFolder:
    """The run of this id, or the last one (of `pipeline`) where no id is given.

    Raises:
        ConfigError: if there is none; names the nearest.
    """
    all_runs = existing(runs)
    if run_id is None:
        for run in reversed(all_runs):
            record = run.load()
            if record and pipeline in (None, record.pipeline):
                return run
        raise ConfigError(f"there is no run yet in {runs}.")
    for run in all_runs:
        if run.run_id == run_id:
            return run
    names = [run.run_id for run in all_runs]
    raise ConfigError(
        f"there is no run '{run_id}' in {runs}.{did_you_mean(run_id, names)}\n"
        f"  the last runs: {', '.join(names[-5:]) or 'none'}"
    )
