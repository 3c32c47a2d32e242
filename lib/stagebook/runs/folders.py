"""Run folders: `runs/<run id>/` with its journal, record, notebooks, report and lock."""

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stagebook import atomic
from stagebook.costs import bill
from stagebook.errors import ConfigError, DamagedRun, RunHeld, UnwritableRuns, did_you_mean
from stagebook.formatting import printable, strict_json
from stagebook.model.record import SCHEMA_VERSION, RunRecord, RunStatus, StageStatus
from stagebook.runs import journal
from stagebook.runs.events import FOLD_ERRORS, apply, fold_problem

SWEEP_FILE = "sweep.json"
"""The file in a sweep run's folder that says what it is."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ENDED_WELL = (StageStatus.SUCCEEDED, StageStatus.REUSED, StageStatus.SKIPPED)


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
        """The record, folded from the journal; None where the run was never started.

        Raises:
            DamagedRun: the journal cannot be read, or contradicts itself; it names the line.
        """
        lines = journal.read_lines(self.events)
        if not lines and not os.path.lexists(self.events) and os.path.lexists(self.record):
            raise DamagedRun.of(self.events, "it is missing, although the run has a record")
        record = None
        for line in lines:
            try:
                record = apply(record, line.event)
            except FOLD_ERRORS as fault:
                raise DamagedRun.of(self.events, fold_problem(fault), line=line.number) from fault
        if record is not None and not all(line.has_checksum for line in lines) and (problem := contradiction(record)):
            raise DamagedRun.of(self.events, problem)
        return record

    def check_derived(self, record: RunRecord) -> None:
        """Check the files that are derived from the journal.

        Raises:
            DamagedRun: `run.json` or `mlflow.json` cannot be read, or is of another run.
        """
        for path, is_needed in ((self.record, record.finished_at is not None), (self.path / "mlflow.json", False)):
            value = atomic.readable_json(path)
            if value is None and (is_needed or os.path.lexists(path)):
                raise DamagedRun.of(path, "it is missing, or no JSON")
            if value is not None and not isinstance(value, dict):
                raise DamagedRun.of(path, "it does not hold what was written")
            if path == self.record and value is not None and value.get("run_id") != record.run_id:
                raise DamagedRun.of(path, "it does not hold what was written")

    def load_part(self) -> RunRecord | None:
        """As `load`; of a damaged run what its journal tells before the damage."""
        record = None
        with suppress(DamagedRun, *FOLD_ERRORS):
            for line in journal.scan(self.events):
                if line.problem is not None:
                    break
                record = apply(record, line.event)
        return record

    def save(self, record: RunRecord) -> None:
        """Write `run.json`, derived from the record."""
        atomic.write_json(self.record, to_json(record))

    @contextmanager
    def held(self, *, wait_seconds: float = 0) -> Iterator[None]:
        """Hold the run for this process. A run that was refused before its first event leaves nothing.

        Args: wait_seconds: how long to wait for another process to let go.
        Raises:
            RunHeld: if another process holds it; the message names the owner.
            UnwritableRuns: the folder cannot be written.
        """
        owner = self.path / "run.owner"
        lock = FileLock(self.path / "run.lock")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=wait_seconds)
        except Timeout:
            name = "unknown"
            with suppress(OSError, ValueError):
                name = owner.read_text(encoding="utf-8")
            raise RunHeld.of(self.run_id, printable(name)) from None
        except OSError as fault:
            raise UnwritableRuns.of(self.path, fault) from fault
        try:
            with suppress(OSError):  # it only tells others who holds the run
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
    def changed_at(self) -> datetime:
        """When the journal was written to last; of a run without one, the folder."""
        path = self.events if os.path.lexists(self.events) else self.path
        return datetime.fromtimestamp(path.lstat().st_mtime, UTC)

    @property
    def is_held(self) -> bool:
        """Whether a live process holds the run now."""
        lock = FileLock(self.path / "run.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:  # nobody can hold it: the folder is read-only, or something else has the lock's name
            return False
        lock.release()
        return False


def contradiction(record: RunRecord) -> str | None:
    """What cannot be true of the record of a journal whose lines have no checksum; None where nothing is wrong."""
    for name, stage in record.stages.items():
        if [attempt.n for attempt in stage.attempts] != list(range(1, len(stage.attempts) + 1)):
            return f"the attempts of its stage '{name}' are not numbered one by one: lines are lost, or there twice"
        if record.status is RunStatus.SUCCEEDED and stage.status not in _ENDED_WELL:
            return f"the run has succeeded, but its stage '{name}' has not: lines are lost"
    try:
        to_json(record)
    except Exception as fault:
        return f"its events do not fit together: {fold_problem(fault)}"
    return None


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
    """All runs that have a journal, or had one, by when they started; damaged ones too."""
    if not runs.is_dir():
        return []
    candidates = [RunFolder(path) for path in runs.iterdir() if not path.name.startswith(".")]
    return sorted((run for run in candidates if _was_started(run)), key=_started_at)


def readable(
    runs: Path, pass_over: Callable[[DamagedRun], None] | None = None
) -> Iterator[tuple[RunFolder, RunRecord]]:
    """All runs that have a record, by when they started.

    Args: pass_over: called for each damaged run, which is left out.
    """
    for run in existing(runs):
        try:
            record = run.load()
        except DamagedRun as damage:
            if pass_over is not None:
                pass_over(damage)
            continue
        if record is not None:
            yield run, record


class PipelineHistory:
    """The records of a pipeline's runs, newest first; each is read from its journal when it is asked for.

    Damaged runs are passed over.
    """

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
            try:
                record = run.load()
            except DamagedRun:
                record = None
            self._loaded[run.run_id] = record if record and record.pipeline == self._pipeline else None
        return self._loaded[run.run_id]


def sweep_of(runs: Path, run_id: str) -> str | None:
    """The sweep run that has a run as one of its configurations; None for an ordinary run."""
    sweep_id, _, number = run_id.rpartition("-")
    return sweep_id if number.isdecimal() and (runs / sweep_id / SWEEP_FILE).is_file() else None


def _was_started(run: RunFolder) -> bool:
    """Whether there is a journal, in whatever state, or a record that it must have had one."""
    return os.path.lexists(run.events) or os.path.lexists(run.record)


def _started_at(run: RunFolder) -> str:
    """The time of the first event; where that cannot be read, when the first of the files in the folder was written."""
    with suppress(OSError, ValueError):
        with run.events.open("rb") as stream:
            first = stream.readline(1_000_000)
        if match := re.search(rb'"at": "([^"]+)"', first):
            datetime.fromisoformat(match[1].decode("ascii"))
            return match[1].decode("ascii")
    written = [path.lstat().st_mtime for path in run.path.iterdir()]
    return datetime.fromtimestamp(min(written, default=0), UTC).isoformat()


def named(runs: Path, run_id: str) -> RunFolder:
    """The run of this id, in whatever state.

    Raises:
        ConfigError: if there is none; names the nearest.
    """
    all_runs = existing(runs)
    for run in all_runs:
        if run.run_id == run_id:
            return run
    names = [run.run_id for run in all_runs]
    raise ConfigError(
        f"there is no run '{run_id}' in {runs}.{did_you_mean(run_id, names)}\n"
        f"  the last runs: {', '.join(names[-5:]) or 'none'}"
    )


def find(runs: Path, run_id: str | None, *, pipeline: str | None = None) -> RunFolder:
    """The run of this id, or the last one (of `pipeline`) where no id is given.

    Raises:
        ConfigError: if there is none; names the nearest.
        DamagedRun: the last one is damaged, or may be it.
    """
    if run_id is not None:
        return named(runs, run_id)
    for run in reversed(existing(runs)):
        try:
            record = run.load()
        except DamagedRun:
            record = run.load_part()
            if record is None or pipeline in (None, record.pipeline):
                raise
        if record and pipeline in (None, record.pipeline):
            return run
    raise ConfigError(f"there is no run yet in {runs}.")
