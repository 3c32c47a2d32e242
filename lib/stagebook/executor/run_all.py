"""Running the stages of a plan: ready ones start, each in a thread, until nothing is left to do."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Any

from stagebook import graph
from stagebook.config.references import condition_refusal
from stagebook.executor.attempts import prestart_kernel, run_stage
from stagebook.executor.run_context import Limits, RunContext
from stagebook.model.pipeline import Pipeline, Stage
from stagebook.model.record import RunRecord, StageStatus

_POLL_SECONDS = 0.2


def run_all(pipeline: Pipeline, reasons: Mapping[str, str], limits: Limits, context: RunContext) -> None:
    """Run every stage that the record shows as pending; failures end up in the record.

    Without `keep_going` nothing new is started after a failure, except stages whose `run_if` waits for
    one. `reasons` says why each stage runs.
    """
    record = context.recorder.record
    frontier = graph.Frontier({name: stage.depends_on for name, stage in pipeline.stages.items()})
    failed = any(stage.status is StageStatus.FAILED for stage in record.stages.values())
    running: dict[Future[None], str] = {}
    pool = ThreadPoolExecutor(max_workers=limits.jobs, thread_name_prefix="stage")
    with context.prestarter, pool, _stopped_by_error(context.stop):
        while True:
            if not context.stop.is_set():
                free, any_stage = limits.jobs - len(running), limits.keep_going or not failed
                for name in _startable(pipeline, frontier, context, free, any_stage=any_stage):
                    call = (pipeline, pipeline.stages[name], context, reasons.get(name, ""), name in limits.may_reuse)
                    running[pool.submit(run_stage, *call, list(running.values()))] = name
                for name in islice(frontier.next_after(running.values()), limits.jobs if any_stage else 0):
                    prestart_kernel(pipeline, pipeline.stages[name], context)
            if not running:
                break
            ended, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in ended:
                name = running.pop(future)
                future.result()
                frontier.mark_ended(name)
                failed = failed or record.stages[name].status is StageStatus.FAILED
    for name, stage in record.stages.items():
        if stage.status is StageStatus.PENDING and not context.stop.is_set():
            context.recorder.emit("stage_settled", stage=name, status="skipped", why="not started after a failure")


@contextmanager
def _stopped_by_error(stop: threading.Event) -> Iterator[None]:
    """Where the runner itself fails, stop the stages under way instead of waiting for them."""
    try:
        yield
    except BaseException:
        stop.set()
        raise


def _startable(
    pipeline: Pipeline, frontier: graph.Frontier, context: RunContext, free: int, *, any_stage: bool
) -> list[str]:
    """The stages to start now, at most `free`; those that can never start are settled on the way.

    Args: any_stage: whether stages start that do not follow a failed one.
    """
    record, starts, waiting = context.recorder.record, [], []
    while len(starts) < free and (name := frontier.pop()) is not None:
        stage = pipeline.stages[name]
        if record.stages[name].status is not StageStatus.PENDING:
            frontier.mark_ended(name)
            continue
        match graph.readiness(stage.run_if, [record.stages[up].status for up in stage.depends_on]):
            case "start" if (missing := graph.missing_result(stage.run_if, _early_ends(stage, record))) is not None:
                context.recorder.emit("stage_settled", stage=name, status="skipped", why=missing, ended_early=missing)
                frontier.mark_ended(name)
            case "start" if (refusal := condition_refusal(stage, _scraps(record))) is not None:
                context.recorder.emit("stage_settled", stage=name, status="skipped", why=refusal)
                frontier.mark_ended(name)
            case "start" if any_stage or _follows_a_failure(stage, record):
                starts.append(name)
            case "start" | "wait":
                waiting.append(name)
            case "upstream_failed" | "skip" as readiness:
                status = StageStatus.SKIPPED if readiness == "skip" else StageStatus.UPSTREAM_FAILED
                context.recorder.emit("stage_settled", stage=name, status=status.value, why=_states(stage, record))
                frontier.mark_ended(name)
    frontier.put_back(waiting)
    return starts


def _follows_a_failure(stage: Stage, record: RunRecord) -> bool:
    """Whether the stage depends directly on a failed one, which its `run_if` allows."""
    return any(record.stages[up].status is StageStatus.FAILED for up in stage.depends_on)


def _early_ends(stage: Stage, record: RunRecord) -> list[str | None]:
    """For each stage before it that did not fail, the early end for which it has no result."""
    failed = (StageStatus.FAILED, StageStatus.UPSTREAM_FAILED)
    return [record.stages[up].early_end for up in stage.depends_on if record.stages[up].status not in failed]


def _states(stage: Stage, record: RunRecord) -> str:
    states = ", ".join(f"{up} {record.stages[up].status.value.replace('_', ' ')}" for up in stage.depends_on)
    return f"{states}; runs if {stage.run_if.value}"


def _scraps(record: RunRecord) -> Callable[[str, str], Any]:
    return lambda stage, scrap: record.stages[stage].scraps.get(scrap)
