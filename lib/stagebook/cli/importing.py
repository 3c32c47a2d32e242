"""`stagebook import`: a Databricks job as a parameter file."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

if TYPE_CHECKING:
    from stagebook.model.pipeline import Pipeline
    from stagebook.model.pricing import PriceBook
    from stagebook.params.notebooks import Notebook
    from stagebook.params.yaml_file import Document

app = App(name="import", help="A Databricks job as a pipeline.")


@app.command
def databricks(file: Path, *, job: str | None = None, out: Path | None = None) -> int:
    """Write a job of a bundle, or of the Jobs API, as a parameter file; say what does nothing outside of Databricks.

    An export of the parameter file gives the job back.

    Parameters
    ----------
    file:
        The file: databricks.yml, a job's own file, or what the Jobs API answers as JSON.
    job:
        The job's key, where the file holds several.
    out:
        The parameter file to write, whose folder the notebooks' paths count from (default: to stdout).
    """
    from stagebook.jobs import patch, reading
    from stagebook.jobs.stages import Tasks
    from stagebook.jobs.yaml_text import dump
    from stagebook.params import prices
    from stagebook.params.load import project_root
    from stagebook.params.merge import Merged
    from stagebook.storage.atomic import write_text

    name, given, around, home = _job(file, job)
    root = project_root((out or Path("pipeline.yaml")).absolute())
    keyed = patch.keyed(patch.without_nulls(given))
    tasks = keyed.get("tasks")
    stages = Tasks(
        by_key=tasks if isinstance(tasks, Mapping) else {},
        job_parameters={name: one.get("default") for name, one in (keyed.get("parameters") or {}).items()},
        variables=reading.variables(around),
        notebook=lambda path: _notebook(path, home, root),
        declared=lambda path: _said(root / path).declared,
    )
    book, _ = prices.read((), Merged({}), root)
    values = reading.native(name, keyed, around, stages, book)
    patches = reading.rest(_pipeline(values, book, root, file), name, keyed, around)
    values["databricks"] |= patches
    left = reading.only_there(patches, values["stages"])
    told = [f"Read from {file.name} by `stagebook import databricks`."]
    told += ["Kept for Databricks, and without effect here:", *(f"- {line}" for line in left)] if left else []
    text = dump(values, "\n".join(told))
    print(text, end="") if out is None else write_text(out, text)
    for line in left:
        print(f"on Databricks only: {line}", file=sys.stderr)
    for path in sorted({stage["notebook"] for stage in values["stages"].values()}):
        if not (root / path).is_file():
            print(f"stagebook: there is no notebook {root / path} yet", file=sys.stderr)
    return 0


def _job(file: Path, wanted: str | None) -> tuple[str, dict[str, Any], dict[str, Any] | None, Path]:
    """The job's key and values, the bundle around it (None: there is none), and the folder of its file."""
    from stagebook.cli.export import documents
    from stagebook.errors import ConfigError, did_you_mean
    from stagebook.jobs import patch
    from stagebook.jobs.check.subject import is_bundle, job_keys

    found = list(documents(file))
    jobs: dict[str, tuple[Document, dict[str, Any]]] = {}
    for document in found:
        for name, key in job_keys(document):
            before = jobs[name][1] if name in jobs else {}
            jobs[name] = (document, patch.apply(before, _at(document.values, key)))
    if wanted is None and len(jobs) == 1:
        wanted = next(iter(jobs))
    if wanted not in jobs:
        what = f"there is no job '{wanted}'.{did_you_mean(wanted, list(jobs))}" if wanted else "which job is meant?"
        raise ConfigError(f"{file}: {what}\n  --job takes one of: {', '.join(jobs) or 'none, there is no job in it'}")
    document, values = jobs[wanted]
    whole: dict[str, Any] = {}
    for part in found:
        whole = patch.apply(whole, part.values)
    around = patch.without_nulls(whole) if is_bundle(found[0]) and "bundle" in whole else None
    name = wanted if is_bundle(document) else str(values.get("name", wanted))
    return name, values, around, Path(document.path).absolute().parent


def _at(values: Any, key: tuple[str | int, ...]) -> dict[str, Any]:
    for name in key:
        values = values[name]
    return values if isinstance(values, dict) else {}


def _notebook(path: str, home: Path, root: Path) -> str:
    """Where the notebook is, from the project's root; one in the workspace is expected in `notebooks/`."""
    if path.startswith("/") or "${" in path:
        return f"notebooks/{Path(path).stem}.ipynb"
    there = home / path
    suffix = next((end for end in ("", ".ipynb", ".py") if there.with_name(there.name + end).is_file()), "")
    return Path(os.path.relpath(there.with_name(there.name + suffix), root)).as_posix()


def _said(path: Path) -> "Notebook":
    """What a notebook says; nothing where it is not there yet, or cannot be read."""
    from stagebook.errors import ConfigError
    from stagebook.params.notebooks import Notebook, of_file

    try:
        return of_file(path)
    except (ConfigError, SyntaxError):
        return Notebook()


def _pipeline(values: dict[str, Any], book: "PriceBook", root: Path, file: Path) -> "Pipeline":
    from stagebook.errors import ConfigError
    from stagebook.params import structure
    from stagebook.params.findings import InvalidParameters
    from stagebook.params.load import Flags, assemble
    from stagebook.params.merge import Merged
    from stagebook.params.spec import PipelineSpec

    if not values["stages"]:
        raise ConfigError(f"{file}: the job has no notebook task, and a stage is a notebook.")
    spec, findings = structure.parse(Merged(values), PipelineSpec)
    if spec is None or findings:
        raise InvalidParameters.of(findings)
    found = {name: _said(root / stage.notebook) for name, stage in spec.stages.items()}
    return assemble(spec, found, book, root, (), Flags(), {})
