"""A run before it starts: its pipeline checked, its folder held, its stages planned, its budget known."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_dir

from stagebook import graph
from stagebook.cache.lookup import ResultCache
from stagebook.cache.sources.store import SourceCache
from stagebook.config.load import load
from stagebook.config.request import RunRequest
from stagebook.errors import OverBudget
from stagebook.executor import spark_server
from stagebook.model.pipeline import Pipeline
from stagebook.planner import decide
from stagebook.planner.forecast import Forecast
from stagebook.planner.plan import Plan
from stagebook.planner.predict import forecast_stages, predict_seconds
from stagebook.runner import provenance
from stagebook.runner.budget import RunBudget
from stagebook.runner.environment import RunEnvironment
from stagebook.runs import folders
from stagebook.runs.folders import PipelineHistory, RunFolder
from stagebook.tables.warehouse import Warehouse
from stagebook.tracking import alias_lookup


@dataclass(frozen=True)
class PreparedRun:
    """Everything that is decided about a run before it starts."""

    request: RunRequest
    environment: RunEnvironment
    pipeline: Pipeline
    folder: RunFolder
    warehouse: Warehouse
    cache: ResultCache
    plan: Plan
    budget: RunBudget

    @property
    def resume_command(self) -> str:
        """The exact command that goes on with the run."""
        return self.request.resume_command(self.environment.program, self.folder.run_id)

    @property
    def sync_command(self) -> str:
        """The exact command that sends the run to MLflow again."""
        return self.request.sync_command(self.environment.kit, self.folder.run_id)


@contextmanager
def prepare(request: RunRequest, environment: RunEnvironment) -> Iterator[PreparedRun]:
    """Check and plan a run, and hold its folder; nothing is started or written.

    Raises:
        ConfigError: if anything about the request is wrong.
        RunHeld: if another process holds the run.
    """
    request, pipeline, folder = _checked(request, environment)
    warehouse = Warehouse.local(pipeline.paths)
    with folder.held(), _open_cache(pipeline, folder, warehouse) as cache:
        plan = _make_plan(request, pipeline, folder, warehouse, cache)
        predictions = predict_seconds(pipeline, plan, cache.history) if pipeline.rates else {}  # else all is free
        budget = RunBudget.of(pipeline, folder, plan, predictions, environment.clock)
        yield PreparedRun(request, environment, pipeline, folder, warehouse, cache, plan, budget)


@dataclass(frozen=True)
class PlanPreview:
    """A plan, what its stages would take, and why the budget would refuse it."""

    plan: Plan
    forecasts: dict[str, Forecast]
    refusal: OverBudget | None


def plan_only(request: RunRequest, environment: RunEnvironment) -> PlanPreview:
    """What `run_pipeline` would do, on which engines and at which cost; starts and writes nothing."""
    request, pipeline, folder = _checked(request, environment)
    warehouse = Warehouse.local(pipeline.paths)
    with _open_cache(pipeline, folder, warehouse) as cache:
        plan = _make_plan(request, pipeline, folder, warehouse, cache)
        predictions = predict_seconds(pipeline, plan, cache.history)
    budget = RunBudget.of(pipeline, folder, plan, predictions, environment.clock)
    return PlanPreview(plan, forecast_stages(pipeline, plan, warehouse, predictions), budget.refused(folder.load()))


def accept(names: Sequence[str], request: RunRequest, environment: RunEnvironment) -> list[str]:
    """Take the present results of stages for current, whatever has changed; a line for each.

    Raises:
        ConfigError: there is no such stage, or it has no result.
    """
    pipeline = load(request.params, request.flags, environment.environ, environment.cwd)
    edges = {name: stage.depends_on for name, stage in pipeline.stages.items()}
    selected = graph.select(edges, only=names)
    warehouse, lines = Warehouse.local(pipeline.paths), []
    with _open_cache(pipeline, None, warehouse) as cache:
        for name in (name for name in graph.order(edges) if name in selected):
            stage = pipeline.stages[name]
            newest = {table: version for table in stage.reads if (version := warehouse.latest(table)) is not None}
            run_id, changed = cache.accept(stage, newest)
            lines.append(f"{name}: the result of run {run_id} is current{f', although {changed}' if changed else ''}")
    return lines


def _checked(request: RunRequest, environment: RunEnvironment) -> tuple[RunRequest, Pipeline, RunFolder]:
    """The request with the options that a resumed run holds, its pipeline, and the run's folder."""
    pipeline = _load(request, environment)
    folder = _run_folder(request, pipeline, environment)
    if request.resume is not None and (record := folder.load()) is not None:
        resumed = request.resuming(RunRequest.from_json(record.request))
        if resumed != request:
            request, pipeline = resumed, _load(resumed, environment)
    for warning in pipeline.warnings:
        environment.warn(warning)
    return request, pipeline, folder


def _load(request: RunRequest, environment: RunEnvironment) -> Pipeline:
    return load(request.params, request.flags, environment.environ, environment.cwd, keep_going=request.keep_going)


def _run_folder(request: RunRequest, pipeline: Pipeline, environment: RunEnvironment) -> RunFolder:
    if request.resume is not None:
        return folders.find(pipeline.paths.runs, request.resume or None, pipeline=pipeline.name)
    return folders.folder(pipeline.paths.runs, request.run_id or folders.new_run_id(environment.clock()))


@contextmanager
def _open_cache(pipeline: Pipeline, folder: RunFolder | None, warehouse: Warehouse) -> Iterator[ResultCache]:
    """What earlier runs have; what was parsed for it is kept for the next run."""
    sources = SourceCache(Path(user_cache_dir("stagebook")) / "code.json")
    history = PipelineHistory(pipeline.paths.runs, pipeline.name, without=folder.run_id if folder else None)
    yield ResultCache(pipeline, warehouse, history, provenance.environment(), sources, alias_lookup.aliases)
    sources.save()


def _make_plan(
    request: RunRequest, pipeline: Pipeline, folder: RunFolder, warehouse: Warehouse, cache: ResultCache
) -> Plan:
    current = folder.load()
    if current and request.resume is None:
        raise decide.RunExists.of(folder.run_id)
    history = cache.history.comparable()
    plan = decide.make_plan(pipeline, request, warehouse, current=current, history=history, cache=cache)
    spark_server.require_java(pipeline, plan.running)
    return plan
