"""What a plan's stages would compute on, how long they would take and what they would cost."""

from collections.abc import Iterable, Mapping
from itertools import islice

from stagebook.config.references import holds_reference
from stagebook.costs import prediction
from stagebook.costs.estimate import estimate_sequence
from stagebook.costs.prediction import Prediction, StageQuery
from stagebook.engines import facts
from stagebook.errors import StagebookError
from stagebook.model.pipeline import Pipeline, Stage
from stagebook.model.pricing import ZERO
from stagebook.model.record import RunRecord
from stagebook.planner.forecast import Forecast
from stagebook.planner.plan import Plan
from stagebook.tables.warehouse import Warehouse

MOST_RUNS = 100
"""So many journals are read, at most, to predict a run."""


def forecast_stages(
    pipeline: Pipeline, plan: Plan, warehouse: Warehouse, predictions: Mapping[str, Prediction]
) -> dict[str, Forecast]:
    """Engine, seconds and US dollars of each stage that would run, and why.

    A table that an upstream stage is going to write is taken as large as it is now; a stage whose tables
    do not all exist yet has no engine where that is `auto`.
    """
    costs = estimate_sequence([(pipeline.rate(name), predictions[name].seconds or ZERO) for name in plan.running])
    asked = {name: pipeline.stages[name].engine or pipeline.engine for name in plan.running}
    machine = facts.machine_facts(pipeline.spark) if "auto" in asked.values() else None
    forecasts: dict[str, Forecast] = {}
    for name, usd in zip(plan.running, costs, strict=True):
        engine, reason = asked[name], ""
        if machine and engine == "auto":
            engine, reason = _chosen_engine(pipeline.stages[name], warehouse, machine)
        price = None if pipeline.rate(name) is None else usd
        forecasts[name] = Forecast(engine, reason, predictions[name].seconds, price, predictions[name].basis)
    return forecasts


def predict_seconds(pipeline: Pipeline, plan: Plan, history: Iterable[RunRecord]) -> dict[str, Prediction]:
    """The seconds of each stage that would run, from the last runs of this pipeline, newest first."""
    if not plan.running:
        return {}
    records = list(islice(history, MOST_RUNS))[::-1]
    sizes = prediction.table_bytes(records)
    versions = dict(plan.pins)
    for step in plan.steps.values():
        versions |= {name: output["version"] for name, output in step.result.get("outputs", {}).items()}
    predictions = {}
    for name in plan.running:
        stage = pipeline.stages[name]
        parameters = {key: value for key, value in stage.parameters.items() if not holds_reference(value)}
        engine = stage.engine or pipeline.engine
        inputs = {table: versions[table] for table in stage.reads if table in versions}
        size = prediction.input_bytes(inputs, sizes) if len(inputs) == len(stage.reads) else None
        query = StageQuery(name, parameters, None if engine == "auto" else engine, size)
        predictions[name] = prediction.predict(query, records, sizes)
    return predictions


def _chosen_engine(stage: Stage, warehouse: Warehouse, machine: facts.MachineFacts) -> tuple[str | None, str]:
    """The engine that would be chosen, and why; None where that cannot be said yet."""
    latest = {name: warehouse.latest(name) for name in stage.reads}
    versions = {name: version for name, version in latest.items() if version is not None}
    if len(versions) < len(latest):
        return None, ""
    try:
        choice = facts.engine_for_stage(stage, versions, warehouse, machine)
    except StagebookError:
        return None, ""  # what is wrong is said by the stage itself
    return choice.engine, choice.reason
