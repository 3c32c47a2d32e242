"""What a stage starts from: resolved parameters, pinned table versions, task values, and the engine that computes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from stagebook.cache.lookup import versions_read, writers_of_inputs
from stagebook.config import dbutils_inputs
from stagebook.config.dbutils_inputs import TaskValues
from stagebook.config.references import holds_reference, resolve
from stagebook.engines import facts
from stagebook.engines.choice import EngineChoice
from stagebook.engines.facts import TableSizes
from stagebook.errors import ConfigError, StagebookError, did_you_mean
from stagebook.model.pipeline import Pipeline, Stage
from stagebook.model.record import RunRecord
from stagebook.notebooks.outline import outline
from stagebook.notebooks.parameters import contradiction, declared
from stagebook.notebooks.parameters_cell import NotPython


class UnfitScrap(StagebookError):
    """A stage refers to a scrap whose value does not fit the parameter's annotation."""

    @classmethod
    def of(cls, parameter: str, reference: Any, reason: str) -> Self:
        return cls(
            f"parameter '{parameter}' is {reference}, and {reason}, as the notebook annotates it.\n"
            "  Glue a value that fits, or change the annotation."
        )


class MissingScrap(StagebookError):
    """A stage refers to a scrap that the upstream stage ended without gluing."""

    @classmethod
    def of(cls, stage: str, scrap: str, glued: list[str]) -> Self:
        hint = did_you_mean(scrap, glued)
        return cls(f"stage '{stage}' did not glue '{scrap}'.{hint} It glued: {', '.join(glued) or 'nothing'}")


@dataclass(frozen=True)
class StageInputs:
    """What all attempts of a stage have in common. `versions` is the version of each table that it reads."""

    parameters: dict[str, Any]
    versions: dict[str, int]
    task_values: TaskValues

    @classmethod
    def resolve(cls, pipeline: Pipeline, stage: Stage, record: RunRecord) -> Self:
        """The inputs, now that the upstream stages have ended.

        Raises:
            MissingScrap: a reference names what its stage did not glue.
            UnfitScrap: what it glued does not fit the parameter's annotation.
        """
        parameters = resolve(dict(stage.parameters), lambda up, scrap: glued(record, up, scrap))
        _refuse_unfit(stage, parameters)
        return cls(
            parameters=parameters,
            versions=pinned_versions(pipeline, stage, record),
            task_values=dbutils_inputs.task_values(stage, pipeline.stages, lambda up: record.stages[up].scraps),
        )

    @property
    def key_parameters(self) -> dict[str, Any]:
        """Parameters and all other values that the result depends on, by name."""
        return {**self.parameters, **dbutils_inputs.as_parameters(self.task_values)}


def _refuse_unfit(stage: Stage, parameters: Mapping[str, Any]) -> None:
    """Check what references have become; all other values were checked before the run."""
    references = {name: value for name, value in stage.parameters.items() if holds_reference(value)}
    if not references:
        return
    try:
        declarations = declared(outline(stage.notebook)) or {}
    except (ConfigError, NotPython):
        return  # the attempt fails by it
    for name, reference in references.items():
        if name in declarations and (reason := contradiction(declarations[name], parameters[name])) is not None:
            raise UnfitScrap.of(name, reference, reason)


def glued(record: RunRecord, stage: str, scrap: str) -> Any:
    """The value of an upstream scrap.

    Raises:
        MissingScrap: if the stage ended without gluing it.
    """
    scraps = record.stages[stage].scraps
    if scrap not in scraps:
        raise MissingScrap.of(stage, scrap, sorted(scraps))
    return scraps[scrap]


def pinned_versions(pipeline: Pipeline, stage: Stage, record: RunRecord) -> dict[str, int]:
    """The version of each table that the stage reads: what this run committed, else as of the run's start."""
    outputs = [record.stages[name].outputs for name in writers_of_inputs(pipeline, stage)]
    return versions_read(stage, record.pins, outputs)


def engine_of(
    pipeline: Pipeline, stage: Stage, versions: dict[str, int], tables: TableSizes
) -> tuple[str, EngineChoice | None]:
    """The engine that is asked for; or with `auto` the one that is chosen, and why."""
    engine = stage.engine or pipeline.engine
    if engine != "auto":
        return engine, None
    choice = facts.engine_for_stage(stage, versions, tables, facts.machine_facts(pipeline.spark))
    return choice.engine, choice
