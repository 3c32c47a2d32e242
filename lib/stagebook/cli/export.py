"""`stagebook export`: a pipeline as a bundle for Databricks, and checks of anyone's bundle."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stagebook.jobs.trials import Trials
    from stagebook.model.pipeline import Pipeline
    from stagebook.params.yaml_file import Document

app = App(name="export", help="The pipeline as a Databricks job.")
Files = Annotated[tuple[str, ...], Parameter(negative=())]
GENERATED = ("resources/*.job.yml", "**/*.ipynb")


@app.default
def export(*, validate: Path) -> int:
    """Check a bundle, with what it includes, or a job as YAML or JSON of the Jobs API; nothing is sent anywhere.

    Exit status: 0 nothing was found, 1 there are findings, 2 the file cannot be read.

    Parameters
    ----------
    validate:
        The file: databricks.yml, a job's own file, or what the Jobs API answers.
    """
    from zoneinfo import available_timezones

    from stagebook.jobs.check import check

    checked = check(list(documents(validate)), frozenset(available_timezones()))
    for note in checked.notes:
        print(f"note: {note}", file=sys.stderr)
    for finding in checked.findings:
        print(finding, file=sys.stderr)
    jobs, found = checked.jobs, len(checked.findings)
    summary = f"{validate}: {jobs} job{'' if jobs == 1 else 's'}, {found} finding{'' if found == 1 else 's'}"
    print(summary, file=sys.stderr if found else sys.stdout)
    return 1 if found else 0


def documents(path: Path) -> "Iterator[Document]":
    from stagebook.errors import ConfigError
    from stagebook.params.yaml_file import read

    if not path.is_file():
        raise ConfigError(f"there is no file '{path}'.")
    document = read(path, str(path), foreign=True)
    yield document
    include = document.values.get("include")
    for pattern in include if isinstance(include, list) else ():
        for included in sorted(path.parent.glob(str(pattern))):
            yield read(included, str(included), foreign=True)


@app.command
def databricks(
    *,
    out: Path,
    params: Files = (),
    target: str | None = None,
    check: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Write the pipeline as a complete bundle: job, targets, notebooks, wheel, README.

    Exit status: 0 done, 1 with --check: the folder is not what would be written, 2 configuration.

    Parameters
    ----------
    out:
        Folder of the bundle.
    params:
        Parameter file: a path, or a name in params/ (repeatable, later wins; default: dev.yaml).
    target:
        The target that the Databricks CLI takes where none is named (default: the first).
    check:
        Write nothing; list what differs from what would be written.
    """
    from stagebook.cli import files as folder
    from stagebook.jobs.carried import not_carried

    pipeline, files = _bundle(params, target, out)
    if check:
        stale = folder.stale(out, files, GENERATED)
        print("\n".join(stale) or f"{out} is as it would be written", file=sys.stderr if stale else sys.stdout)
        return 1 if stale else 0
    folder.write(out, files)
    print(f"{len(files)} files in {out}; {out / 'README.md'} says how to deploy them")
    if left := not_carried(pipeline):
        print("what the job has no field for:\n" + "\n".join(f"  {line}" for line in left))
    for name in folder.left_over(out, files, GENERATED):
        print(f"stagebook: {out / name} is not of this bundle any more: delete it", file=sys.stderr)
    return 0


def _runner() -> Path:
    """The notebook that runs a stage through papermill: in the wheel beside the kit, in a checkout in `runners`."""
    packed = Path(__file__).parents[1] / "databricks_task.py"
    return packed if packed.is_file() else Path(__file__).parents[3] / "runners" / "databricks_task.py"


def _bundle(params: tuple[str, ...], target: str | None, out: Path) -> "tuple[Pipeline, dict[str, str]]":
    from importlib.metadata import PackageNotFoundError, version

    from stagebook.cli.places import pipeline as load
    from stagebook.jobs import bundle
    from stagebook.notebook.read import load as notebook

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    found = load(params, None, None)
    pinned = bundle.pinned(found.deployment.requirements, installed)
    pipeline = replace(found, deployment=replace(found.deployment, requirements=pinned))
    words = [word for name in params or ("dev.yaml",) for word in ("--params", Path(name).name)]
    words += ["--target", target] if target else []
    origin = bundle.Origin(
        command=" ".join(["stagebook export databricks", *words]),
        root=Path(os.path.relpath(pipeline.places.root, out.resolve())).as_posix(),
        version=version("stagebook"),
        runner=_runner().read_text(encoding="utf-8"),
    )
    notebooks = {name: notebook(stage.notebook) for name, stage in pipeline.stages.items()}
    sweeps = [_trials(name, params, at_once) for name, at_once in found.deployment.sweeps.items()]
    return pipeline, bundle.files(pipeline, target, notebooks, origin, sweeps)


def _trials(sweep: str, params: tuple[str, ...], at_once: int) -> "Trials":
    """A sweep's configurations, all of them valid, each as the pipeline that it makes."""
    from stagebook.batch.prepare import BatchRequest, prepare
    from stagebook.jobs.trials import Trials
    from stagebook.params.load import load
    from stagebook.run.display import Silent
    from stagebook.run.pipeline import Surface
    from stagebook.run.request import RunRequest

    surface = Surface(Silent(), warn=lambda text: print(f"stagebook: {text}", file=sys.stderr))
    prepared = prepare(BatchRequest(sweep, RunRequest(params or ("dev.yaml",))), surface)
    pipelines = [load(one.params, one.flags, surface.environ, surface.cwd) for one in prepared.requests.values()]
    selected = frozenset(name for found in prepared.keys.values() for name in found)
    return Trials(sweep, at_once, tuple(pipelines), selected)
