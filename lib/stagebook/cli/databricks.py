"""`stagebook databricks`: export the pipeline as a bundle, import a job as a parameter file, validate any bundle."""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from stagebook.cli.options import DEFAULT_PARAMS, Flag, Words, quiet_environment, warn

if TYPE_CHECKING:
    from stagebook.config.notebooks import NotebookInterface
    from stagebook.config.yaml_file import Document
    from stagebook.databricks.export.sweeps import SweepJob
    from stagebook.databricks.import_.source_job import SourceJob
    from stagebook.databricks.import_.stages import JobTasks
    from stagebook.model.pipeline import Pipeline
    from stagebook.model.pricing import PriceBook

app = App(name="databricks", help="Export the pipeline as a Databricks job, import a job, check a bundle.")
GENERATED = ("resources/*.job.yml", "**/*.ipynb")
"""Patterns of the bundle's files that only an export writes: one that is not of the bundle is left over."""


@app.command
def export(*, out: Path, params: Words = (), target: str | None = None, check: Flag = False) -> int:
    """Write the pipeline as a complete bundle: job, targets, notebooks, wheel, README.

    Exit status: 0 done, 1 with --check: the folder differs from the export, 2 configuration.

    Parameters
    ----------
    out:
        Folder of the bundle.
    params:
        Parameter file: a path, or a name in params/ (repeatable, later wins; default: dev.yaml).
    target:
        The target that the Databricks CLI uses if none is named (default: the first).
    check:
        Write nothing; list the files that differ from the export.
    """
    from stagebook.cli import generated_files
    from stagebook.databricks.export.unsupported_fields import unsupported_fields

    pipeline, files = _bundle(params or (DEFAULT_PARAMS,), target, out)
    if check:
        stale = generated_files.stale(out, files, GENERATED)
        print("\n".join(stale) or f"{out} is up to date", file=sys.stderr if stale else sys.stdout)
        return 1 if stale else 0
    generated_files.write(out, files)
    print(f"{len(files)} files in {out}; {out / 'README.md'} says how to deploy them")
    if unsupported := unsupported_fields(pipeline):
        print("unsupported fields, and what happens on Databricks instead:")
        print("\n".join(f"  {line}" for line in unsupported))
    for name in generated_files.left_over(out, files, GENERATED):
        warn(f"{out / name} is no longer part of this bundle: delete it")
    return 0


def _bundle(params: tuple[str, ...], target: str | None, out: Path) -> "tuple[Pipeline, dict[str, str]]":
    from importlib.metadata import PackageNotFoundError, version

    from stagebook.config.flags import Flags
    from stagebook.config.load import load
    from stagebook.databricks.export import bundle
    from stagebook.notebooks.read import load as load_notebook

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    pipeline = load(params, Flags(), os.environ, Path.cwd())
    pinned = bundle.pin_requirements(pipeline.deployment.requirements, installed)
    pipeline = replace(pipeline, deployment=replace(pipeline.deployment, requirements=pinned))
    flags = [word for name in params for word in ("--params", Path(name).name)]
    flags += ["--target", target] if target else []
    origin = bundle.BundleOrigin(
        command=" ".join(["stagebook databricks export", *flags]),
        root=Path(os.path.relpath(pipeline.paths.root, out.resolve())).as_posix(),
        version=version("stagebook"),
        runner=_runner().read_text(encoding="utf-8"),
    )
    notebooks = {name: load_notebook(stage.notebook) for name, stage in pipeline.stages.items()}
    sweeps = [_sweep_job(name, params, concurrency) for name, concurrency in pipeline.deployment.sweeps.items()]
    return pipeline, bundle.files(pipeline, target, notebooks, origin, sweeps)


def _runner() -> Path:
    """The notebook that runs a stage through papermill: in the wheel beside the kit, in a checkout in `runners`."""
    packaged = Path(__file__).parents[1] / "databricks_task.py"
    return packaged if packaged.is_file() else Path(__file__).parents[3] / "runners" / "databricks_task.py"


def _sweep_job(sweep: str, params: tuple[str, ...], concurrency: int) -> "SweepJob":
    """The sweep's configurations, all of them checked, each as a pipeline."""
    from stagebook.config.load import load
    from stagebook.config.request import RunRequest
    from stagebook.databricks.export.sweeps import SweepJob
    from stagebook.sweeps.prepare import SweepRequest, prepare

    environment = quiet_environment()
    prepared = prepare(SweepRequest(sweep, RunRequest(params)), environment)
    pipelines = [
        load(request.params, request.flags, environment.environ, environment.cwd)
        for request in prepared.requests.values()
    ]
    selected = frozenset(stage for keys in prepared.keys.values() for stage in keys)
    return SweepJob(sweep, concurrency, tuple(pipelines), selected)


@app.command
def validate(file: Path) -> int:
    """Check a bundle, with what it includes, or a job as YAML or JSON of the Jobs API; nothing is sent anywhere.

    Exit status: 0 no findings, 1 findings, 2 the file cannot be read.

    Parameters
    ----------
    file:
        The file: databricks.yml, a job's own file, or a response of the Jobs API.
    """
    from zoneinfo import available_timezones

    from stagebook.databricks.validate import check

    result = check(list(documents(file)), frozenset(available_timezones()))
    for note in result.notes:
        print(f"note: {note}", file=sys.stderr)
    for finding in result.findings:
        print(finding, file=sys.stderr)
    jobs, count = result.jobs, len(result.findings)
    summary = f"{file}: {jobs} job{'' if jobs == 1 else 's'}, {count} finding{'' if count == 1 else 's'}"
    print(summary, file=sys.stderr if count else sys.stdout)
    return 1 if count else 0


def documents(path: Path) -> "Iterator[Document]":
    """The parsed file, and the files that it includes.

    Raises:
        ConfigError: there is no such file, or it is not YAML.
    """
    from stagebook.config.yaml_file import read
    from stagebook.errors import ConfigError

    if not path.is_file():
        raise ConfigError(f"there is no file '{path}'.")
    document = read(path, str(path), allow_aliases=True)
    yield document
    include = document.values.get("include")
    for pattern in include if isinstance(include, list) else ():
        for included in sorted(path.parent.glob(str(pattern))):
            yield read(included, str(included), allow_aliases=True)


@app.command(name="import")
def import_job(file: Path, *, job: str | None = None, out: Path | None = None) -> int:
    """Write a job of a bundle, or of the Jobs API, as a parameter file; list the fields that only Databricks supports.

    An export of the parameter file gives the job back.

    Parameters
    ----------
    file:
        The file: databricks.yml, a job's own file, or a response of the Jobs API as JSON.
    job:
        The job's key, if the file holds several.
    out:
        The parameter file to write; paths of notebooks count from its folder (default: print it to stdout).
    """
    from stagebook.atomic import write_text
    from stagebook.config import prices
    from stagebook.config.load import project_root
    from stagebook.config.merge import Merged
    from stagebook.databricks.import_ import importer
    from stagebook.databricks.import_.source_job import select_job
    from stagebook.databricks.yaml_text import dump

    source = select_job(list(documents(file)), job, file)
    root = project_root((out or Path("pipeline.yaml")).absolute())
    book, _ = prices.read((), Merged({}), root)
    values = importer.parameter_file(source, _tasks(source, root), book)
    patches = importer.patches(source, _imported_pipeline(values, book, root, file))
    values["databricks"] |= patches
    databricks_only = importer.databricks_only(patches, values["stages"])
    comment = [f"Read from {file.name} by `stagebook databricks import`."]
    if databricks_only:
        comment += ["Kept for Databricks, without effect on local runs:", *(f"- {line}" for line in databricks_only)]
    text = dump(values, "\n".join(comment))
    print(text, end="") if out is None else write_text(out, text)
    for line in databricks_only:
        print(f"on Databricks only: {line}", file=sys.stderr)
    for path in sorted({stage["notebook"] for stage in values["stages"].values()}):
        if not (root / path).is_file():
            warn(f"there is no notebook {root / path} yet")
    return 0


def _tasks(source: "SourceJob", root: Path) -> "JobTasks":
    from stagebook.databricks.import_.stages import JobTasks

    tasks, parameters = source.values.get("tasks"), source.values.get("parameters") or {}
    return JobTasks(
        by_key=tasks if isinstance(tasks, Mapping) else {},
        job_parameters={name: parameter.get("default") for name, parameter in parameters.items()},
        variables=source.variables,
        notebook=lambda path: _notebook_path(path, source.folder, root),
        declared=lambda path: _interface(root / path).declared,
    )


def _notebook_path(path: str, folder: Path, root: Path) -> str:
    """The notebook's path from the project's root; for one in the workspace, its expected path in `notebooks/`."""
    if path.startswith("/") or "${" in path:
        return f"notebooks/{Path(path).stem}.ipynb"
    file = folder / path
    suffix = next((end for end in ("", ".ipynb", ".py") if file.with_name(file.name + end).is_file()), "")
    return Path(os.path.relpath(file.with_name(file.name + suffix), root)).as_posix()


def _interface(path: Path) -> "NotebookInterface":
    """What a notebook declares; nothing if there is no such file yet, or it cannot be read."""
    from stagebook.config.notebooks import NotebookInterface, read_interface
    from stagebook.errors import ConfigError

    try:
        return read_interface(path)
    except ConfigError:
        return NotebookInterface()


def _imported_pipeline(values: dict[str, Any], book: "PriceBook", root: Path, file: Path) -> "Pipeline":
    """The pipeline of a parameter file with these values.

    Raises:
        ConfigError: the job has no notebook task, or the values are not valid.
    """
    from stagebook.config import structure
    from stagebook.config.findings import InvalidParameters
    from stagebook.config.flags import Flags
    from stagebook.config.load import PipelineParts, assemble
    from stagebook.config.merge import Merged
    from stagebook.config.spec import PipelineSpec
    from stagebook.errors import ConfigError

    if not values["stages"]:
        raise ConfigError(f"{file}: the job has no notebook task, and a stage is a notebook.")
    spec, findings = structure.parse(Merged(values), PipelineSpec)
    if spec is None or findings:
        raise InvalidParameters.of(findings)
    interfaces = {name: _interface(root / stage.notebook) for name, stage in spec.stages.items()}
    return assemble(PipelineParts(spec, interfaces, book, root), Flags(), {})
