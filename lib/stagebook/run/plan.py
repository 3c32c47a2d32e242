"""The plan: which stages run and why, which stand on earlier results, before anything is started."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from stagebook import dag
from stagebook.errors import ConfigError
from stagebook.execute.reusing import result_of
from stagebook.model.pipeline import Pipeline, Stage
from stagebook.model.record import RunRecord
from stagebook.params.references import holds_reference
from stagebook.run.known import Known, Results, TableVersions
from stagebook.run.request import RunRequest
from stagebook.run.steps import Plan, Step


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
    earlier: Iterable[RunRecord],
    results: Results,
) -> Plan:
    """Decide about every stage.

    Args:
        current: the run to go on with, for `--resume`.
        earlier: finished or broken runs of this pipeline, newest first; unselected upstream stages take
            their results from the newest that has them all.
        results: says of a stage whose inputs are known whether an earlier result stands for it.
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
    known = Known(pipeline, tables, results, current, steps)
    for name in dag.order(graph):
        if name in kept and current:
            steps[name] = Step("keep", f"finished in this run ({current.stages[name].status.value})")
        elif name in selected:
            why = _told_to_run(pipeline.stages[name], request, forced)
            steps[name] = Step("run", why) if why else known.step(pipeline.stages[name])
        elif name in needed and base:
            steps[name] = Step("reuse", f"not selected; stands on run {base.run_id}", result_of(base, name))
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


def _newest_with(needed: set[str], earlier: Iterable[RunRecord]) -> RunRecord | None:
    for record in earlier if needed else ():
        if all(name in record.stages and record.stages[name].status.done for name in needed):
            return record
    return None


def _told_to_run(stage: Stage, request: RunRequest, forced: set[str]) -> str | None:
    """Why a stage runs whatever an earlier run has; None where that is asked."""
    if stage.name in forced:
        return "forced"
    if not stage.reuse:
        return "its `reuse` is never"
    if stage.guest is not None and stage.guest.unseen is not None:
        return f"what its notebook reads by {stage.guest.unseen} cannot be seen"
    return None if request.reuse else "asked for by --no-reuse"


def _pins(pipeline: Pipeline, steps: Mapping[str, Step], tables: TableVersions) -> dict[str, int]:
    """The version, as of now, of every table that is read and that no earlier stage of this run writes."""
    pins: dict[str, int] = {}
    missing: dict[str, str] = {}
    made: dict[str, frozenset[str]] = {}  # by a stage and all before it; `steps` are in that order
    for name, step in steps.items():
        stage = pipeline.stages[name]
        before = frozenset[str]().union(*(made[up] for up in stage.depends_on))
        made[name] = before.union(() if step.action == "skip" else stage.writes)
        if step.action != "run":
            continue
        for table in stage.reads:
            if table in before:
                continue
            version = tables.latest(table)
            if version is None:
                missing[table] = name
            else:
                pins[table] = version
    if missing:
        raise MissingTables.of(missing, str(pipeline.places.tables))
    return pins
