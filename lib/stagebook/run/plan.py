"""The plan: which stages run and why, which stand on earlier results, before anything is started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Protocol, Self

from stagebook import dag
from stagebook.cost import bill
from stagebook.errors import ConfigError
from stagebook.model.pipeline import Pipeline
from stagebook.model.record import RunRecord, StageRecord
from stagebook.params.references import holds_reference
from stagebook.run.forecast import Forecast, total
from stagebook.run.request import RunRequest

Action = Literal["run", "reuse", "skip", "keep"]


class TableVersions(Protocol):
    """What the plan asks of tables."""

    def latest(self, name: str) -> int | None:
        """The newest version of a table, or None where there is no such table."""
        ...


@dataclass(frozen=True)
class Step:
    """What happens to one stage. `result` is what an earlier run left, for `reuse`."""

    action: Action
    why: str
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A step for each stage, in the order in which they would run; and the tables' versions as of now."""

    steps: Mapping[str, Step]
    pins: Mapping[str, int]

    def to_json(self, forecasts: Mapping[str, Forecast] = MappingProxyType({})) -> dict[str, Any]:
        told = {name: {"action": step.action, "why": step.why} for name, step in self.steps.items()}
        for name, forecast in forecasts.items():
            told[name] |= forecast.to_json()
        return told

    @property
    def running(self) -> list[str]:
        """The stages that are to run, in order."""
        return [name for name, step in self.steps.items() if step.action == "run"]

    def to_text(self, forecasts: Mapping[str, Forecast] = MappingProxyType({})) -> str:
        """A line a stage: what happens to it, and why; below it why its engine, how long, at which cost."""
        width = max(map(len, self.steps))
        lines = []
        for name, step in self.steps.items():
            forecast = forecasts.get(name)
            engine = f"on {forecast.engine}: " if forecast and forecast.engine else ""
            lines.append(f"{name:{width}}  {step.action:5}  {engine}{step.why}")
            if forecast and forecast.why:
                lines.append(f"{'':{width}}         {forecast.why}")
            if forecast and forecast.history:
                lines.append(f"{'':{width}}         {forecast.to_text()}")
        if told := total(forecasts):
            lines.append(f"{'cost':{width}}  {told}")
        return "\n".join(lines)


class NothingToStandOn(ConfigError):
    """A part of the pipeline was asked for whose upstream stages have no finished result."""

    @classmethod
    def of(cls, missing: Sequence[str], wanted: Sequence[str]) -> Self:
        return cls(
            f"{', '.join(wanted)} cannot run alone: no run has a finished result of {', '.join(missing)}.\n"
            f"  Run the whole pipeline once, or name them with `+`: --only +{wanted[0]}"
        )


class ChangedSinceStart(ConfigError):
    """A resumed run would mix results of different parameters."""

    @classmethod
    def of(cls, stage: str, name: str, before: Any, now: Any) -> Self:
        return cls(
            f"--resume: stage '{stage}' has finished with {name} = {before!r}, and now {name} is {now!r}.\n"
            "  A resumed run keeps its parameters: start a new run without --resume."
        )


class AlreadyThere(ConfigError):
    """A new run was given the id of one that exists."""

    @classmethod
    def of(cls, run_id: str) -> Self:
        return cls(
            f"--run-id: there is a run '{run_id}' already.\n  Go on with it by --resume {run_id}, or take another id."
        )


class MissingTables(ConfigError):
    """Stages read tables that nobody has written and nobody will."""

    @classmethod
    def of(cls, missing: Mapping[str, str], where: str) -> Self:
        lines = "\n  ".join(f"'{table}', which stage '{stage}' reads" for table, stage in missing.items())
        return cls(f"there is no such table in {where}, and no stage of this run writes it:\n  {lines}")


def make(
    pipeline: Pipeline,
    request: RunRequest,
    tables: TableVersions,
    *,
    current: RunRecord | None,
    earlier: Sequence[RunRecord],
) -> Plan:
    """Decide about every stage.

    Args:
        current: the run to go on with, for `--resume`.
        earlier: finished or broken runs of this pipeline, oldest first; unselected upstream stages take
            their results from the newest that has them all.
    Raises:
        NothingToStandOn, ChangedSinceStart, MissingTables, ConfigError: see there.
    """
    graph = {name: stage.depends_on for name, stage in pipeline.stages.items()}
    selected = dag.select(graph, first=request.first, last=request.last, only=request.only)
    forced = _forced(request, graph)
    kept = _finished(pipeline, current) - forced if current else set()
    needed = dag.upstream(graph, selected - kept) - selected - kept
    base = _newest_with(needed, earlier)
    if needed and base is None:
        raise NothingToStandOn.of(sorted(needed), [name for name in graph if name in selected])
    steps: dict[str, Step] = {}
    for name in dag.order(graph):
        if name in kept and current:
            steps[name] = Step("keep", f"finished in this run ({current.stages[name].status.value})")
        elif name in selected:
            steps[name] = Step("run", _why(name, request, current, forced))
        elif name in needed and base:
            steps[name] = Step("reuse", f"not selected; stands on run {base.run_id}", _result(base, name))
        else:
            steps[name] = Step("skip", "not selected")
    return Plan(steps, _pins(pipeline, steps, tables))


def _forced(request: RunRequest, graph: dag.Graph) -> set[str]:
    """The stages that `--force` names; all of them where it names none. Their downstream stages follow."""
    if request.force is None:
        return set()
    return dag.downstream(graph, dag.select(graph, only=request.force) if request.force else list(graph))


def _finished(pipeline: Pipeline, current: RunRecord) -> set[str]:
    """The stages that the run has finished, with what stands on a stage that has to run again left out."""
    graph = {name: stage.depends_on for name, stage in pipeline.stages.items()}
    undone = [name for name in graph if name not in current.stages or not current.stages[name].status.done]
    finished = set(graph) - dag.downstream(graph, undone)
    for name in finished:
        _same_parameters(pipeline, current, name)
    return finished


def _same_parameters(pipeline: Pipeline, current: RunRecord, name: str) -> None:
    before = current.stages[name].parameters
    now = {key: value for key, value in pipeline.stages[name].parameters.items() if not holds_reference(value)}
    if current.stages[name].status.value == "reused":
        return
    for key, value in now.items():
        if before.get(key) != value:
            raise ChangedSinceStart.of(name, key, before.get(key), value)


def _newest_with(needed: set[str], earlier: Sequence[RunRecord]) -> RunRecord | None:
    for record in reversed(earlier):
        if all(name in record.stages and record.stages[name].status.done for name in needed):
            return record
    return None


def _result(record: RunRecord, name: str) -> dict[str, Any]:
    stage = record.stages[name]
    return {
        "scraps": stage.scraps,
        "outputs": stage.outputs,
        "inputs": stage.inputs,
        "parameters": stage.parameters,
        "saved_usd": _worth(record, stage),
    }


def _worth(record: RunRecord, stage: StageRecord) -> float | None:
    """US dollars that the stage cost the run that computed its result; None where it had no price."""
    if stage.saved_usd is not None:
        return stage.saved_usd
    split = bill.of(record).stages.get(stage.name)
    return None if split is None else bill.amount(split.total.likely)


def _why(name: str, request: RunRequest, current: RunRecord | None, forced: set[str]) -> str:
    if name in forced:
        return "forced"
    if current and name in current.stages and current.stages[name].attempts:
        return f"resumed: attempt {len(current.stages[name].attempts)} did not finish"
    return "selected" if request.first or request.last or request.only else "part of the pipeline"


def _pins(pipeline: Pipeline, steps: Mapping[str, Step], tables: TableVersions) -> dict[str, int]:
    """The version, as of now, of every table that is read and that no earlier stage of this run writes."""
    pins: dict[str, int] = {}
    missing: dict[str, str] = {}
    graph = {name: stage.depends_on for name, stage in pipeline.stages.items()}
    for name, stage in pipeline.stages.items():
        if steps[name].action != "run":
            continue
        above = dag.upstream(graph, [name]) - {name}
        made = {table for up in above for table in pipeline.stages[up].writes if steps[up].action != "skip"}
        for table in stage.reads:
            if table in made:
                continue
            version = tables.latest(table)
            if version is None:
                missing[table] = name
            else:
                pins[table] = version
    if missing:
        raise MissingTables.of(missing, str(pipeline.places.tables))
    return pins
