"""What a plan's stages would compute on, how long they would take and what they would cost."""

from collections.abc import Iterable
from itertools import islice

from stagebook.cost import history
from stagebook.cost.estimate import in_a_row
from stagebook.cost.history import Prediction, Wanted
from stagebook.errors import StagebookError
from stagebook.execute import choosing
from stagebook.model.pipeline import Pipeline, Stage
from stagebook.model.pricing import NOTHING
from stagebook.model.record import RunRecord
from stagebook.params.references import holds_reference
from stagebook.run.forecast import Forecast
from stagebook.run.steps import Plan
from stagebook.tables.warehouse import Warehouse

RUNS = 100
"""So many journals are read, at most, to predict a run."""


def forecasts(
    pipeline: Pipeline, plan: Plan, warehouse: Warehouse, predictions: dict[str, Prediction]
) -> dict[str, Forecast]:
    """Engine, seconds and US dollars of each stage that would run, and why.

    A table that an upstream stage is going to write is taken as large as it is now; a stage whose tables
    do not all exist yet has no engine where that is `auto`.
    """
    costs = in_a_row([(pipeline.rate(name), predictions[name].seconds or NOTHING) for name in plan.running])
    wanted = {name: pipeline.stages[name].engine or pipeline.engine for name in plan.running}
    here = choosing.here(pipeline.spark) if "auto" in wanted.values() else None
    found: dict[str, Forecast] = {}
    for name, usd in zip(plan.running, costs, strict=True):
        engine, why = (wanted[name], "")
        if here and engine == "auto":
            engine, why = _chosen(pipeline.stages[name], warehouse, here)
        told = predictions[name]
        priced = None if pipeline.rate(name) is None else usd
        found[name] = Forecast(engine, why, told.seconds, priced, told.why)
    return found


def predictions(pipeline: Pipeline, plan: Plan, earlier: Iterable[RunRecord]) -> dict[str, Prediction]:
    """The seconds of each stage that would run, from the last runs of this pipeline, newest first."""
    if not plan.running:
        return {}
    told = list(islice(earlier, RUNS))[::-1]
    sizes = history.table_bytes(told)
    inputs = dict(plan.pins)
    for step in plan.steps.values():
        inputs |= {name: made["version"] for name, made in step.result.get("outputs", {}).items()}
    found = {}
    for name in plan.running:
        stage = pipeline.stages[name]
        known = {key: value for key, value in stage.parameters.items() if not holds_reference(value)}
        engine = stage.engine or pipeline.engine
        read = {table: inputs[table] for table in stage.reads if table in inputs}
        size = history.input_bytes(read, sizes) if len(read) == len(stage.reads) else None
        wanted = Wanted(name, known, None if engine == "auto" else engine, size)
        found[name] = history.predict(wanted, told, sizes)
    return found


def _chosen(stage: Stage, warehouse: Warehouse, here: choosing.Here) -> tuple[str | None, str]:
    """The engine that would be chosen, and why; None where that cannot be told yet."""
    versions = {name: warehouse.latest(name) for name in stage.reads}
    known = {name: version for name, version in versions.items() if version is not None}
    if len(known) < len(versions):
        return None, ""
    try:
        choice = choosing.chosen(stage, known, warehouse, here)
    except StagebookError:
        return None, ""  # what is wrong is said by the stage itself
    return choice.engine, choice.why
