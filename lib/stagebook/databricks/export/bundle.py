"""Builds the files of a Declarative Automation Bundle from a pipeline: path in the bundle → text."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stagebook.databricks import merge_patch
from stagebook.databricks.export import bundle_files, serving
from stagebook.databricks.export.job import RUNNER, job, override
from stagebook.databricks.export.notebooks import bundle_paths, ipynb_text, percent_text
from stagebook.databricks.export.sweeps import SweepJob, sweep_jobs
from stagebook.databricks.export.unsupported_fields import unsupported_fields
from stagebook.databricks.yaml_text import dump
from stagebook.errors import ConfigError, did_you_mean
from stagebook.model.deployment import Target
from stagebook.model.pipeline import Pipeline

if TYPE_CHECKING:
    from nbformat import NotebookNode

BUNDLE_FILE = "databricks.yml"


@dataclass(frozen=True)
class BundleOrigin:
    """What a bundle was exported by and from.

    `command` is the command line, `root` the project's root as seen from the bundle's folder, `version` the project's
    version, and `runner` the text of the notebook that runs a stage through papermill.
    """

    command: str
    root: str
    version: str
    runner: str = ""


def files(
    pipeline: Pipeline,
    default: str | None,
    notebooks: Mapping[str, "NotebookNode"],
    origin: BundleOrigin,
    sweeps: Sequence[SweepJob] = (),
) -> dict[str, str]:
    """All files of the bundle.

    Args:
        default: the target that the Databricks CLI uses if none is named; None: the first.
        notebooks: stage → its notebook.
        sweeps: the sweeps that become jobs of their own.
    Raises:
        ConfigError: there is no such target, two notebooks would get one path, or a sweep cannot be repeated.
    """
    target = target_of(pipeline, default)
    notebook_paths = bundle_paths(pipeline)
    header = f"Written by `{origin.command}`: change the parameter file and export again."
    texts = {
        BUNDLE_FILE: dump(bundle(pipeline, target, sweeps), header),
        job_file(pipeline): dump({"resources": {"jobs": {pipeline.name: job_in(pipeline, target)}}}, header),
        **{
            f"resources/{sweep.job_key}.job.yml": dump({"resources": {"jobs": _jobs_of(sweep, target)}}, header)
            for sweep in sweeps
        },
        **_serving_files(pipeline, header),
        "README.md": bundle_files.readme(pipeline, target.name, origin.command, unsupported_fields(pipeline)),
    }
    if pipeline.deployment.packages:
        texts["pyproject.toml"] = bundle_files.pyproject(pipeline, origin.root, origin.version, header)
    if pipeline.deployment.requirements:
        texts["requirements.txt"] = bundle_files.requirements(pipeline, header)
    through_papermill = pipeline.deployment.execute_with == "papermill"
    if through_papermill:
        texts[RUNNER.removeprefix("../")] = origin.runner
    notebook_text = percent_text if through_papermill else ipynb_text
    return texts | {notebook_paths[stage]: notebook_text(notebook) for stage, notebook in notebooks.items()}


def _serving_files(pipeline: Pipeline, header: str) -> dict[str, str]:
    endpoint = pipeline.deployment.serving_endpoint
    if endpoint is None:
        return {}
    resources = {"resources": {"model_serving_endpoints": serving.endpoint(pipeline, endpoint)}}
    return {serving.resource_file(pipeline): dump(resources, header)}


def job_file(pipeline: Pipeline) -> str:
    """Path of the job's file in the bundle."""
    return f"resources/{pipeline.name}.job.yml"


def job_in(pipeline: Pipeline, target: Target) -> dict[str, Any]:
    """The job for a target as the bundle holds it: paths count from the job's file."""
    return job(pipeline, target, _paths_from_job(pipeline))


def _jobs_of(sweep: SweepJob, target: Target) -> dict[str, dict[str, Any]]:
    return sweep_jobs(sweep, target, _paths_from_job(sweep.pipelines[0]))


def _paths_from_job(pipeline: Pipeline) -> dict[str, str]:
    """Stage → path of its notebook from a job's file."""
    return {stage: f"../{path}" for stage, path in bundle_paths(pipeline).items()}


def bundle(pipeline: Pipeline, default: Target, sweeps: Sequence[SweepJob] = ()) -> dict[str, Any]:
    """The content of `databricks.yml`, with the parameter file's patch (`databricks.bundle`) applied."""
    deployment = pipeline.deployment
    result: dict[str, Any] = {"bundle": {"name": pipeline.name}, "include": ["resources/*.yml"]}
    if deployment.packages:
        result["artifacts"] = {"default": {"type": "whl", "build": "uv build --wheel", "path": "."}}
    if variables := serving.variables(pipeline, default):
        result["variables"] = variables
    default_jobs = _jobs(pipeline, default, sweeps)
    for name, target in deployment.targets.items():
        target_jobs = _jobs(pipeline, target, sweeps)
        changes = {key: change for key in default_jobs if (change := override(default_jobs[key], target_jobs[key]))}
        result.setdefault("targets", {})[name] = _target(target, default, changes, pipeline)
    return merge_patch.apply(result, deployment.bundle)


def _jobs(pipeline: Pipeline, target: Target, sweeps: Sequence[SweepJob]) -> dict[str, dict[str, Any]]:
    jobs = {pipeline.name: job_in(pipeline, target)}
    for sweep in sweeps:
        jobs |= _jobs_of(sweep, target)
    return jobs


def _target(target: Target, default: Target, job_changes: Mapping[str, Any], pipeline: Pipeline) -> dict[str, Any]:
    result: dict[str, Any] = {"mode": target.mode}
    if target == default:
        result["default"] = True
    if workspace := {key: getattr(target, key) for key in ("host", "root_path") if getattr(target, key)}:
        result["workspace"] = workspace
    if target.mode == "development":
        result["presets"] = {"trigger_pause_status": "PAUSED"}
    if variables := serving.target_variables(pipeline, target, default):
        result["variables"] = variables
    if target.run_as:
        result["run_as"] = dict(target.run_as)
    if target.permissions:
        result["permissions"] = [dict(permission) for permission in target.permissions]
    if job_changes:
        result["resources"] = {"jobs": dict(job_changes)}
    return result


def target_of(pipeline: Pipeline, name: str | None) -> Target:
    """The target of that name; None: the first.

    Raises:
        ConfigError: there is no such target; the message names those that exist.
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


_UNPINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._-]+\])?")


def pin_requirements(requirements: tuple[str, ...], installed: Callable[[str], str | None]) -> tuple[str, ...]:
    """The requirements, those without a version pinned to the version that is installed on this machine.

    Args:
        installed: package → its installed version, or None.
    """

    def pin(requirement: str) -> str:
        version = installed(requirement.partition("[")[0]) if _UNPINNED.fullmatch(requirement) else None
        return f"{requirement}=={version}" if version else requirement

    return tuple(map(pin, requirements))
