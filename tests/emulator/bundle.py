"""The jobs of a bundle as a target makes them: files merged, variables filled in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagebook.cli.export import documents
from stagebook.jobs import patch

_VARIABLE = re.compile(r"\$\{([^{}]+)\}")


class BadBundle(Exception):
    """What the Databricks CLI would refuse to deploy."""


@dataclass(frozen=True)
class Job:
    """One job. `tasks` by key in the file's order; `home` is the folder that notebooks' paths count from."""

    key: str
    name: str
    parameters: Mapping[str, str]
    tasks: Mapping[str, Mapping[str, Any]]
    home: Path


def read(folder: Path, *, target: str | None = None, given: Mapping[str, str] | None = None) -> dict[str, Job]:
    """The jobs of the bundle in a folder, which stands for `${workspace.file_path}` too.

    Args:
        target: None: the one that is the default.
        given: values of the bundle's variables, as `--var` gives them.
    Raises:
        BadBundle: no such target, a variable without value, a parameter that is no text.
    """
    found = [(Path(document.path).parent, document.values) for document in documents(folder / "databricks.yml")]
    whole: dict[str, Any] = {}
    homes: dict[str, Path] = {}
    for home, values in found:
        jobs = _mapping(_mapping(values.get("resources")).get("jobs"))
        homes |= {key: home for key in jobs if key not in homes}
        whole = patch.apply(whole, _by_key(values))
    name, chosen = _target(_mapping(whole.get("targets")), target)
    whole = patch.apply(whole, {key: value for key, value in _by_key(chosen).items() if key != "variables"})
    names = _names(whole, name, folder, chosen, given or {})
    jobs = _mapping(_mapping(whole.get("resources")).get("jobs"))
    filled = {key: _filled(job, names, (key,)) for key, job in jobs.items()}
    return {key: _job(key, job, homes[key]) for key, job in filled.items()}


def _by_key(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the lists of each job as mappings, so that a patch of one task leaves the others."""
    jobs = _mapping(_mapping(values.get("resources")).get("jobs"))
    keyed = {"resources": {"jobs": {key: patch.keyed(job) for key, job in jobs.items()}}} if jobs else {}
    return patch.apply(values, keyed)


def _target(targets: Mapping[str, Any], wanted: str | None) -> tuple[str, Mapping[str, Any]]:
    defaults = [name for name, target in targets.items() if _mapping(target).get("default") is True]
    name = wanted or (defaults or list(targets) or ["default"])[0]
    if targets and name not in targets:
        raise BadBundle(f"{name}: no such target. Available targets: {', '.join(targets)}")
    return name, _mapping(targets.get(name))


def _names(
    whole: Mapping[str, Any], target: str, folder: Path, chosen: Mapping[str, Any], given: Mapping[str, str]
) -> dict[str, Any]:
    """What `${…}` may name, with values: one's own win over the target's, and those over defaults."""
    declared = {key: _mapping(value).get("default") for key, value in _mapping(whole.get("variables")).items()}
    own = {key: _of_target(value) for key, value in _mapping(chosen.get("variables")).items()}
    if unknown := sorted({*own, *given} - set(declared)):
        raise BadBundle(f"variable {unknown[0]} is not defined but is assigned a value")
    names = {f"var.{key}": value for key, value in {**declared, **own, **given}.items()}
    for name, value in names.items():
        if value is None:
            raise BadBundle(f"no value assigned to required variable {name.removeprefix('var.')}")
    return names | {
        "bundle.name": _mapping(whole.get("bundle")).get("name", ""),
        "bundle.target": target,
        "workspace.root_path": str(folder.parent),
        "workspace.file_path": str(folder),
        "workspace.current_user.userName": "somebody@example.com",
        "workspace.current_user.short_name": "somebody",
    }


def _of_target(value: Any) -> Any:
    return value.get("default") if isinstance(value, Mapping) else value


def _filled(value: Any, names: Mapping[str, Any], at: tuple[str, ...]) -> Any:
    """The value with each variable replaced; a text that is one variable takes its type."""
    if isinstance(value, Mapping):
        return {key: _filled(item, names, (*at, str(key))) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, names, at) for item in value]
    if not isinstance(value, str):
        return value
    for match in _VARIABLE.finditer(value):
        if match.group(1) not in names:
            raise BadBundle(f"{'.'.join(at)}: reference does not exist: {match.group(0)}")
    if whole := _VARIABLE.fullmatch(value):
        return names[whole.group(1)]
    return _VARIABLE.sub(lambda match: str(names[match.group(1)]), value)


def _job(key: str, values: Mapping[str, Any], home: Path) -> Job:
    parameters = {name: item.get("default") for name, item in _mapping(values.get("parameters")).items()}
    tasks = _mapping(values.get("tasks"))
    _only_texts(f"{key}.parameters", parameters)
    for name, task in tasks.items():
        inner = _mapping(_mapping(task.get("for_each_task")).get("task")) or task
        _only_texts(f"{key}.{name}", _mapping(_mapping(inner.get("notebook_task")).get("base_parameters")))
    return Job(key, str(values.get("name", key)), parameters, tasks, home)


def _only_texts(where: str, parameters: Mapping[str, Any]) -> None:
    for name, value in parameters.items():
        if not isinstance(value, str):
            raise BadBundle(f"{where}.{name}: parameters are texts, and this is {value!r}")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
