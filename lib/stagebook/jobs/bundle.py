"""A pipeline as the files of a Declarative Automation Bundle: path in the bundle → text."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stagebook.errors import ConfigError, did_you_mean
from stagebook.jobs import notebooks as books
from stagebook.jobs import patch, serving, texts
from stagebook.jobs.carried import not_carried
from stagebook.jobs.job import RUNNER, job, override
from stagebook.jobs.yaml_text import dump
from stagebook.model.deployment import Target
from stagebook.model.pipeline import Pipeline

if TYPE_CHECKING:
    from nbformat import NotebookNode

BUNDLE = "databricks.yml"


@dataclass(frozen=True)
class Origin:
    """Where a bundle comes from: how it was exported, and the project's root as seen from the bundle's folder."""

    command: str
    root: str
    version: str
    runner: str = ""  # text of the notebook that runs a stage through papermill


def files(
    pipeline: Pipeline, default: str | None, notebooks: Mapping[str, "NotebookNode"], origin: Origin
) -> dict[str, str]:
    """All files of the bundle.

    Args:
        default: the target that commands take where none is named; None: the first.
        notebooks: stage → its notebook.
    Raises:
        ConfigError: if there is no such target, or two notebooks would get one path.
    """
    target = target_of(pipeline, default)
    places = books.places(pipeline)
    told = f"Written by `{origin.command}`: change the parameter file and export again."
    result = {
        BUNDLE: dump(bundle(pipeline, target), told),
        job_file(pipeline): dump({"resources": {"jobs": {pipeline.name: job_in(pipeline, target)}}}, told),
        **_serving(pipeline, told),
        "README.md": texts.readme(pipeline, target.name, origin.command, not_carried(pipeline)),
    }
    if pipeline.deployment.packages:
        result["pyproject.toml"] = texts.pyproject(pipeline, origin.root, origin.version, told)
    if pipeline.deployment.requirements:
        result["requirements.txt"] = texts.requirements(pipeline, told)
    through_papermill = pipeline.deployment.execute_with == "papermill"
    if through_papermill:
        result[RUNNER.removeprefix("../")] = origin.runner
    text = books.to_percent_text if through_papermill else books.to_text
    return result | {places[stage]: text(node) for stage, node in notebooks.items()}


def _serving(pipeline: Pipeline, told: str) -> dict[str, str]:
    endpoint = pipeline.deployment.serving_endpoint
    if endpoint is None:
        return {}
    found = {"resources": {"model_serving_endpoints": serving.endpoint(pipeline, endpoint)}}
    return {serving.resource_file(pipeline): dump(found, told)}


def job_file(pipeline: Pipeline) -> str:
    """Path of the job's file in the bundle."""
    return f"resources/{pipeline.name}.job.yml"


def job_in(pipeline: Pipeline, target: Target) -> dict[str, Any]:
    """The job for a target, as it stands in the bundle: paths count from the job's file."""
    return job(pipeline, target, {stage: f"../{place}" for stage, place in books.places(pipeline).items()})


def bundle(pipeline: Pipeline, default: Target) -> dict[str, Any]:
    """What stands in `databricks.yml`, with the parameter file's patch (`databricks.bundle`) laid over it."""
    deployment = pipeline.deployment
    result: dict[str, Any] = {"bundle": {"name": pipeline.name}, "include": ["resources/*.yml"]}
    if deployment.packages:
        result["artifacts"] = {"default": {"type": "whl", "build": "uv build --wheel", "path": "."}}
    if variables := serving.variables(pipeline, default):
        result["variables"] = variables
    base = job_in(pipeline, default)
    result["targets"] = {
        name: _target(target, default, override(base, job_in(pipeline, target)), pipeline)
        for name, target in deployment.targets.items()
    }
    return patch.apply(result, deployment.bundle)


def _target(target: Target, default: Target, changes: Mapping[str, Any], pipeline: Pipeline) -> dict[str, Any]:
    result: dict[str, Any] = {"mode": target.mode}
    if target == default:
        result["default"] = True
    if workspace := {key: getattr(target, key) for key in ("host", "root_path") if getattr(target, key)}:
        result["workspace"] = workspace
    if target.mode == "development":
        result["presets"] = {"trigger_pause_status": "PAUSED"}
    if variables := serving.changes(pipeline, target, default):
        result["variables"] = variables
    if target.run_as:
        result["run_as"] = dict(target.run_as)
    if target.permissions:
        result["permissions"] = [dict(permission) for permission in target.permissions]
    if changes:
        result["resources"] = {"jobs": {pipeline.name: dict(changes)}}
    return result


def target_of(pipeline: Pipeline, name: str | None) -> Target:
    """The target of that name; the first where none is named.

    Raises:
        ConfigError: with the names that exist.
    """
    targets = pipeline.deployment.targets
    if name is None:
        return next(iter(targets.values()))
    if name not in targets:
        raise ConfigError(
            f"--target: there is no target '{name}'.{did_you_mean(name, list(targets))}\n"
            f"  databricks.targets: {', '.join(targets)}"
        )
    return targets[name]


_BARE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._-]+\])?")


def pinned(requirements: tuple[str, ...], installed: Callable[[str], str | None]) -> tuple[str, ...]:
    """Requirements with the version installed here, where they name none themselves."""

    def pin(text: str) -> str:
        version = installed(text.partition("[")[0]) if _BARE.fullmatch(text) else None
        return f"{text}=={version}" if version else text

    return tuple(map(pin, requirements))
