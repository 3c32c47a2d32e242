"""Repairing the records of runs: what is lost is cut out, what follows from something else is written anew."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from signal import SIGKILL

from stagebook import atomic
from stagebook.cache import index
from stagebook.cache.index import CachedResult
from stagebook.errors import DamagedRun, RunHeld
from stagebook.model.record import AttemptStatus, RunRecord, RunStatus
from stagebook.runs import folders, journal
from stagebook.runs.events import Event
from stagebook.runs.folders import RunFolder
from stagebook.runs.journal import Journal, JournalLine
from stagebook.runs.rebuild import events_of, salvage
from stagebook.runs.recorder import RunRecorder


@dataclass
class RepairOutcome:
    """What was done to a run, in lines that can be printed, and the exit status that follows from it."""

    lines: list[str] = field(default_factory=list)
    exit_code: int = 0


def repair_run(run: RunFolder, clock: Callable[[], datetime]) -> RepairOutcome:
    """Rebuild what can be rebuilt of a run; a run that is not damaged stays as it is."""
    outcome = RepairOutcome()
    try:
        with run.held():
            outcome.lines += [f"{run.run_id}  {line}" for line in _repair(run, clock)]
    except RunHeld:
        return RepairOutcome([f"{run.run_id}  another process holds it: nothing was done"], RunHeld.exit_code)
    try:
        if (record := run.load()) is not None:
            run.check_derived(record)
    except DamagedRun as damage:
        outcome.exit_code = 1
        outcome.lines.append(f"{run.run_id}  cannot be repaired: {damage.brief}; delete its folder if nobody needs it")
    return outcome


def repair_index(runs: Path) -> list[str]:
    """Write the entries of the index of results that are lost, from the records."""
    written = 0
    for run, record in folders.readable(runs):
        for stage in record.stages.values():
            key = stage.reuse.get("key")
            if stage.status.done and isinstance(key, str) and index.recall(runs, key) is None:
                index.forget(runs, key)
                index.remember(runs, key, CachedResult(run.run_id))
                written += index.recall(runs, key) is not None
    return [f"index of results: {written} of its entries were lost and are written anew"] if written else []


def _repair(run: RunFolder, clock: Callable[[], datetime]) -> Iterator[str]:
    problem = _journal_problem(run)
    if problem is not None:
        yield from _rebuild_journal(run, problem, clock)
    with suppress(DamagedRun):
        record = run.load()
        if record is None:
            return
        links = run.path / "mlflow.json"
        if links.exists() and not isinstance(atomic.readable_json(links), dict):
            yield f"{links.name} was damaged; a copy is {_set_aside(links)}; MLflow's runs are found by their tags"
        try:
            run.check_derived(record)
        except DamagedRun:
            if run.record.is_dir():
                _set_aside(run.record)
            run.save(record)
            yield f"{run.record.name} is written anew from the journal"


def _journal_problem(run: RunFolder) -> str | None:
    try:
        run.load()
        return "its last line was cut short" if journal.torn_tail(run.events) else None
    except DamagedRun as damage:
        return damage.problem


def _rebuild_journal(run: RunFolder, problem: str, clock: Callable[[], datetime]) -> Iterator[str]:
    lines = _lines(run)
    recorded = atomic.readable_json(run.record)
    from_record = events_of(recorded) if isinstance(recorded, dict) and recorded.get("run_id") == run.run_id else []
    rescued = salvage(lines, from_record[0] if from_record else None)
    events, lost = rescued.events, rescued.lost
    source = "its whole lines"
    if not events:
        events, lost, source = from_record, 0, run.record.name
    if not events:
        return
    if run.events.exists():
        yield f"the journal was damaged ({problem}); a copy is {_set_aside(run.events)}"
    _write(run.events, events)
    yield f"the journal is written anew from {source}: {len(events)} events" + (f", {lost} are lost" if lost else "")
    with RunRecorder(run, clock) as recorder:
        if (lost or source == run.record.name) and _is_open(recorder.record):
            ended_at = max((event["at"] for event in events), key=datetime.fromisoformat)
            seen = recorder.last_seen()
            recorder.emit("run_reaped", last_seen=seen, ended_at=ended_at, exit_code=128 + SIGKILL)
            yield "it is closed as interrupted; what is known to be finished is kept when it is resumed"
        run.save(recorder.record)
        yield f"{run.record.name} is written anew from the journal"


def _is_open(record: RunRecord) -> bool:
    """Whether the record says that the run, or something of it, goes on; after lines were lost it does not."""
    unfinished = any(a.status is AttemptStatus.RUNNING for stage in record.stages.values() for a in stage.attempts)
    return record.status is RunStatus.RUNNING or unfinished or folders.contradiction(record) is not None


def _lines(run: RunFolder) -> list[JournalLine]:
    try:
        return list(journal.scan(run.events))
    except DamagedRun:
        return []


def _write(path: Path, events: list[Event]) -> None:
    """Replace a journal in one step."""
    temporary = path.with_name(f".{path.name}.rebuilt")
    temporary.unlink(missing_ok=True)
    with Journal(temporary) as rebuilt:
        rebuilt.append(*events)
    temporary.replace(path)


def _set_aside(path: Path) -> str:
    """Give a damaged file another name beside it."""
    copies = (path.with_name(f"{path.name}.damaged{f'-{n}' if n > 1 else ''}") for n in range(1, 1000))
    copy = next(copy for copy in copies if not copy.exists())
    path.rename(copy)
    return copy.name
