"""What is known of a stage before anything runs: whether an earlier result stands for it, or why it has to run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stagebook.execute.reusing import Found
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
        if stage.only_if is not None and resolve(stage.only_if, self._scrap) not in (True, "true"):
            return Step("skip", f"only_if {stage.only_if} is {resolve(stage.only_if, self._scrap)!r}")
        inputs = {name: self._version(name) for name in stage.reads}
        missing = [name for name, version in inputs.items() if version is None]
        if missing:
            return self._run(f"there is no table `{missing[0]}` yet", stage)
        parameters = resolve(dict(stage.parameters), self._scrap)
        versions = {name: version for name, version in inputs.items() if version is not None}
        found = self.results.find(stage, self.results.ingredients(stage, parameters, versions))
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

    def _version(self, table: str) -> int | None:
        """The version that the stage would read: of an upstream result, else the newest."""
        made = [self._left(name).get("outputs", {}).get(table) for name in self.steps]
        version = next((found["version"] for found in reversed(made) if found), None)
        return self.tables.latest(table) if version is None else version
