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

from platformdirs import user_cache_dir

from stagebook import dag
from stagebook.code.cache import SourceCache
from stagebook.errors import OverBudget
from stagebook.execute import spark, warm
from stagebook.execute.ahead import Ahead
from stagebook.execute.crew import Crew, Limits
from stagebook.execute.host.client import Host
from stagebook.execute.reusing import Results
from stagebook.execute.run_all import run_all
from stagebook.model.events import Event
from stagebook.model.pipeline import Pipeline
from stagebook.model.record import RunRecord
from stagebook.params.load import load
from stagebook.run import ending, plan, surroundings
from stagebook.run.begin import begin
from stagebook.run.clerk import Clerk, Prepared
from stagebook.run.display import Display
from stagebook.run.finish import LastWords, finish, finish_at_once
from stagebook.run.forecast import Forecast
from stagebook.run.meter import metered
from stagebook.run.predict import forecasts, predictions
from stagebook.run.request import RunRequest
from stagebook.run.spending import Spending
from stagebook.run.steps import Plan
from stagebook.storage import runs
from stagebook.storage.machine import state_folder
from stagebook.storage.pools import Pools
from stagebook.storage.runbook import RunBook
from stagebook.storage.runs import History, RunFolder
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
        OverBudget: if the run is expected to exceed a limit; nothing was started.
        RunHeld: if another process holds the run.
    """
    pipeline = load(request.params, request.flags, surface.environ, surface.cwd)
    folder = _folder(request, pipeline, surface)
    warehouse = Warehouse.local(pipeline.places)
    with folder.held(), _results(pipeline, folder, warehouse) as results:
        steps = _plan(request, pipeline, folder, warehouse, results)
        resume = request.resume_command(surface.program, folder.run_id)
        predicted = predictions(pipeline, steps, results.earlier) if pipeline.rates else {}  # else all is free
        spending = Spending.of(pipeline, folder, steps, predicted, surface.clock)
        with (
            spending.admitted(folder.load()),
            RunBook(folder, surface.clock) as book,
            _clerk(pipeline, folder, host := warm.prepare(pipeline, steps.running)) as clerk,
        ):
            pools = Pools(state_folder() / "pools.sqlite", pipeline.pools, request.urgent_from)
            tracking = Prepared(clerk, surface.warn, wanted=bool(steps.running))
            crew = Crew(
                book,
                warehouse,
                results,
                surface.display.cell,
                pools,
                ahead=Ahead(host, request.jobs),
                permit=spending.permit,
                await_tracking=tracking.wait,
            )
            book.listen(surface.display.event)
            book.listen(lambda event, _: _nudge(clerk, event))
            with stopped_by_signals(crew.stop) as caught:
                spark.prepare(pipeline, steps.running)
                begin(request, pipeline, steps, crew, spending.expected)
                spending.begun()
                reasons = {name: step.why for name, step in steps.steps.items()}
                with metered(book, surface.clock, bool(steps.running)):
                    run_all(pipeline, reasons, Limits(request.jobs, request.keep_going, steps.may_reuse), crew)
                if steps.running:
                    tracking.wait()
                    finish(book, clerk, surface.warn, caught, LastWords(resume, results.earlier))
                else:
                    finish_at_once(book, clerk, caught, LastWords(resume, results.earlier))
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
    warehouse = Warehouse.local(pipeline.places)
    with _results(pipeline, folder, warehouse) as results:
        steps = _plan(request, pipeline, folder, warehouse, results)
        predicted = predictions(pipeline, steps, results.earlier)
    spending = Spending.of(pipeline, folder, steps, predicted, surface.clock)
    return Preview(steps, forecasts(pipeline, steps, warehouse, predicted), spending.refused(folder.load()))


def accept(names: Sequence[str], request: RunRequest, surface: Surface) -> list[str]:
    """Take the present results of stages for current, whatever has changed; a line for each.

    Raises:
        ConfigError: there is no such stage, or it has no result.
    """
    pipeline = load(request.params, request.flags, surface.environ, surface.cwd)
    graph = {name: stage.depends_on for name, stage in pipeline.stages.items()}
    chosen = dag.select(graph, only=names)
    warehouse, lines = Warehouse.local(pipeline.places), []
    with _results(pipeline, None, warehouse) as results:
        for name in (name for name in dag.order(graph) if name in chosen):
            stage = pipeline.stages[name]
            newest = {table: version for table in stage.reads if (version := warehouse.latest(table)) is not None}
            run_id, changed = results.accept(stage, newest)
            lines.append(f"{name}: the result of run {run_id} is current{f', although {changed}' if changed else ''}")
    return lines


def _folder(request: RunRequest, pipeline: Pipeline, surface: Surface) -> RunFolder:
    if request.resume is not None:
        return runs.find(pipeline.places.runs, request.resume or None, pipeline=pipeline.name)
    return runs.folder(pipeline.places.runs, request.run_id or runs.new_run_id(surface.clock()))


@contextmanager
def _results(pipeline: Pipeline, folder: RunFolder | None, warehouse: Warehouse) -> Iterator[Results]:
    """What earlier runs have; what was parsed for it is kept for the next run."""
    cache = SourceCache(Path(user_cache_dir("stagebook")) / "code.json")
    history = History(pipeline.places.runs, pipeline.name, without=folder.run_id if folder else None)
    yield Results(pipeline, warehouse, history, surroundings.environment(), cache)
    cache.save()


def _plan(request: RunRequest, pipeline: Pipeline, folder: RunFolder, warehouse: Warehouse, results: Results) -> Plan:
    current = folder.load()
    if current and request.resume is None:
        raise plan.AlreadyThere.of(folder.run_id)
    steps = plan.make(pipeline, request, warehouse, current=current, earlier=results.earlier, results=results)
    spark.check(pipeline, steps.running)
    return steps


@contextmanager
def _clerk(pipeline: Pipeline, folder: RunFolder, host: Host | None) -> Iterator[Clerk]:
    clerk = Clerk(pipeline, folder.path, host)
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
def stopped_by_signals(stop: threading.Event) -> Iterator[list[int]]:
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
