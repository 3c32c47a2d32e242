"""A stage whose upstream results are known before anything runs: whether the cache has its result, or why it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stagebook import graph
from stagebook.cache.key import CacheKeyInputs
from stagebook.cache.lookup import NO_RESULT, CacheLookup, versions_read, writers_of_inputs
from stagebook.config import dbutils_inputs
from stagebook.config.references import condition_refusal, resolve
from stagebook.model.pipeline import Pipeline, RunIf, Stage
from stagebook.model.record import RunRecord
from stagebook.planner.plan import Step


class TableVersions(Protocol):
    """What the plan asks of tables."""

    def latest(self, name: str) -> int | None:
        """The newest version of a table, or None where there is no such table."""
        ...

    def refuse_damaged(self, name: str, version: int) -> None:
        """Refuse a version whose log cannot be read."""
        ...


class StageCache(Protocol):
    """What the plan asks of the result cache; see `cache.lookup.ResultCache`."""

    def key_inputs(
        self, stage: Stage, parameters: Mapping[str, Any], versions: Mapping[str, int]
    ) -> CacheKeyInputs: ...
    def look_up(self, stage: Stage, key_inputs: CacheKeyInputs) -> CacheLookup: ...
    def own_changes(self, stage: Stage) -> Sequence[str]: ...


_SUCCESS_SUFFICES = (RunIf.ALL_SUCCESS, RunIf.ALL_DONE, RunIf.NONE_FAILED, RunIf.AT_LEAST_ONE_SUCCESS)


@dataclass(frozen=True)
class UpstreamResults:
    """Results that are kept or reused, by stage: `steps` grows in the order of the graph."""

    pipeline: Pipeline
    tables: TableVersions
    cache: StageCache
    current: RunRecord | None
    steps: Mapping[str, Step]

    def step(self, stage: Stage) -> Step:
        """Reuse where the cache has a result that still holds; else run, and why."""
        early_ends = {up: self._early_end(up) for up in stage.depends_on}
        running = [up for up, end in early_ends.items() if not end and self.steps[up].action not in ("keep", "reuse")]
        if not running and (reason := graph.missing_result(stage.run_if, list(early_ends.values()))):
            return Step("skip", reason, {"ended_early": reason})
        if running or stage.run_if not in _SUCCESS_SUFFICES:
            return self._step_after(stage, running)
        if (refusal := condition_refusal(stage, self._scrap)) is not None:
            return Step("skip", refusal)
        newest = {name: version for name in stage.reads if (version := self.tables.latest(name)) is not None}
        writers = [name for name in writers_of_inputs(self.pipeline, stage) if name in self.steps]
        versions = versions_read(stage, newest, [self._result(name).get("outputs", {}) for name in writers])
        if missing := [name for name in stage.reads if name not in versions]:
            return self._run([f"there is no table `{name}` yet" for name in missing], stage)
        parameters = resolve(dict(stage.parameters), self._scrap)
        values = dbutils_inputs.task_values(stage, self.pipeline.stages, lambda up: self._result(up).get("scraps", {}))
        key_inputs = self.cache.key_inputs(stage, {**parameters, **dbutils_inputs.as_parameters(values)}, versions)
        lookup = self.cache.look_up(stage, key_inputs)
        if lookup.result is None:
            return self._run([lookup.reason, *lookup.more], stage)
        return Step("reuse", lookup.reason, lookup.result)

    def _step_after(self, stage: Stage, running: Sequence[str]) -> Step:
        """The step of a stage that can be looked up only when its upstream stages have ended."""
        reasons = list(self.cache.own_changes(stage))
        if running and reasons != [NO_RESULT]:
            reasons.append(f"{', '.join(running)} before it {'run' if len(running) > 1 else 'runs'}")
        return self._run(reasons or [f"runs if {stage.run_if.value}"], stage)

    def _run(self, reasons: Sequence[str], stage: Stage) -> Step:
        begun = self.current.stages.get(stage.name) if self.current else None
        if begun and begun.attempts:
            reasons = [f"resumed: attempt {len(begun.attempts)} did not finish"]
        return Step("run", reasons[0], may_reuse=True, more=tuple(reasons[1:]))

    def _result(self, stage: str) -> Mapping[str, Any]:
        step = self.steps[stage]
        if step.action == "keep" and self.current:
            return self.current.stages[stage].result
        return step.result

    def _early_end(self, stage: str) -> str | None:
        """As `StageRecord.early_end`, of a stage that is kept, reused, or skipped for the early end of another."""
        ended_early = self._result(stage).get("ended_early")
        is_own = self.steps[stage].action != "skip"
        return f"{stage} ended early: {ended_early}" if ended_early and is_own else ended_early

    def _scrap(self, stage: str, scrap: str) -> Any:
        return self._result(stage).get("scraps", {}).get(scrap)
