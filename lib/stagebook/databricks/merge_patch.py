"""Applies and computes merge patches (RFC 7386) over jobs: null removes a key, mappings merge, the rest is replaced.

A job's lists of tasks, job clusters, environments and parameters are patched by key, as a bundle's targets do:
`lists_to_mappings` turns them into mappings, `mappings_to_lists` back.
"""

from collections.abc import Mapping
from typing import Any

ITEM_KEYS = {
    "parameters": "name",
    "environments": "environment_key",
    "job_clusters": "job_cluster_key",
    "tasks": "task_key",
}
"""A job's lists that are patched by key → the field that identifies an item."""


def apply(value: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The value with the patch applied."""
    result = dict(value)
    for key, change in patch.items():
        if change is None:
            result.pop(key, None)
        elif isinstance(change, Mapping):
            nested = result.get(key)
            result[key] = apply(nested if isinstance(nested, Mapping) else {}, change)
        else:
            result[key] = change
    return result


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that turns `old` into `new`. Neither may hold nulls in mappings."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif isinstance(value, Mapping) and isinstance(old[key], Mapping):
            if nested := diff(old[key], value):
                patch[key] = nested
        elif not _equal(old[key], value):
            patch[key] = value
    return patch


def _equal(left: Any, right: Any) -> bool:
    """Whether values and types are equal: YAML's `true` is not 1."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    return type(left) is type(right) and left == right


def without_nulls(value: Any) -> Any:
    """The value without keys whose value is null, which mean the same as no key."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def lists_to_mappings(job: Mapping[str, Any]) -> dict[str, Any]:
    """The job with its four lists as mappings by key. A list with an item that has no key stays a list."""
    result = dict(job)
    for name, key in ITEM_KEYS.items():
        items = job.get(name)
        if isinstance(items, list) and all(
            isinstance(item, Mapping) and isinstance(item.get(key), str) for item in items
        ):
            result[name] = {item[key]: {k: v for k, v in item.items() if k != key} for item in items}
    return result


def mappings_to_lists(job: Mapping[str, Any]) -> dict[str, Any]:
    """The job with its four lists as lists again."""
    result = dict(job)
    for name, key in ITEM_KEYS.items():
        if isinstance(job.get(name), Mapping):
            result[name] = [{key: item_key, **item} for item_key, item in job[name].items()]
    return result
