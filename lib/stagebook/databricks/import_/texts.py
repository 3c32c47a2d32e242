"""Writes numbers where a job has texts as Databricks passes them on: `seed: 3` is the text "3" for the notebook."""

from collections.abc import Iterator
from typing import Any

from stagebook.config.findings import Finding
from stagebook.config.yaml_file import Document
from stagebook.databricks.validate.structure import Location
from stagebook.databricks.validate.subject import job_keys


def write_out_numbers(document: Document) -> Iterator[Finding]:
    """Replace the numbers and truth values among parameters by their texts in the document; a note for each."""
    for _, key in job_keys(document):
        job: Any = document.values
        for name in key:
            job = job[str(name)]
        if isinstance(job, dict):
            yield from _parameters(job, Location(document, key))
            yield from _tasks(job, Location(document, key))


def _parameters(job: dict[str, Any], location: Location) -> Iterator[Finding]:
    items = job.get("parameters")
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield from _write_out(item, "default", location.at("parameters").at(index).at("default"))


def _tasks(job: dict[str, Any], location: Location) -> Iterator[Finding]:
    tasks = job.get("tasks")
    for index, task in enumerate(tasks if isinstance(tasks, list) else ()):
        notebook_task = task.get("notebook_task") if isinstance(task, dict) else None
        parameters = notebook_task.get("base_parameters") if isinstance(notebook_task, dict) else None
        if isinstance(parameters, dict):
            place = location.at("tasks").at(index).at("notebook_task").at("base_parameters")
            for name in list(parameters):
                yield from _write_out(parameters, name, place.at(name))


def _write_out(owner: dict[str, Any], name: str, location: Location) -> Iterator[Finding]:
    value = owner.get(name)
    if isinstance(value, bool):
        owner[name] = str(value).lower()
    elif isinstance(value, int):
        owner[name] = str(value)
    elif isinstance(value, float):
        owner[name] = format(value, "f").rstrip("0").rstrip(".") if abs(value) < 1e15 else repr(value)
    else:
        return
    yield location.finding(f'{value!r} is passed to the notebook as the text "{owner[name]}".')
