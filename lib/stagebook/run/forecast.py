"""What a plan's stages would compute on, from the tables as they are now; for `--dry-run`."""

from stagebook.errors import StagebookError
from stagebook.execute import choosing
from stagebook.model.pipeline import Pipeline, Stage
from stagebook.run.steps import Forecast, Plan
from stagebook.tables.warehouse import Warehouse


def forecasts(pipeline: Pipeline, plan: Plan, warehouse: Warehouse) -> dict[str, Forecast]:
    """The engine of each stage that would run, and why.

    A table that an upstream stage is going to write is taken as large as it is now; a stage whose tables
    do not all exist yet is not forecast where its engine is `auto`.
    """
    running = [stage for name, stage in pipeline.stages.items() if plan.steps[name].action == "run"]
    undecided = any((stage.engine or pipeline.engine) == "auto" for stage in running)
    on = choosing.here(pipeline.spark) if undecided else None
    found = {stage.name: _forecast(stage, stage.engine or pipeline.engine, warehouse, on) for stage in running}
    return {name: forecast for name, forecast in found.items() if forecast is not None}


def _forecast(stage: Stage, wanted: str, warehouse: Warehouse, on: choosing.Here | None) -> Forecast | None:
    if wanted != "auto" or on is None:
        return Forecast(wanted, "")
    versions = {name: warehouse.latest(name) for name in stage.reads}
    known = {name: version for name, version in versions.items() if version is not None}
    if len(known) < len(versions):
        return None
    try:
        choice = choosing.chosen(stage, known, warehouse, on)
    except StagebookError:
        return None  # what is wrong is said by the stage itself
    return Forecast(choice.engine, choice.why)
