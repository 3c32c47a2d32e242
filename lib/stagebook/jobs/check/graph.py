"""What Databricks' own models do not see of a job's graph: one function a rule, each yielding findings."""

import re
from collections.abc import Iterator

from stagebook import dag
from stagebook.errors import did_you_mean
from stagebook.jobs.check.subject import Subject, dependencies
from stagebook.jobs.check.tables import TASK_TYPES
from stagebook.params.findings import Finding
from stagebook.params.references import references

_CLUSTERS = ("job_cluster_key", "new_cluster", "existing_cluster_id", "environment_key")


def unknown_tasks(subject: Subject) -> Iterator[Finding]:
    known = list(subject.mappings("tasks"))
    for name, task in subject.mappings("tasks").items():
        for place, upstream in enumerate(dependencies(task)):
            if upstream["task_key"] not in known:
                hint = did_you_mean(upstream["task_key"], known)
                what = f"there is no task '{upstream['task_key']}'.{hint}"
                yield subject.finding(("tasks", name, "depends_on", place, "task_key"), what, ", ".join(known))


def cycles(subject: Subject) -> Iterator[Finding]:
    known = set(subject.mappings("tasks"))
    graph = {name: [up for up in above if up in known] for name, above in subject.graph().items()}
    if cycle := dag.find_cycle(graph):
        what = f"the tasks depend on each other in a circle: {' → '.join(cycle)}."
        yield subject.finding(("tasks", cycle[0], "depends_on"), what)


def outcomes(subject: Subject) -> Iterator[Finding]:
    tasks = subject.mappings("tasks")
    for name, task in tasks.items():
        for place, upstream in enumerate(dependencies(task)):
            key = ("tasks", name, "depends_on", place, "outcome")
            outcome, above = upstream.get("outcome"), tasks.get(upstream["task_key"], {})
            if outcome is not None and above and "condition_task" not in above:
                yield subject.finding(key, f"'{upstream['task_key']}' is not a condition_task: it has no outcome.")
            elif outcome is not None and outcome not in ("true", "false"):
                yield subject.finding(key, f"{outcome!r} is not an outcome.", '"true", "false"')


def one_task_type(subject: Subject) -> Iterator[Finding]:
    for key, task in subject.tasks():
        types = [name for name in TASK_TYPES if name in task]
        if len(types) > 1:
            yield subject.finding((*key, types[1]), f"a task is of one type, this one has {', '.join(types)}.")
        if not types:
            yield subject.finding(key, f"task '{key[-1]}' has no type.", ", ".join(TASK_TYPES))


def one_compute(subject: Subject) -> Iterator[Finding]:
    known = {
        "job_cluster_key": list(subject.mappings("job_clusters")),
        "environment_key": list(subject.mappings("environments")),
    }
    for key, task in subject.tasks():
        given = [name for name in _CLUSTERS if name in task]
        if len(given) > 1:
            yield subject.finding((*key, given[1]), f"a task has one kind of compute, this one {', '.join(given)}.")
        for name, defined in known.items():
            value = task.get(name)
            if isinstance(value, str) and value not in defined and "${" not in value:
                what = f"no '{value}' is defined.{did_you_mean(value, defined)}"
                yield subject.finding((*key, name), what, ", ".join(defined) or "none")


def conditions(subject: Subject) -> Iterator[Finding]:
    for key, task in subject.tasks():
        if "condition_task" not in task:
            continue
        for name in (*_CLUSTERS, "max_retries", "email_notifications", "webhook_notifications", "libraries"):
            if name in task:
                yield subject.finding((*key, name), f"a condition_task has no {name}.")


def nested_loops(subject: Subject) -> Iterator[Finding]:
    for key, task in subject.tasks():
        if "for_each_task" in task and "for_each_task" in key:
            yield subject.finding((*key, "for_each_task"), "a for_each_task cannot stand inside another.")


def references_to_nowhere(subject: Subject) -> Iterator[Finding]:
    """A note and no finding: Databricks takes such a job, and the run fails."""
    graph, tasks = subject.graph(), subject.mappings("tasks")
    known = {name: [up for up in above if up in tasks] for name, above in graph.items()}
    for name, task in tasks.items():
        for text, target, _ in references(dict(task)):
            if target is None:
                continue
            if target not in tasks:
                yield subject.finding(("tasks", name), f"{text}: there is no task '{target}'.")
            elif target not in dag.upstream(known, [name]) - {name}:
                yield subject.finding(("tasks", name), f"{text}: '{target}' is not upstream of '{name}'.")
        for parameter in re.findall(r"\{\{job\.parameters\.([^}]+)\}\}", repr(dict(task))):
            if parameter not in subject.mappings("parameters"):
                yield subject.finding(("tasks", name), f"there is no parameter '{parameter}' of the job.")


RULES = (unknown_tasks, cycles, outcomes, one_task_type, one_compute, conditions, nested_loops)
NOTES = (references_to_nowhere,)
