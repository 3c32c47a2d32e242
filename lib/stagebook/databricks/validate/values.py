"""Checks what Databricks' own models do not check of a job's values: bounds, names, clusters, schedules, limits."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stagebook.config.findings import Finding
from stagebook.config.yaml_file import Key
from stagebook.databricks.export.cluster import SINGLE_NODE_CONF, SINGLE_NODE_TAGS
from stagebook.databricks.validate.subject import JobSubject
from stagebook.errors import did_you_mean
from stagebook.schedule import quartz

MAX_TASKS, MAX_JOB_TAGS, MAX_CLUSTER_TAGS, MAX_WEBHOOKS, MAX_NAME_BYTES = 1000, 25, 45, 3, 4096
"""Source: docstrings of databricks-sdk, service/jobs.py and service/compute.py."""

_KEY = re.compile(r"[A-Za-z0-9_-]{1,100}")
_PARAMETER = re.compile(r"[A-Za-z0-9_.-]+")

_BOUNDS: dict[str, tuple[int, int | None]] = {
    "max_retries": (-1, None),
    "min_retry_interval_millis": (0, None),
    "timeout_seconds": (0, None),
}


def _int(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _out_of_bounds(subject: JobSubject, key: Key, value: Any, low: int, high: int | None) -> Iterator[Finding]:
    number = _int(value)
    if number is not None and (number < low or (high is not None and number > high)):
        bounds = f"{low} or more" if high is None else f"{low} to {high}"
        yield subject.finding(key, f"{number} is out of bounds.", bounds)


def bounds(subject: JobSubject) -> Iterator[Finding]:
    job = subject.values
    yield from _out_of_bounds(subject, ("timeout_seconds",), job.get("timeout_seconds"), 0, None)
    yield from _out_of_bounds(subject, ("max_concurrent_runs",), job.get("max_concurrent_runs"), 0, 1000)
    for key, task in subject.tasks():
        for name, (low, high) in _BOUNDS.items():
            yield from _out_of_bounds(subject, (*key, name), task.get(name), low, high)
        if isinstance(each := task.get("for_each_task"), Mapping):
            yield from _out_of_bounds(subject, (*key, "for_each_task", "concurrency"), each.get("concurrency"), 1, 100)


def clusters(subject: JobSubject) -> Iterator[Finding]:
    for key, cluster in subject.clusters():
        if "spark_version" not in cluster and cluster.get("apply_policy_default_values") is not True:
            yield subject.finding(key, "'spark_version' is missing: the cluster has no runtime.")
        yield from _size(subject, key, cluster)
        for cloud in ("aws", "azure"):
            attributes = cluster.get(f"{cloud}_attributes")
            if isinstance(attributes, Mapping):
                at = (*key, f"{cloud}_attributes", "first_on_demand")
                yield from _out_of_bounds(subject, at, attributes.get("first_on_demand"), 0, None)


def _size(subject: JobSubject, key: Key, cluster: Mapping[str, Any]) -> Iterator[Finding]:
    scale, workers = cluster.get("autoscale"), _int(cluster.get("num_workers"))
    yield from _out_of_bounds(subject, (*key, "num_workers"), cluster.get("num_workers"), 0, None)
    if isinstance(scale, Mapping):
        min_workers, max_workers = _int(scale.get("min_workers")), _int(scale.get("max_workers"))
        yield from _out_of_bounds(subject, (*key, "autoscale", "min_workers"), scale.get("min_workers"), 0, None)
        if min_workers is not None and max_workers is not None and min_workers > max_workers:
            message = f"min_workers is {min_workers}, more than max_workers, which is {max_workers}."
            yield subject.finding((*key, "autoscale", "min_workers"), message)
        if "num_workers" in cluster:
            yield subject.finding((*key, "num_workers"), "a cluster has num_workers or autoscale, not both.")
    elif workers == 0 and cluster.get("is_single_node") is not True and "policy_id" not in cluster:
        conf, tags = (
            value if isinstance(value := cluster.get(name), Mapping) else {} for name in ("spark_conf", "custom_tags")
        )
        missing = [name for name in SINGLE_NODE_CONF if name not in conf]
        missing += [name for name in SINGLE_NODE_TAGS if name not in tags]
        if missing:
            message = f"num_workers is 0, and a single node needs {', '.join(missing)}: nothing would compute."
            conf_text = ", ".join(f"{name}: {value}" for name, value in SINGLE_NODE_CONF.items())
            allowed = f"spark_conf {conf_text}; custom_tags ResourceClass: SingleNode"
            yield subject.finding((*key, "num_workers"), message, allowed)


def schedules(subject: JobSubject, timezones: frozenset[str]) -> Iterator[Finding]:
    schedule = subject.values.get("schedule")
    if not isinstance(schedule, Mapping):
        return
    expression, zone = schedule.get("quartz_cron_expression"), schedule.get("timezone_id")
    if isinstance(expression, str) and "${" not in expression and (reason := quartz.fault(expression)):
        yield subject.finding(("schedule", "quartz_cron_expression"), f"'{expression}': {reason}")
    if isinstance(zone, str) and "${" not in zone and zone not in timezones:
        hint = did_you_mean(zone, sorted(timezones))
        yield subject.finding(("schedule", "timezone_id"), f"there is no time zone '{zone}'.{hint}")


def single_start(subject: JobSubject) -> Iterator[Finding]:
    """Databricks refuses a job that starts in more than one way."""
    ways = [name for name in ("schedule", "trigger", "triggers", "continuous") if name in subject.values]
    if len(ways) > 1:
        yield subject.finding((ways[1],), f"a job starts in one way, this one by {' and '.join(ways)}.")


def names(subject: JobSubject) -> Iterator[Finding]:
    name = subject.values.get("name")
    if isinstance(name, str) and len(name.encode()) > MAX_NAME_BYTES:
        yield subject.finding(("name",), f"the name has more than {MAX_NAME_BYTES:,} bytes.")
    for kind in ("tasks", "job_clusters", "environments"):
        for key in subject.mappings(kind):
            if not _KEY.fullmatch(key):
                yield subject.finding((kind, key), f"'{key}' is not a key.", "1 to 100 letters, digits, '_' and '-'")
    for key in subject.mappings("parameters"):
        if not _PARAMETER.fullmatch(key):
            message = f"'{key}' is not the name of a parameter."
            yield subject.finding(("parameters", key), message, "letters, digits, '_', '-' and '.'")


def limits(subject: JobSubject) -> Iterator[Finding]:
    yield from _at_most(subject, ("tasks",), subject.values.get("tasks"), MAX_TASKS, "tasks")
    yield from _at_most(subject, ("tags",), subject.values.get("tags"), MAX_JOB_TAGS, "tags")
    for key, cluster in subject.clusters():
        at = (*key, "custom_tags")
        yield from _at_most(subject, at, cluster.get("custom_tags"), MAX_CLUSTER_TAGS, "tags of a cluster")
    for key, owner in (((), subject.values), *subject.tasks()):
        hooks = owner.get("webhook_notifications")
        for event, items in hooks.items() if isinstance(hooks, Mapping) else ():
            at = (*key, "webhook_notifications", event)
            yield from _at_most(subject, at, items, MAX_WEBHOOKS, "destinations of an event")


def _at_most(subject: JobSubject, key: Key, items: Any, limit: int, counted: str) -> Iterator[Finding]:
    if isinstance(items, Mapping | list) and len(items) > limit:
        yield subject.finding(key, f"{len(items):,} {counted}; at most {limit:,} are allowed.")


def performance(subject: JobSubject) -> Iterator[Finding]:
    if subject.values.get("performance_target") == "COST_OPTIMIZED" and "duration_target" not in subject.values:
        yield subject.finding(("performance_target",), "COST_OPTIMIZED needs a duration_target.")


def ignored_autotermination(subject: JobSubject) -> Iterator[Finding]:
    """A note: Databricks ignores the setting."""
    for key, cluster in subject.clusters():
        if "autotermination_minutes" in cluster:
            message = "a job cluster ends with its last task; autotermination_minutes is not supported."
            yield subject.finding((*key, "autotermination_minutes"), message)


RULES = (bounds, clusters, single_start, names, limits, performance)
NOTES = (ignored_autotermination,)
