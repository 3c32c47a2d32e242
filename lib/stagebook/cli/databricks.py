"""`stagebook databricks`: export the pipeline as a bundle, import a job as a parameter file, validate any bundle."""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from stagebook.cli.options import DEFAULT_PARAMS, Flag, Words, quiet_environment, warn
from stagebook.formatting import printable

if TYPE_CHECKING:
    from stagebook.config.yaml_file import Document
    from stagebook.databricks.export.sweeps import SweepJob
    from stagebook.model.pipeline import Pipeline

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
    from stagebook.databricks.export import bundle_files
    from stagebook.databricks.export.bundle import job_in, target_of
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
    for name in bundle_files.unwritten_files(files, job_in(pipeline, target_of(pipeline, target))):
        if not (out / name).exists():
            warn(f"{out / name} is needed by tasks, and an export does not write it: copy it there")
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
    from stagebook.cli.databricks_import import timezones
    from stagebook.databricks.validate import check

    result = check(list(documents(file)), timezones())
    for note in result.notes:
        print(printable(f"note: {note}"), file=sys.stderr)
    for finding in result.findings:
        print(printable(finding), file=sys.stderr)
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

    An export of the parameter file gives the job back. A job that `validate` has findings for is refused.

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
    from stagebook.cli.databricks_import import imported

    result = imported(file, job, out)
    print(result.text, end="") if out is None else write_text(out, result.text)
    for line in result.remarks:
        print(printable(line), file=sys.stderr)
    for warning in result.warnings:
        warn(warning)
    return 0
