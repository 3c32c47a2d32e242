"""Merge patches (RFC 7386) over jobs: null takes a key away, mappings merge, everything else is replaced.

A job's lists of tasks, job clusters, environments and parameters are patched by key, as a bundle's targets do:
`keyed` turns them into mappings, `listed` back.
"""

from collections.abc import Mapping
from typing import Any

LISTS = {
    "parameters": "name",
    "environments": "environment_key",
    "job_clusters": "job_cluster_key",
    "tasks": "task_key",
}


def apply(value: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The value with the patch laid over it."""
    result = dict(value)
    for key, change in patch.items():
        if change is None:
            result.pop(key, None)
        elif isinstance(change, Mapping):
            below = result.get(key)
            result[key] = apply(below if isinstance(below, Mapping) else {}, change)
        else:
            result[key] = change
    return result


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that makes `new` of `old`. Neither may hold nulls in mappings."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif isinstance(value, Mapping) and isinstance(old[key], Mapping):
            if below := diff(old[key], value):
                patch[key] = below
        elif not _same(old[key], value):
            patch[key] = value
    return patch


def _same(one: Any, other: Any) -> bool:
    """Equal with equal types: YAML's `true` is not 1."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


def without_nulls(value: Any) -> Any:
    """The value without keys whose value is null, which mean the same as no key."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def keyed(job: Mapping[str, Any]) -> dict[str, Any]:
    """The job with its four lists as mappings by key. Items without a key of their own stay a list."""
    result = dict(job)
    for name, key in LISTS.items():
        items = job.get(name)
        if isinstance(items, list) and all(
            isinstance(item, Mapping) and isinstance(item.get(key), str) for item in items
        ):
            result[name] = {item[key]: {k: v for k, v in item.items() if k != key} for item in items}
    return result


def listed(job: Mapping[str, Any]) -> dict[str, Any]:
    """The job with its four lists as lists again."""
    result = dict(job)
    for name, key in LISTS.items():
        if isinstance(job.get(name), Mapping):
            result[name] = [{key: own, **item} for own, item in job[name].items()]
    return result
