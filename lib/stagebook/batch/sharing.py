"""Which stages configurations have in common, and which configuration has to wait for another's.

A stage of two configurations has one result if it, and all stages before it, have equal parameters. Whoever comes
second takes it over, which the runner does by itself; it only must not start before the first one has it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stagebook import dag
from stagebook.model.pipeline import Pipeline
from stagebook.model.record import StageStatus
from stagebook.run.request import RunRequest

Keys = Mapping[str, str]
"""Stage → a digest of its parameters and those of all stages before it."""

_ENDED = (StageStatus.SUCCEEDED, StageStatus.REUSED, StageStatus.SKIPPED)


@dataclass(frozen=True)
class Begun:
    """A configuration that was started: how its stages have ended so far (missing: not begun), and whether it lives."""

    run_id: str
    keys: Keys
    stages: Mapping[str, StageStatus]
    alive: bool


def keys(pipeline: Pipeline, request: RunRequest) -> dict[str, str]:
    """The keys of the stages that a request selects."""
    graph = {name: stage.depends_on for name, stage in pipeline.stages.items()}
    selected = dag.select(graph, first=request.first, last=request.last, only=request.only)
    found: dict[str, str] = {}
    for name in dag.order(graph):
        before = [found[up] for up in pipeline.stages[name].depends_on]
        told = json.dumps([name, dict(pipeline.stages[name].parameters), before], sort_keys=True, default=str)
        found[name] = hashlib.sha256(told.encode()).hexdigest()
    return {name: key for name, key in found.items() if name in selected}


def shared(found: Keys, pipeline: Pipeline, request: RunRequest) -> Keys:
    """Of these keys, those whose results others may take over."""
    return {name: key for name, key in found.items() if request.reuse and pipeline.stages[name].reuse}


def waits(own: Keys, others: Sequence[Begun]) -> bool:
    """Whether a stage that this one would take over is yet to be ended, be it by a retry, by one that lives."""
    there = {key for other in others for stage, key in other.keys.items() if other.stages.get(stage) in _ENDED}
    return any(
        other.alive and other.keys.get(stage) == key and key not in there
        for other in others
        for stage, key in own.items()
    )


def spoiled(own: Keys, others: Sequence[Begun]) -> str | None:
    """Why this configuration would fail as another has, before it comes to anything of its own; or None."""
    for other in others:
        for stage, key in own.items():
            if not other.alive and other.keys.get(stage) == key and other.stages.get(stage) is StageStatus.FAILED:
                return f"stage '{stage}' failed in run {other.run_id}, and would be the same here"
    return None
