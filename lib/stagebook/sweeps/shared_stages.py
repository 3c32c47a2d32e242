"""Which stages configurations have in common, and which configuration has to wait for another's result.

A stage of two configurations has one result if it, and all stages before it, have equal parameters. The second
configuration reuses it, which the runner does by itself; it only must not start before the first one has it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stagebook import graph
from stagebook.config.request import RunRequest
from stagebook.model.pipeline import Pipeline
from stagebook.model.record import StageStatus

StageKeys = Mapping[str, str]
"""Stage → a digest of its parameters and those of all stages before it."""

_ENDED = (StageStatus.SUCCEEDED, StageStatus.REUSED, StageStatus.SKIPPED)


@dataclass(frozen=True)
class StartedConfiguration:
    """A configuration that was started: the status of its stages so far (missing: not begun), and whether it runs."""

    run_id: str
    keys: StageKeys
    stages: Mapping[str, StageStatus]
    alive: bool


def stage_keys(pipeline: Pipeline, request: RunRequest) -> dict[str, str]:
    """The keys of the stages that a request selects."""
    edges = {name: stage.depends_on for name, stage in pipeline.stages.items()}
    selected = graph.select(edges, first=request.first, last=request.last, only=request.only)
    keys: dict[str, str] = {}
    for name in graph.order(edges):
        upstream = [keys[up] for up in pipeline.stages[name].depends_on]
        text = json.dumps([name, dict(pipeline.stages[name].parameters), upstream], sort_keys=True, default=str)
        keys[name] = hashlib.sha256(text.encode()).hexdigest()
    return {name: key for name, key in keys.items() if name in selected}


def shareable(keys: StageKeys, pipeline: Pipeline, request: RunRequest) -> StageKeys:
    """Of these keys, those whose results other configurations may reuse."""
    return {name: key for name, key in keys.items() if request.reuse and pipeline.stages[name].reuse}


def must_wait(own: StageKeys, started: Sequence[StartedConfiguration]) -> bool:
    """Whether a configuration that runs has not ended a stage yet whose result this one would reuse."""
    finished = {
        key for configuration in started for stage, key in configuration.keys.items()
        if configuration.stages.get(stage) in _ENDED
    }  # fmt: skip
    return any(
        configuration.alive and configuration.keys.get(stage) == key and key not in finished
        for configuration in started
        for stage, key in own.items()
    )


def doomed_reason(own: StageKeys, started: Sequence[StartedConfiguration]) -> str | None:
    """Why this configuration would fail as another one did, before it comes to anything of its own; or None."""
    for configuration in started:
        for stage, key in own.items():
            failed = configuration.stages.get(stage) is StageStatus.FAILED
            if failed and not configuration.alive and configuration.keys.get(stage) == key:
                return f"stage '{stage}' failed in run {configuration.run_id}, and would be the same here"
    return None
