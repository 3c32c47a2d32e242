"""Closing what a kill -9 of the runner left, as of its last sign of life, and telling the event sinks of it."""

from collections.abc import Callable, Iterator
from datetime import datetime
from signal import SIGKILL

from stagebook.config.request import RunRequest
from stagebook.errors import RunHeld
from stagebook.model.pipeline import Pipeline
from stagebook.model.record import RunRecord, RunStatus
from stagebook.runner.environment import RunEnvironment
from stagebook.runner.event_sinks import EventSinks
from stagebook.runner.finalize import ReportContext, write_report
from stagebook.runs import folders
from stagebook.runs.folders import PipelineHistory, RunFolder
from stagebook.runs.recorder import RunRecorder


def reap(pipeline: Pipeline, environment: RunEnvironment) -> list[str]:
    """Close the runs of this pipeline that no process holds and that have not ended; their ids.

    They can still be resumed. Damaged runs, and what a sink cannot take now, are warned of and kept.
    """
    closed = []
    for folder in _unfinished(pipeline, environment.warn):
        try:
            with folder.held():
                history = PipelineHistory(pipeline.paths.runs, pipeline.name, without=folder.run_id)
                record = _close(folder, environment, history)
        except RunHeld:
            continue  # somebody has resumed it
        if record is not None:
            again = RunRequest.from_json(record.request).sync_command(environment.kit, record.run_id)
            for problem in EventSinks.of(pipeline).finish(folder):
                environment.warn(f"{problem} (nothing is lost: `{again}` sends it later)")
            closed.append(record.run_id)
    return closed


def _unfinished(pipeline: Pipeline, warn: Callable[[str], None]) -> Iterator[RunFolder]:
    for folder, record in folders.readable(pipeline.paths.runs, lambda damage: warn(str(damage))):
        if record.pipeline == pipeline.name and record.status is RunStatus.RUNNING:
            yield folder


def _close(folder: RunFolder, environment: RunEnvironment, history: PipelineHistory) -> RunRecord | None:
    with RunRecorder(folder, environment.clock) as recorder:
        if recorder.record.status is not RunStatus.RUNNING:
            return None
        last_seen = recorder.last_seen()
        ended_at = max([folder.last_event_at(), *last_seen.values()], key=datetime.fromisoformat)
        recorder.emit("run_reaped", last_seen=last_seen, ended_at=ended_at, exit_code=128 + SIGKILL)
        resume = RunRequest.from_json(recorder.record.request).resume_command(environment.program, folder.run_id)
        write_report(recorder.record, folder, ReportContext(resume, history))
        return recorder.record
