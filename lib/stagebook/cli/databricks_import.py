"""`stagebook databricks import`: a job, checked, as the text of a parameter file, with what is to be said about it."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stagebook.config.notebooks import NotebookInterface
    from stagebook.config.yaml_file import Document
    from stagebook.databricks.import_.source_job import SourceJob
    from stagebook.databricks.import_.stages import JobTasks
    from stagebook.model.pipeline import Pipeline
    from stagebook.model.pricing import PriceBook


@cache
def timezones() -> frozenset[str]:
    """The names that a schedule may use; to list them takes as long as all other checks."""
    from zoneinfo import available_timezones

    return frozenset(available_timezones())


@dataclass(frozen=True)
class ImportedJob:
    """The text of a parameter file. `warnings` are about what is to be done before it runs as the job does."""

    text: str
    remarks: tuple[str, ...]
    warnings: tuple[str, ...]


def imported(file: Path, job: str | None, out: Path | None) -> ImportedJob:
    """The parameter file of a job.

    Raises:
        ConfigError: the file cannot be read, has findings, or holds no such job, or the job no notebook task.
    """
    from stagebook.cli.databricks import documents
    from stagebook.config import prices
    from stagebook.config.load import project_root
    from stagebook.config.merge import Merged
    from stagebook.databricks.import_ import files, gaps, importer
    from stagebook.databricks.import_.source_job import select_job
    from stagebook.databricks.import_.texts import write_out_numbers
    from stagebook.databricks.yaml_text import dump

    parsed = list(documents(file))
    remarks = [f"note: {note}" for document in parsed for note in write_out_numbers(document)]
    remarks += _checked(parsed, file)
    source = select_job(parsed, job, file)
    root = project_root((out or Path("pipeline.yaml")).absolute())
    book, _ = prices.read((), Merged({}), root)
    tasks = _tasks(source, root)
    values = importer.parameter_file(source, tasks, book)
    stages = values["stages"]
    if not stages:
        raise _no_stage(file, tasks)
    values["databricks"] |= files.settings(source, file.absolute().parent, root)
    missing = [line for key, stage in stages.items() for line in _declare_tables(key, stage, root)]
    patches = importer.patches(source, _imported_pipeline(values, book, root))
    values["databricks"] |= patches
    databricks_only = importer.databricks_only(patches, stages)
    warnings = [*gaps.branches(tasks, stages), *missing]
    if source.target is not None:
        warnings.append(f"only the target '{source.target}' defines the job; an export defines it for all targets")
    comment = [f"Read from {file.name} by `stagebook databricks import`."]
    if warnings:
        comment += ["To do before the first run:", *(f"- {line}" for line in warnings)]
    if databricks_only:
        comment += ["Kept for Databricks, without effect on local runs:", *(f"- {line}" for line in databricks_only)]
    remarks += [f"on Databricks only: {line}" for line in databricks_only]
    paths = sorted({stage["notebook"] for stage in stages.values()})
    warnings += [f"there is no notebook {root / path} yet" for path in paths if not (root / path).is_file()]
    return ImportedJob(dump(values, "\n".join(comment)), tuple(remarks), tuple(warnings))


def _checked(documents: "list[Document]", file: Path) -> list[str]:
    """The notes of `validate`.

    Raises:
        ConfigError: it has findings.
    """
    from stagebook.databricks.validate import check
    from stagebook.errors import ConfigError

    result = check(documents, timezones())
    if result.findings:
        count = f"{len(result.findings)} finding{'' if len(result.findings) == 1 else 's'}"
        lines = "\n  ".join(map(str, result.findings))
        raise ConfigError(f"{file} is not imported: {count}, which Databricks would refuse too.\n  {lines}")
    return [f"note: {note}" for note in result.notes]


def _no_stage(file: Path, tasks: "JobTasks") -> Exception:
    from stagebook.databricks.import_ import importer
    from stagebook.errors import ConfigError

    names = ", ".join(f"{key} ({importer.task_type(task)})" for key, task in tasks.by_key.items())
    return ConfigError(
        f"{file}: the job has no notebook task that can be a stage; its tasks: {names or 'none'}.\n"
        "  A stage is a notebook, and its name begins with a letter."
    )


def _declare_tables(key: str, stage: dict[str, Any], root: Path) -> Iterator[str]:
    """Add the tables that a notebook names to its stage; a line for what it does not name."""
    from stagebook.databricks.import_.gaps import tables_used
    from stagebook.errors import ConfigError
    from stagebook.notebooks.outline import outline

    try:
        notebook = outline(root / stage["notebook"])
    except ConfigError:
        yield f"stage {key}: add the tables that its notebook reads and writes by `stage` to `reads` and `writes`"
        return
    reads, writes, unknown = tables_used(notebook)
    stage |= ({"reads": reads} if reads else {}) | ({"writes": writes} if writes else {})
    if unknown:
        calls = "; ".join(unknown)
        yield f"stage {key}: add the tables of these calls, which do not name them, to reads or writes: {calls}"


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


def _imported_pipeline(values: dict[str, Any], book: "PriceBook", root: Path) -> "Pipeline":
    """The pipeline of a parameter file with these values.

    Raises:
        ConfigError: the values are not valid.
    """
    from stagebook.config import structure
    from stagebook.config.findings import InvalidParameters
    from stagebook.config.flags import Flags
    from stagebook.config.load import PipelineParts, assemble
    from stagebook.config.merge import Merged
    from stagebook.config.spec import PipelineSpec

    spec, findings = structure.parse(Merged(values), PipelineSpec)
    if spec is None or findings:
        raise InvalidParameters.of(findings)
    interfaces = {name: _interface(root / stage.notebook) for name, stage in spec.stages.items()}
    return assemble(PipelineParts(spec, interfaces, book, root), Flags(), {})
