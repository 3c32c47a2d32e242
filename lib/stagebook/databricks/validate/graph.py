"""Checks what Databricks' own models do not check of a job's graph: one function per rule, each yielding findings."""

import re
from collections.abc import Iterator

from stagebook import graph
from stagebook.config.findings import Finding
from stagebook.config.references import references
from stagebook.databricks.validate.fields import TASK_TYPES
from stagebook.databricks.validate.subject import JobSubject, dependencies
from stagebook.errors import did_you_mean

_COMPUTE_FIELDS = ("job_cluster_key", "new_cluster", "existing_cluster_id", "environment_key")


def unknown_tasks(subject: JobSubject) -> Iterator[Finding]:
    task_keys = list(subject.mappings("tasks"))
    for name, task in subject.mappings("tasks").items():
        for index, upstream in enumerate(dependencies(task)):
            if upstream["task_key"] not in task_keys:
                hint = did_you_mean(upstream["task_key"], task_keys)
                message = f"there is no task '{upstream['task_key']}'.{hint}"
                yield subject.finding(("tasks", name, "depends_on", index, "task_key"), message, ", ".join(task_keys))


def cycles(subject: JobSubject) -> Iterator[Finding]:
    if cycle := graph.find_cycle(_graph_of_tasks(subject)):
        message = f"the tasks depend on each other in a circle: {' → '.join(cycle)}."
        yield subject.finding(("tasks", cycle[0], "depends_on"), message)


def _graph_of_tasks(subject: JobSubject) -> dict[str, list[str]]:
    """Task → the tasks that it depends on, without unknown ones."""
    tasks = subject.mappings("tasks")
    return {name: [up for up in upstream if up in tasks] for name, upstream in subject.graph().items()}


def outcomes(subject: JobSubject) -> Iterator[Finding]:
    tasks = subject.mappings("tasks")
    for name, task in tasks.items():
        for index, upstream in enumerate(dependencies(task)):
            key = ("tasks", name, "depends_on", index, "outcome")
            outcome, upstream_task = upstream.get("outcome"), tasks.get(upstream["task_key"], {})
            if outcome is not None and upstream_task and "condition_task" not in upstream_task:
                yield subject.finding(key, f"'{upstream['task_key']}' is not a condition_task: it has no outcome.")
            elif outcome is not None and outcome not in ("true", "false"):
                yield subject.finding(key, f"{outcome!r} is not an outcome.", '"true", "false"')


def single_task_type(subject: JobSubject) -> Iterator[Finding]:
    for key, task in subject.tasks():
        types = [name for name in TASK_TYPES if name in task]
        if len(types) > 1:
            yield subject.finding((*key, types[1]), f"a task is of one type, this one has {', '.join(types)}.")
        if not types:
            yield subject.finding(key, f"task '{key[-1]}' has no type.", ", ".join(TASK_TYPES))


def single_compute(subject: JobSubject) -> Iterator[Finding]:
    defined_keys = {
        "job_cluster_key": list(subject.mappings("job_clusters")),
        "environment_key": list(subject.mappings("environments")),
    }
    for key, task in subject.tasks():
        fields = [name for name in _COMPUTE_FIELDS if name in task]
        if len(fields) > 1:
            yield subject.finding((*key, fields[1]), f"a task has one kind of compute, this one {', '.join(fields)}.")
        for name, defined in defined_keys.items():
            value = task.get(name)
            if isinstance(value, str) and value not in defined and "${" not in value:
                message = f"no '{value}' is defined.{did_you_mean(value, defined)}"
                yield subject.finding((*key, name), message, ", ".join(defined) or "none")


def condition_fields(subject: JobSubject) -> Iterator[Finding]:
    for key, task in subject.tasks():
        if "condition_task" not in task:
            continue
        for name in (*_COMPUTE_FIELDS, "max_retries", "email_notifications", "webhook_notifications", "libraries"):
            if name in task:
                yield subject.finding((*key, name), f"a condition_task has no {name}.")


def nested_loops(subject: JobSubject) -> Iterator[Finding]:
    for key, task in subject.tasks():
        if "for_each_task" in task and "for_each_task" in key:
            yield subject.finding((*key, "for_each_task"), "a for_each_task cannot be inside another.")


def unknown_references(subject: JobSubject) -> Iterator[Finding]:
    """A note and no finding: Databricks accepts such a job, and its run fails."""
    edges, tasks = _graph_of_tasks(subject), subject.mappings("tasks")
    for name, task in tasks.items():
        for text, target, _ in references(dict(task)):
            if target is None:
                continue
            if target not in tasks:
                yield subject.finding(("tasks", name), f"{text}: there is no task '{target}'.")
            elif target not in graph.upstream(edges, [name]) - {name}:
                yield subject.finding(("tasks", name), f"{text}: '{target}' is not upstream of '{name}'.")
        for parameter in re.findall(r"\{\{job\.parameters\.([^}]+)\}\}", repr(dict(task))):
            if parameter not in subject.mappings("parameters"):
                yield subject.finding(("tasks", name), f"there is no parameter '{parameter}' of the job.")


RULES = (unknown_tasks, cycles, outcomes, single_task_type, single_compute, condition_fields, nested_loops)
NOTES = (unknown_references,)
