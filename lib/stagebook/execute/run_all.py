"""Running the stages of a plan: ready ones start, each in a thread, until nothing is left to do."""

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

from stagebook import dag
from stagebook.execute.attempts import run_stage, start_ahead
from stagebook.execute.crew import Crew, Limits
from stagebook.model.pipeline import Pipeline, Stage
from stagebook.model.record import RunRecord, StageStatus
from stagebook.params.references import resolve

_POLL_SECONDS = 0.2


def run_all(pipeline: Pipeline, reasons: Mapping[str, str], limits: Limits, crew: Crew) -> None:
    """Run every stage that the record shows as pending; failures end up in the record.

    Without `keep_going` nothing new is started after a failure, except stages whose `run_if` waits for
    one. `reasons` says why each stage runs.
    """
    record = crew.book.record
    frontier = dag.Frontier({name: stage.depends_on for name, stage in pipeline.stages.items()})
    failed = any(stage.status is StageStatus.FAILED for stage in record.stages.values())
    running: dict[Future[None], str] = {}
    with crew.ahead, ThreadPoolExecutor(max_workers=limits.jobs, thread_name_prefix="stage") as pool:
        while True:
            if not crew.stop.is_set():
                free, any_stage = limits.jobs - len(running), limits.keep_going or not failed
                for name in _startable(pipeline, frontier, crew, free, any_stage=any_stage):
                    call = (pipeline, pipeline.stages[name], crew, reasons.get(name, ""), name in limits.may_reuse)
                    running[pool.submit(run_stage, *call, list(running.values()))] = name
                for name in islice(frontier.after(running.values()), limits.jobs if any_stage else 0):
                    start_ahead(pipeline, pipeline.stages[name], crew)
            if not running:
                break
            done, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                name = running.pop(future)
                future.result()
                frontier.ended(name)
                failed = failed or record.stages[name].status is StageStatus.FAILED
    for name, stage in record.stages.items():
        if stage.status is StageStatus.PENDING and not crew.stop.is_set():
            crew.book.tell("stage_settled", stage=name, status="skipped", why="not started after a failure")


def _startable(pipeline: Pipeline, frontier: dag.Frontier, crew: Crew, free: int, *, any_stage: bool) -> list[str]:
    """The stages to start now, at most `free`; those that can never start are settled on the way.

    Args: any_stage: whether stages start that do not answer a failure.
    """
    record, starts, held = crew.book.record, [], []
    while len(starts) < free and (name := frontier.pop()) is not None:
        stage = pipeline.stages[name]
        if record.stages[name].status is not StageStatus.PENDING:
            frontier.ended(name)
            continue
        match dag.readiness(stage.run_if, [record.stages[up].status for up in stage.depends_on]):
            case "start" if (refusal := refused_by_condition(stage, _scraps(record))) is not None:
                crew.book.tell("stage_settled", stage=name, status="skipped", why=refusal)
                frontier.ended(name)
            case "start" if any_stage or _answers_a_failure(stage, record):
                starts.append(name)
            case "start" | "wait":
                held.append(name)
            case "upstream_failed" | "skip" as answer:
                status = StageStatus.SKIPPED if answer == "skip" else StageStatus.UPSTREAM_FAILED
                crew.book.tell("stage_settled", stage=name, status=status.value, why=_states(stage, record))
                frontier.ended(name)
    frontier.back(held)
    return starts


def _answers_a_failure(stage: Stage, record: RunRecord) -> bool:
    """Whether the stage stands right behind a failed one: its `run_if` has let it pass knowingly."""
    return any(record.stages[up].status is StageStatus.FAILED for up in stage.depends_on)


def _states(stage: Stage, record: RunRecord) -> str:
    states = ", ".join(f"{up} {record.stages[up].status.value.replace('_', ' ')}" for up in stage.depends_on)
    return f"{states}; runs if {stage.run_if.value}"


def refused_by_condition(stage: Stage, scrap: Callable[[str, str], Any]) -> str | None:
    """Why `only_if` keeps a stage from running, or None.

    Args: scrap: the value of a stage's scrap; None, which is not true, where it was never glued.
    """
    if stage.only_if is None:
        return None
    value = resolve(stage.only_if, scrap)
    return None if value in (True, "true") else f"only_if {stage.only_if} is {value!r}"


def _scraps(record: RunRecord) -> Callable[[str, str], Any]:
    return lambda stage, scrap: record.stages[stage].scraps.get(scrap)
