"""The plan: which stages run and why, and which take an earlier result, before anything is started."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from stagebook import graph
from stagebook.cache.key import canonical
from stagebook.cache.lookup import recorded_result
from stagebook.config.references import holds_reference
from stagebook.config.request import RunRequest
from stagebook.errors import ConfigError
from stagebook.model.pipeline import Pipeline, RunIf, Stage
from stagebook.model.record import RunRecord
from stagebook.planner.plan import Plan, Step
from stagebook.planner.upstream import StageCache, TableVersions, UpstreamResults


class MissingUpstreamResult(ConfigError):
    """A part of the pipeline was asked for whose upstream stages have no finished result."""

    @classmethod
    def of(cls, missing: Sequence[str], selected: Sequence[str]) -> Self:
        return cls(
            f"{', '.join(selected)} cannot run alone: no run has a finished result of {', '.join(missing)}.\n"
            f"  Run the whole pipeline once, or name them with `+`: --only +{selected[0]}"
        )


class ParametersChanged(ConfigError):
    """A resumed run would mix results of different parameters."""

    @classmethod
    def of(cls, stage: str, name: str, before: Any, now: Any) -> Self:
        return cls(
            f"--resume: stage '{stage}' has finished with {name} = {before!r}, and now {name} is {now!r}.\n"
            "  A resumed run keeps its parameters: start a new run without --resume."
        )


class RunExists(ConfigError):
    """A new run was given the id of one that exists."""

    @classmethod
    def of(cls, run_id: str) -> Self:
        return cls(
            f"--run-id: there is a run '{run_id}' already.\n  Go on with it by --resume {run_id}, or take another id."
        )


class MissingTables(ConfigError):
    """Stages read tables that do not exist and that no stage of the run writes."""

    @classmethod
    def of(cls, missing: Mapping[str, str], where: str) -> Self:
        lines = "\n  ".join(f"'{table}', which stage '{stage}' reads" for table, stage in missing.items())
        return cls(f"there is no such table in {where}, and no stage of this run writes it:\n  {lines}")


def make_plan(
    pipeline: Pipeline,
    request: RunRequest,
    tables: TableVersions,
    *,
    current: RunRecord | None,
    history: Iterable[RunRecord],
    cache: StageCache,
) -> Plan:
    """Decide about every stage.

    Args:
        current: the run to go on with, for `--resume`.
        history: finished or broken runs of this pipeline, newest first; unselected upstream stages take
            their results from the newest that has them all.
        cache: says of a stage whose inputs are known whether it has an earlier result.
    Raises:
        MissingUpstreamResult, ParametersChanged, MissingTables, ConfigError: see there.
    """
    edges = {name: stage.depends_on for name, stage in pipeline.stages.items()}
    selected = graph.select(edges, first=request.first, last=request.last, only=request.only)
    forced = _forced(request.force, edges)
    kept = _finished(pipeline, current) - forced if current else set()
    forced |= _forced(request.forced_before, edges)
    needed = graph.upstream(edges, selected - kept) - selected - kept
    base = _newest_with(needed, history)
    if needed and base is None:
        raise MissingUpstreamResult.of(sorted(needed), [name for name in edges if name in selected])
    steps: dict[str, Step] = {}
    upstream = UpstreamResults(pipeline, tables, cache, current, steps)
    for name in graph.order(edges):
        if name in kept and current:
            steps[name] = Step("keep", f"finished in this run ({current.stages[name].status.value})")
        elif name in selected:
            forced_reason = _reason_to_run_anyway(pipeline.stages[name], request, forced)
            steps[name] = Step("run", forced_reason) if forced_reason else upstream.step(pipeline.stages[name])
        elif name in needed and base:
            steps[name] = Step("reuse", f"not selected; taken from run {base.run_id}", recorded_result(base, name))
        else:
            steps[name] = Step("skip", "not selected")
    return Plan(steps, _pins(pipeline, steps, tables))


def _forced(names: Sequence[str] | None, edges: graph.Graph) -> set[str]:
    """The stages that `--force` names; all of them where it names none. Their downstream stages follow."""
    if names is None:
        return set()
    return graph.downstream(edges, graph.select(edges, only=names) if names else list(edges))


def _finished(pipeline: Pipeline, current: RunRecord) -> set[str]:
    """The stages that the run has finished, without those downstream of a stage that has to run again."""
    edges = {name: stage.depends_on for name, stage in pipeline.stages.items()}
    unfinished = [name for name in edges if name not in current.stages or not current.stages[name].status.done]
    finished = set(edges) - graph.downstream(edges, unfinished)
    for name in finished:
        _refuse_changed_parameters(pipeline, current, name)
    return finished


def _refuse_changed_parameters(pipeline: Pipeline, current: RunRecord, name: str) -> None:
    before = current.stages[name].parameters
    now = {key: value for key, value in pipeline.stages[name].parameters.items() if not holds_reference(value)}
    if current.stages[name].status.value == "reused":
        return
    for key, value in now.items():
        if canonical(before.get(key)) != canonical(value):  # as text, since NaN equals nothing
            raise ParametersChanged.of(name, key, before.get(key), value)


def _newest_with(needed: set[str], history: Iterable[RunRecord]) -> RunRecord | None:
    for record in history if needed else ():
        if all(name in record.stages and record.stages[name].status.done for name in needed):
            return record
    return None


def _reason_to_run_anyway(stage: Stage, request: RunRequest, forced: set[str]) -> str | None:
    """Why a stage runs whatever an earlier run has; None where that is asked."""
    if stage.name in forced:
        return "forced"
    untracked = None if stage.dbutils_inputs is None else stage.dbutils_inputs.untracked
    if untracked is not None and stage.reuse != "trusted":
        return f"cannot be told: its notebook may read anything by {untracked}"
    if stage.reuse == "never":
        return "its `reuse` is never"
    if not stage.own_environment:
        return f"the packages of its kernel{f' {stage.kernel_name}' if stage.kernel_name else ''} are not known"
    return None if request.reuse else "asked for by --no-reuse"


def _pins(pipeline: Pipeline, steps: Mapping[str, Step], tables: TableVersions) -> dict[str, int]:
    """The version, as of now, of every table that is read and that no earlier stage of this run is sure to write.

    A stage that does not wait for the results of all others may run after its table's writer has failed or ended early.
    """
    pins: dict[str, int] = {}
    missing: dict[str, str] = {}
    written: dict[str, frozenset[str]] = {}  # by a stage and all before it; `steps` are in that order
    for name, step in steps.items():
        stage = pipeline.stages[name]
        written_before = frozenset[str]().union(*(written[up] for up in stage.depends_on))
        written[name] = written_before.union(() if step.action == "skip" else stage.writes)
        if step.action != "run":
            continue
        for table in stage.reads:
            if table in written_before and stage.run_if is RunIf.ALL_SUCCESS:
                continue
            version = tables.latest(table)
            if version is not None:
                tables.refuse_damaged(table, version)
                pins[table] = version
            elif table not in written_before:
                missing[table] = name
    if missing:
        raise MissingTables.of(missing, str(pipeline.paths.tables))
    return pins
