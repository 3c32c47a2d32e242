"""The end of a run: the record is closed, the report written, and event sinks hear the last of it."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice

from stagebook import atomic
from stagebook.costs.trend import trend
from stagebook.errors import Unwritable
from stagebook.model.pipeline import Tracking
from stagebook.model.record import RunRecord, RunStatus, StageStatus
from stagebook.report.page import render
from stagebook.runner import outcome
from stagebook.runner.background_worker import FINISH_SECONDS, READY_SECONDS, RENDER_SECONDS
from stagebook.runner.event_sinks import one_line
from stagebook.runner.prepare import PreparedRun
from stagebook.runner.services import Services
from stagebook.runs.folders import RunFolder

TRACKING_SECONDS = 4.0
MOST_RUNS = 60
"""A report compares so many runs, at most."""


@dataclass(frozen=True)
class ReportContext:
    """What a report shows besides its run: the command that resumes it, and this pipeline's runs, newest first."""

    resume_command: str
    history: Iterable[RunRecord] = ()


def finalize(run: PreparedRun, services: Services) -> None:
    """Close the record, then write the report, then let the background worker tell the event sinks.

    Nobody waits for MLflow where nothing ran: its import takes longer than all else; nor after a signal that comes now.
    """
    services.signals.end_begins()
    worker, recorder, context = services.worker, services.recorder, ReportContext(run.resume_command, run.cache.history)
    if not run.plan.running:
        _close_record(run, services)
        _try_to_report(run, recorder.record, context)
        worker.detach("finish_detached")
        return
    deadline = time.monotonic() + _patience(run.pipeline.tracking)
    services.tracking.wait(deadline - time.monotonic())
    if links := worker.call("sync", deadline - time.monotonic()):
        recorder.emit_optional("tracking_linked", mlflow=links)
        for note in links.get("notes", ()):
            run.environment.warn(f"tracking: {note}")
    is_late = time.monotonic() >= deadline
    _close_record(run, services)
    if not is_late:
        worker.call("render", RENDER_SECONDS)
    _try_to_report(run, recorder.record, context)
    if worker.is_hurried or is_late:
        worker.detach("finish_detached")
        slow = "" if worker.is_hurried else "tracking takes too long: "
        run.environment.warn(f"{slow}tracking and notices are finished in the background")
        return
    finished = worker.call("finish", FINISH_SECONDS)
    for problem in finished["problems"] if finished else ["tracking is not finished"]:
        run.environment.warn(f"{problem} (nothing is lost: `{run.sync_command}` sends it later)")


def _patience(tracking: Tracking) -> float:
    """Seconds that the end of a run may wait for MLflow; a database of its own may have to be made first."""
    return READY_SECONDS if tracking.uri.startswith("sqlite:") else TRACKING_SECONDS


def _close_record(run: PreparedRun, services: Services) -> None:
    recorder, received = services.recorder, services.signals.received
    status, exit_code = outcome.verdict(recorder.record, received[0] if received else None)
    try:
        recorder.emit("run_finished", status=status.value, exit_code=exit_code)
    except Unwritable as full:
        if recorder.record.finished_at is None:
            raise
        run.environment.warn(str(full))


def _try_to_report(run: PreparedRun, record: RunRecord, context: ReportContext) -> None:
    """Write the report; where the disk takes it no more, say so: the run has ended all the same."""
    try:
        write_report(record, run.folder, context)
    except OSError as fault:
        run.environment.warn(f"the report is not written: {Unwritable.of(run.folder.report, fault)}")


@contextmanager
def recorded_as_failed(run: PreparedRun, services: Services) -> Iterator[None]:
    """An error of the runner itself, such as a full disk: record it as the end of the run, and raise it again."""
    try:
        yield
    except BaseException as error:
        why, recorder = f"the runner failed: {one_line(error)}", services.recorder
        with suppress(Exception):
            unfinished = [name for name, stage in recorder.record.stages.items() if stage.status is StageStatus.RUNNING]
            recorder.emit_all(
                [("stage_settled", {"stage": name, "status": "failed", "why": why}) for name in unfinished]
            )
            recorder.emit("run_finished", status=RunStatus.FAILED.value, exit_code=outcome.FAILED)
            write_report(recorder.record, run.folder, ReportContext(run.resume_command, run.cache.history))
        if isinstance(error, OSError | Unwritable):
            run.environment.warn(f"the run was stopped; finished stages are kept. Resume with:\n  {run.resume_command}")
        raise


def write_report(record: RunRecord, folder: RunFolder, context: ReportContext) -> None:
    """Render `report.html` from the record and the pages that the run folder has."""
    links: dict[str, dict[int, dict[str, str]]] = {}
    for name, stage in record.stages.items():
        for attempt in stage.attempts:
            pages = {suffix[1:]: folder.attempt(name, attempt.n, suffix) for suffix in (".html", ".ipynb")}
            links.setdefault(name, {})[attempt.n] = {
                kind: path.relative_to(folder.path).as_posix() for kind, path in pages.items() if path.exists()
            }
    recent = trend([*list(islice(context.history, MOST_RUNS))[::-1], record])
    atomic.write_text(folder.report, render(record, links=links, resume_command=context.resume_command, trend=recent))
