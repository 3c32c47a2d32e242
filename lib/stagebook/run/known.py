"""What is known of a stage before anything runs: whether an earlier result stands for it, or why it has to run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stagebook.execute import guests
from stagebook.execute.reusing import Found, makers, versions_read
from stagebook.execute.run_all import refused_by_condition
from stagebook.model.pipeline import Pipeline, RunIf, Stage
from stagebook.model.record import RunRecord
from stagebook.params.references import resolve
from stagebook.reuse import Ingredients
from stagebook.run.steps import Step


class TableVersions(Protocol):
    """What the plan asks of tables."""

    def latest(self, name: str) -> int | None:
        """The newest version of a table, or None where there is no such table."""
        ...


class Results(Protocol):
    """What the plan asks of earlier results."""

    def ingredients(self, stage: Stage, parameters: Mapping[str, Any], inputs: Mapping[str, int]) -> Ingredients: ...
    def find(self, stage: Stage, ingredients: Ingredients) -> Found: ...
    def own_change(self, stage: Stage) -> str | None: ...


_SUCCESS_SUFFICES = (RunIf.ALL_SUCCESS, RunIf.ALL_DONE, RunIf.NONE_FAILED, RunIf.AT_LEAST_ONE_SUCCESS)


@dataclass(frozen=True)
class Known:
    """What is known of upstream stages before anything runs: results that are kept or reused."""

    pipeline: Pipeline
    tables: TableVersions
    results: Results
    current: RunRecord | None
    steps: Mapping[str, Step]

    def step(self, stage: Stage) -> Step:
        """Reuse where an earlier result stands; else run, and why."""
        waiting = [up for up in stage.depends_on if self.steps[up].action not in ("keep", "reuse")]
        if waiting or stage.run_if not in _SUCCESS_SUFFICES:
            return self._later(stage, waiting)
        if (refusal := refused_by_condition(stage, self._scrap)) is not None:
            return Step("skip", refusal)
        newest = {name: version for name in stage.reads if (version := self.tables.latest(name)) is not None}
        outputs = [self._left(name).get("outputs", {}) for name in makers(self.pipeline, stage) if name in self.steps]
        versions = versions_read(stage, newest, outputs)
        if missing := [name for name in stage.reads if name not in versions]:
            return self._run(f"there is no table `{missing[0]}` yet", stage)
        parameters = resolve(dict(stage.parameters), self._scrap)
        values = guests.task_values(stage, self.pipeline.stages, lambda up: self._left(up).get("scraps", {}))
        ingredients = self.results.ingredients(stage, {**parameters, **guests.counted(values)}, versions)
        found = self.results.find(stage, ingredients)
        if found.result is None:
            return self._run(found.why, stage)
        return Step("reuse", found.why, found.result)

    def _later(self, stage: Stage, waiting: Sequence[str]) -> Step:
        change = self.results.own_change(stage)
        if change is None and waiting:
            change = f"{', '.join(waiting)} before it {'run' if len(waiting) > 1 else 'runs'}"
        return self._run(change or f"runs if {stage.run_if.value}", stage)

    def _run(self, why: str, stage: Stage) -> Step:
        begun = self.current.stages.get(stage.name) if self.current else None
        if begun and begun.attempts:
            why = f"resumed: attempt {len(begun.attempts)} did not finish"
        return Step("run", why, may_reuse=True)

    def _left(self, stage: str) -> Mapping[str, Any]:
        step = self.steps[stage]
        if step.action == "keep" and self.current:
            return self.current.stages[stage].result
        return step.result

    def _scrap(self, stage: str, scrap: str) -> Any:
        return self._left(stage)["scraps"].get(scrap)
