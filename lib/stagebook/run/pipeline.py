"""The main path: from a request to a record, as a list of steps."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stagebook.cost import bill
from stagebook.engines.local import LocalEngine
from stagebook.errors import OverBudget
from stagebook.execute import spark
from stagebook.execute.crew import Crew, Limits
from stagebook.execute.run_all import run_all
from stagebook.model.events import Event
from stagebook.model.pipeline import Pipeline
from stagebook.model.pricing import Range
from stagebook.model.record import AttemptStatus, RunRecord
from stagebook.params.load import load
from stagebook.report.page import render
from stagebook.run import clerk as clerks
from stagebook.run import ending, plan, surroundings
from stagebook.run.clerk import Clerk
from stagebook.run.display import Display
from stagebook.run.forecast import Forecast
from stagebook.run.plan import Plan
from stagebook.run.predict import forecasts, predictions
from stagebook.run.request import RunRequest
from stagebook.run.spending import Spending
from stagebook.storage import atomic, runs
from stagebook.storage.runbook import RunBook
from stagebook.storage.runs import RunFolder
from stagebook.tables.warehouse import Warehouse


@dataclass(frozen=True)
class Surface:
    """What the run shows itself on, and where it takes the world from."""

    display: Display
    warn: Callable[[str], None]
    program: str = "stagebook run"
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path = field(default_factory=Path.cwd)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True)
class Result:
    """A finished run and the words that end the command."""

    record: RunRecord
    folder: RunFolder
    summary: str


def run_pipeline(request: RunRequest, surface: Surface) -> Result:
    """Run a pipeline, or what is left of it; failed stages end up in the record, never as exceptions.

    Raises:
        ConfigError: if anything about the request is wrong; nothing was started.
        RunHeld: if another process holds the run.
    """
    pipeline = load(request.params, request.flags, surface.environ, surface.cwd)
    folder = _folder(request, pipeline, surface)
    warehouse = Warehouse(pipeline.places.tables, LocalEngine())
    with folder.held():
        earlier = _earlier(pipeline, folder)
        steps = _plan(request, pipeline, folder, warehouse, earlier)
        resume = request.resume_command(surface.program, folder.run_id)
        spending = Spending.of(pipeline, folder, steps, predictions(pipeline, steps, earlier), surface.clock)
        with (
            spending.admitted(folder.load()),
            RunBook(folder, surface.clock) as book,
            _clerk(pipeline, folder) as clerk,
        ):
            crew = Crew(book, warehouse, surface.display.cell, permit=spending.permit)
            book.listen(surface.display.event)
            book.listen(lambda event, _: _nudge(clerk, event))
            with _stopped_by_signals(crew.stop) as caught:
                spark.prepare(pipeline, steps.running)
                _begin(request, pipeline, steps, book, spending.expected)
                spending.begun()
                _await_tracking(clerk, surface)
                reasons = {name: step.why for name, step in steps.steps.items()}
                run_all(pipeline, reasons, Limits(request.jobs, request.keep_going), crew)
                _finish(book, clerk, surface, caught, resume)
        surface.display.close()
        return Result(book.record, folder, ending.summary(book.record, folder.report, resume))


@dataclass(frozen=True)
class Preview:
    """A plan, what its stages would take, and why the budget would refuse it."""

    plan: Plan
    forecasts: dict[str, Forecast]
    refusal: OverBudget | None


def plan_only(request: RunRequest, surface: Surface) -> Preview:
    """What `run_pipeline` would do, on which engines and at which cost; starts and writes nothing."""
    pipeline = load(request.params, request.flags, surface.environ, surface.cwd)
    folder = _folder(request, pipeline, surface)
    warehouse = Warehouse(pipeline.places.tables, LocalEngine())
    earlier = _earlier(pipeline, folder)
    found = _plan(request, pipeline, folder, warehouse, earlier)
    predicted = predictions(pipeline, found, earlier)
    spending = Spending.of(pipeline, folder, found, predicted, surface.clock)
    told = forecasts(pipeline, found, warehouse, predicted)
    return Preview(found, told, spending.refused(folder.load()))


def _folder(request: RunRequest, pipeline: Pipeline, surface: Surface) -> RunFolder:
    if request.resume is not None:
        return runs.find(pipeline.places.runs, request.resume or None, pipeline=pipeline.name)
    return runs.folder(pipeline.places.runs, request.run_id or runs.new_run_id(surface.clock()))


def _earlier(pipeline: Pipeline, folder: RunFolder) -> list[RunRecord]:
    """The other runs of this pipeline, oldest first."""
    others = [run for run in runs.existing(pipeline.places.runs) if run.path != folder.path]
    return [record for run in others if (record := run.load()) and record.pipeline == pipeline.name]


def _plan(
    request: RunRequest, pipeline: Pipeline, folder: RunFolder, warehouse: Warehouse, earlier: Sequence[RunRecord]
) -> Plan:
    current = folder.load()
    if current and request.resume is None:
        raise plan.AlreadyThere.of(folder.run_id)
    steps = plan.make(pipeline, request, warehouse, current=current, earlier=earlier)
    spark.check(pipeline, steps.running)
    return steps


@contextmanager
def _clerk(pipeline: Pipeline, folder: RunFolder) -> Iterator[Clerk]:
    clerk = Clerk(pipeline, folder.path)
    try:
        yield clerk
    finally:
        clerk.close()


def _nudge(clerk: Clerk, event: Event) -> None:
    """Work for the clerk while the next stage runs: MLflow and the notebook's page."""
    if event["event"] == "attempt_finished":
        clerk.tell("sync")
        clerk.tell("render")


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[list[int]]:
    """SIGINT and SIGTERM set `stop`; yields the numbers of the signals that came."""
    caught: list[int] = []

    def handle(number: int, _: Any) -> None:
        caught.append(number)
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _begin(request: RunRequest, pipeline: Pipeline, steps: Plan, book: RunBook, expected: Range) -> None:
    """Journal what is to be done, and settle at once what does not run."""
    root = pipeline.places.root
    stages = {
        name: {
            "notebook": str(
                stage.notebook.relative_to(root) if stage.notebook.is_relative_to(root) else stage.notebook
            ),
            "depends_on": list(stage.depends_on),
            "profile": stage.profile,
        }
        for name, stage in pipeline.stages.items()
    }
    rates = {name: rate.to_json() for name, rate in pipeline.rates.items()}
    if request.resume is not None:
        kept = [name for name, step in steps.steps.items() if step.action == "keep"]
        reserved = bill.amount(bill.of(book.record).total.total.likely + expected.likely)
        book.tell(
            "run_resumed", stages=stages, kept=kept, rates=rates, reserved_usd=reserved, last_seen=_last_seen(book)
        )
    else:
        book.tell(
            "run_started",
            run_id=book.folder.run_id,
            pipeline=pipeline.name,
            params_files=list(pipeline.params_files),
            parameters=dict(pipeline.parameters),
            request=request.to_json(),
            git=surroundings.git(root),
            environment=surroundings.environment(),
            stages=stages,
            rates=rates,
            reserved_usd=bill.amount(expected.likely),
            pins=dict(steps.pins),
        )
    for name, step in steps.steps.items():
        if step.action == "reuse":
            book.tell("stage_settled", stage=name, status="reused", why=step.why, **step.result)
        elif step.action == "skip":
            book.tell("stage_settled", stage=name, status="skipped", why=step.why)


def _last_seen(book: RunBook) -> dict[str, str]:
    """When each stage whose runner was killed last gave a sign of life."""
    return {
        name: book.folder.last_seen(name, attempt.n, since=attempt.started_at)
        for name, stage in book.record.stages.items()
        for attempt in stage.attempts
        if attempt.status is AttemptStatus.RUNNING
    }


def _await_tracking(clerk: Clerk, surface: Surface) -> None:
    """Wait until the tracking database exists, so that no stage races to create it."""
    if clerk.ask("prepare", clerks.READY_SECONDS) is None:
        surface.warn("tracking is not available; the run goes on, and what it has to tell is kept")


def _finish(book: RunBook, clerk: Clerk, surface: Surface, caught: list[int], resume: str) -> None:
    """Close the record, then the report, then what the clerk still has to tell the world."""
    if linked := clerk.ask("sync", clerks.FINISH_SECONDS):
        book.tell("tracking_linked", mlflow=linked)
    status, exit_code = ending.verdict(book.record, caught[-1] if caught else None)
    book.tell("run_finished", status=status.value, exit_code=exit_code)
    clerk.ask("render", clerks.RENDER_SECONDS)
    _write_report(book.record, book.folder, resume)
    finished = clerk.ask("finish", clerks.FINISH_SECONDS)
    for problem in finished["problems"] if finished else ["tracking is not finished"]:
        surface.warn(f"{problem} (nothing is lost: `stagebook track {book.folder.run_id}` sends it later)")


def _write_report(record: RunRecord, folder: RunFolder, resume: str) -> None:
    links: dict[str, dict[int, dict[str, str]]] = {}
    for name, stage in record.stages.items():
        for attempt in stage.attempts:
            pages = {suffix[1:]: folder.attempt(name, attempt.n, suffix) for suffix in (".html", ".ipynb")}
            links.setdefault(name, {})[attempt.n] = {
                kind: path.relative_to(folder.path).as_posix() for kind, path in pages.items() if path.exists()
            }
    atomic.write_text(folder.report, render(record, links=links, resume_command=resume))
