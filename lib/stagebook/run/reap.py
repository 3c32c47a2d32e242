"""Closing what a kill -9 of the runner left, as of its last sign of life; and telling those who are told of runs."""

from collections.abc import Callable, Iterator
from datetime import datetime
from signal import SIGKILL

from stagebook.errors import RunHeld
from stagebook.model.pipeline import Pipeline
from stagebook.model.record import RunRecord, RunStatus
from stagebook.run.audience import Audience
from stagebook.run.finish import LastWords, write_report
from stagebook.run.request import RunRequest
from stagebook.storage import runs
from stagebook.storage.runbook import RunBook
from stagebook.storage.runs import History, RunFolder


def reap(pipeline: Pipeline, program: str, clock: Callable[[], datetime], warn: Callable[[str], None]) -> list[str]:
    """Close the runs of this pipeline that no process holds and that have not ended; their ids.

    They can still be resumed. What somebody cannot be told now is warned of, and kept.
    """
    closed = []
    for folder in _left(pipeline):
        try:
            with folder.held():
                earlier = History(pipeline.places.runs, pipeline.name, without=folder.run_id)
                record = _close(folder, program, clock, earlier)
        except RunHeld:
            continue  # somebody has resumed it
        if record is not None:
            for problem in Audience.of(pipeline).tell_all(folder):
                warn(f"{problem} (nothing is lost: `stagebook track {record.run_id}` sends it later)")
            closed.append(record.run_id)
    return closed


def _left(pipeline: Pipeline) -> Iterator[RunFolder]:
    for folder in runs.existing(pipeline.places.runs):
        record = folder.load()
        if record and record.pipeline == pipeline.name and record.status is RunStatus.RUNNING:
            yield folder


def _close(folder: RunFolder, program: str, clock: Callable[[], datetime], earlier: History) -> RunRecord | None:
    with RunBook(folder, clock) as book:
        if book.record.status is not RunStatus.RUNNING:
            return None
        seen = book.last_seen()
        ended_at = max([folder.last_event_at(), *seen.values()], key=datetime.fromisoformat)
        book.tell("run_reaped", last_seen=seen, ended_at=ended_at, exit_code=128 + SIGKILL)
        resume = RunRequest.from_json(book.record.request).resume_command(program, folder.run_id)
        write_report(book.record, folder, LastWords(resume, earlier))
        return book.record
