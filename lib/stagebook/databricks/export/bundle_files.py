"""Writes the bundle's files that are prose or configuration: README, the wheel's project, requirements."""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stagebook.databricks.export.job import WHEEL
from stagebook.model.pipeline import Pipeline


def readme(pipeline: Pipeline, default: str, command: str, unsupported: Sequence[str]) -> str:
    """How to deploy the bundle, what is in it, and which settings a job has no field for."""
    name = pipeline.name
    targets = ", ".join(f"`-t {target}`" for target in pipeline.deployment.targets)
    unsupported_list = "\n".join(f"- {line}" for line in unsupported) or "- none"
    return f"""# {name} as a Databricks job

Written by `{command}`. Change the parameter file and export again: files of this folder are overwritten.

## Deploy

With the [Databricks CLI](https://docs.databricks.com/dev-tools/cli/) signed in{_uv_needed(pipeline)}:

```console
databricks bundle validate -t {default}
databricks bundle deploy -t {default}
databricks bundle run -t {default} {name}
```
{_endpoint_usage(pipeline, default)}
Targets: {targets}. Parameters are parameters of the job: `databricks bundle run … -- --seed=14` sets one for a run.

## What is in it

- `databricks.yml`: the bundle and its targets
- `resources/{name}.job.yml`: the job, one task per stage
{_sweep_lines(pipeline)}{_endpoint_line(pipeline)}- the stages' notebooks as `.ipynb`, without outputs
{_package_lines(pipeline)}
## Unsupported fields

Settings of the pipeline that a Databricks job has no field for, and what happens on Databricks instead:

{unsupported_list}
"""


def _endpoint_usage(pipeline: Pipeline, default: str) -> str:
    """How to set the version that the endpoint serves."""
    if pipeline.deployment.serving_endpoint is None:
        return ""
    return f"""
The endpoint serves a version, not an alias. Pass the champion's version to each deployment, and deploy again after a
promotion:

```console
databricks bundle deploy -t {default} --var="champion_version=3"
```
"""


def _endpoint_line(pipeline: Pipeline) -> str:
    if pipeline.deployment.serving_endpoint is None:
        return ""
    return f"- `resources/{pipeline.name}.serving.yml`: the model serving endpoint\n"


def _sweep_lines(pipeline: Pipeline) -> str:
    return "".join(
        f"- `resources/{pipeline.name}_{sweep}.job.yml`: the sweep `{sweep}`, run as `{pipeline.name}_{sweep}`\n"
        for sweep in pipeline.deployment.sweeps
    )


def _uv_needed(pipeline: Pipeline) -> str:
    return ", and uv for the wheel" if pipeline.deployment.packages else ""


def _package_lines(pipeline: Pipeline) -> str:
    lines = []
    if pipeline.deployment.packages:
        lines.append("- `pyproject.toml`: the wheel of the project's packages, built when the bundle is deployed")
    if pipeline.deployment.requirements:
        lines.append("- `requirements.txt`: what the runtime lacks")
    return "".join(f"{line}\n" for line in lines)


def pyproject(pipeline: Pipeline, root: str, version: str, header: str) -> str:
    """The project of the wheel: the packages without dependencies.

    The project's own dependencies pin another pyspark than the runtime's, and another Python.
    """
    packages = "".join(
        f'"{root}/{folder}" = "{folder.rstrip("/").rpartition("/")[2]}"\n' for folder in pipeline.deployment.packages
    )
    return f"""# {header}
# Without dependencies: the runtime has its own pyspark, and requirements.txt names what it lacks.
[project]
name = "{pipeline.name}"
version = "{version}"
requires-python = ">=3.11"

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
bypass-selection = true

[tool.hatch.build.targets.wheel.force-include]
{packages}"""


def unwritten_files(files: Mapping[str, str], job: Mapping[str, Any]) -> list[str]:
    """The paths in a bundle of files that the job's tasks need, and that are not among its files."""
    needed = {"pyproject.toml" if name == "whl" else path for name, path in _named_files(job)}
    return sorted(needed - set(files))


def _named_files(value: Any) -> Iterator[tuple[str, str]]:
    """The wheel and the requirements files of this bundle that a job names: field, and path in the bundle."""
    match value:
        case {"whl": str(path)} if path == WHEEL:
            yield "whl", path
        case {"requirements": str(path)} if path.startswith("."):
            yield "requirements", posixpath.normpath(f"resources/{path}")
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _named_files(item)


def requirements(pipeline: Pipeline, header: str) -> str:
    """What the clusters install beside the wheel."""
    return "".join(f"{line}\n" for line in (f"# {header}", *pipeline.deployment.requirements))
