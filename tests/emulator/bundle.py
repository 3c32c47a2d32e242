"""Reads the jobs of a bundle for a target: files merged, variables filled in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagebook.cli.databricks import documents
from stagebook.databricks import merge_patch

_VARIABLE = re.compile(r"\$\{([^{}]+)\}")


class BadBundle(Exception):
    """The Databricks CLI would refuse to deploy the bundle."""


@dataclass(frozen=True)
class Job:
    """One job. `tasks` are by key in the file's order; paths of notebooks count from `folder`."""

    key: str
    name: str
    parameters: Mapping[str, str]
    tasks: Mapping[str, Mapping[str, Any]]
    folder: Path


def read(folder: Path, *, target: str | None = None, variables: Mapping[str, str] | None = None) -> dict[str, Job]:
    """The jobs of the bundle in a folder, which is `${workspace.file_path}` too.

    Args:
        target: None: the default target.
        variables: values of the bundle's variables, as `--var` sets them.
    Raises:
        BadBundle: no such target, a variable without value, a parameter that is not a text.
    """
    bundle: dict[str, Any] = {}
    job_folders: dict[str, Path] = {}
    for document in documents(folder / "databricks.yml"):
        for key in _jobs(document.values):
            job_folders.setdefault(key, Path(document.path).parent)
        bundle = merge_patch.apply(bundle, _by_key(document.values))
    target_name, changes = _target(_mapping(bundle.get("targets")), target)
    bundle = merge_patch.apply(bundle, {key: value for key, value in _by_key(changes).items() if key != "variables"})
    values = {
        **_variable_values(bundle, changes, variables or {}),
        "bundle.name": _mapping(bundle.get("bundle")).get("name", ""),
        "bundle.target": target_name,
        "workspace.root_path": str(folder.parent),
        "workspace.file_path": str(folder),
        "workspace.current_user.userName": "somebody@example.com",
        "workspace.current_user.short_name": "somebody",
    }
    return {key: _job(key, _filled(job, values, (key,)), job_folders[key]) for key, job in _jobs(bundle).items()}


def _jobs(bundle: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(_mapping(bundle.get("resources")).get("jobs"))


def _by_key(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the lists of each job as mappings, so that a patch of one task leaves the others."""
    jobs = {key: merge_patch.lists_to_mappings(job) for key, job in _jobs(values).items()}
    return merge_patch.apply(values, {"resources": {"jobs": jobs}} if jobs else {})


def _target(targets: Mapping[str, Any], name: str | None) -> tuple[str, Mapping[str, Any]]:
    defaults = [name for name, target in targets.items() if _mapping(target).get("default") is True]
    name = name or (defaults or list(targets) or ["default"])[0]
    if targets and name not in targets:
        raise BadBundle(f"{name}: no such target. Available targets: {', '.join(targets)}")
    return name, _mapping(targets.get(name))


def _variable_values(
    bundle: Mapping[str, Any], target: Mapping[str, Any], variables: Mapping[str, str]
) -> dict[str, Any]:
    """Values of the bundle's variables: those of the call win over the target's, and those over defaults."""
    defaults = {key: _mapping(value).get("default") for key, value in _mapping(bundle.get("variables")).items()}
    of_target = {key: _target_value(value) for key, value in _mapping(target.get("variables")).items()}
    if undefined := sorted({*of_target, *variables} - set(defaults)):
        raise BadBundle(f"variable {undefined[0]} is not defined but is assigned a value")
    values = {**defaults, **of_target, **variables}
    for name, value in values.items():
        if value is None:
            raise BadBundle(f"no value assigned to required variable {name}")
    return {f"var.{name}": value for name, value in values.items()}


def _target_value(value: Any) -> Any:
    return value.get("default") if isinstance(value, Mapping) else value


def _filled(value: Any, values: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The value with each variable replaced; a text that is only a variable takes the type of its value.

    Args:
        path: of the value, for messages.
    """
    if isinstance(value, Mapping):
        return {key: _filled(item, values, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, values, path) for item in value]
    if not isinstance(value, str):
        return value
    for match in _VARIABLE.finditer(value):
        if match.group(1) not in values:
            raise BadBundle(f"{'.'.join(path)}: reference does not exist: {match.group(0)}")
    if match := _VARIABLE.fullmatch(value):
        return values[match.group(1)]
    return _VARIABLE.sub(lambda match: str(values[match.group(1)]), value)


def _job(key: str, values: Mapping[str, Any], folder: Path) -> Job:
    parameters = {name: item.get("default") for name, item in _mapping(values.get("parameters")).items()}
    tasks = _mapping(values.get("tasks"))
    _check_texts(f"{key}.parameters", parameters)
    for name, task in tasks.items():
        inner = _mapping(_mapping(task.get("for_each_task")).get("task")) or task
        _check_texts(f"{key}.{name}", _mapping(_mapping(inner.get("notebook_task")).get("base_parameters")))
    return Job(key, str(values.get("name", key)), parameters, tasks, folder)


def _check_texts(where: str, parameters: Mapping[str, Any]) -> None:
    for name, value in parameters.items():
        if not isinstance(value, str):
            raise BadBundle(f"{where}.{name}: parameters are texts, and this is {value!r}")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
