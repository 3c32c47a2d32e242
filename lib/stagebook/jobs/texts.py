"""The files of a bundle that are prose or configuration: README, the wheel's project, requirements."""

from collections.abc import Sequence

from stagebook.model.pipeline import Pipeline


def readme(pipeline: Pipeline, default: str, command: str, left: Sequence[str]) -> str:
    """How to deploy the bundle, what is in it, and what could not be carried."""
    name = pipeline.name
    targets = ", ".join(f"`-t {target}`" for target in pipeline.deployment.targets)
    listed = "\n".join(f"- {line}" for line in left) or "- nothing"
    return f"""# {name} as a Databricks job

Written by `{command}`; change the parameter file and export again, this folder is made anew.

## Deploy

With the [Databricks CLI](https://docs.databricks.com/dev-tools/cli/) signed in{_needs_uv(pipeline)}:

```console
databricks bundle validate -t {default}
databricks bundle deploy -t {default}
databricks bundle run -t {default} {name}
```
{_served(pipeline, default)}
Targets: {targets}. Parameters are parameters of the job: `databricks bundle run … -- --seed=14` sets one for a run.

## What is in it

- `databricks.yml`: the bundle and its targets
- `resources/{name}.job.yml`: the job, one task per stage
{_endpoint(pipeline)}- the stages' notebooks as `.ipynb`, without outputs
{_packaged(pipeline)}
## What the job has no field for

{listed}
"""


def _served(pipeline: Pipeline, default: str) -> str:
    """How the endpoint is told which version to serve."""
    if pipeline.deployment.serving_endpoint is None:
        return ""
    return f"""
The endpoint serves a version, not an alias: tell each deployment the champion's, and deploy again after a promotion.

```console
databricks bundle deploy -t {default} --var="champion_version=3"
```
"""


def _endpoint(pipeline: Pipeline) -> str:
    if pipeline.deployment.serving_endpoint is None:
        return ""
    return f"- `resources/{pipeline.name}.serving.yml`: the model serving endpoint\n"


def _needs_uv(pipeline: Pipeline) -> str:
    return ", and uv for the wheel" if pipeline.deployment.packages else ""


def _packaged(pipeline: Pipeline) -> str:
    lines = []
    if pipeline.deployment.packages:
        lines.append("- `pyproject.toml`: the wheel of the project's packages, built when the bundle is deployed")
    if pipeline.deployment.requirements:
        lines.append("- `requirements.txt`: what the runtime lacks")
    return "".join(f"{line}\n" for line in lines)


def pyproject(pipeline: Pipeline, root: str, version: str, told: str) -> str:
    """The project of the wheel: the packages without dependencies.

    The project's own dependencies name another pyspark than the runtime's, and its own Python.
    """
    packages = "".join(
        f'"{root}/{folder}" = "{folder.rstrip("/").rpartition("/")[2]}"\n' for folder in pipeline.deployment.packages
    )
    return f"""# {told}
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


def requirements(pipeline: Pipeline, told: str) -> str:
    """What the clusters install beside the wheel."""
    return "".join(f"{line}\n" for line in (f"# {told}", *pipeline.deployment.requirements))
