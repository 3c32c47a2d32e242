"""Selects the job to import from the documents of a bundle or of the Jobs API."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stagebook.config.yaml_file import Document, Key
from stagebook.databricks import merge_patch
from stagebook.databricks.validate.fields import KEYS
from stagebook.databricks.validate.subject import is_bundle, job_keys
from stagebook.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class SourceJob:
    """A job to import, and the bundle that it is part of.

    `target` is the target that defines the job, if only targets do.
    `values` is the job without nulls, its four lists as mappings by key; `bundle` the whole bundle, None for a job
    outside of a bundle. `folder` is the folder of the job's file, which paths of notebooks count from.
    """

    name: str
    values: Mapping[str, Any]
    bundle: Mapping[str, Any] | None
    folder: Path
    target: str | None = None

    @property
    def targets(self) -> dict[str, Mapping[str, Any]]:
        """The targets of the bundle, the default one first."""
        return targets_of(self.bundle or {})

    @property
    def variables(self) -> dict[str, str]:
        """`var.x`, `bundle.name`, `bundle.target` → the value in the bundle's default target, if it is a text."""
        bundle = self.bundle or {}
        values = {f"var.{name}": _default_of(variable) for name, variable in (bundle.get("variables") or {}).items()}
        values["bundle.name"] = (bundle.get("bundle") or {}).get("name")
        for default, target in list(self.targets.items())[:1]:
            values["bundle.target"] = default
            values |= {f"var.{name}": _default_of(value) for name, value in (target.get("variables") or {}).items()}
        return {name: value for name, value in values.items() if isinstance(value, str)}


def select_job(documents: Sequence[Document], name: str | None, file: Path) -> SourceJob:
    """The job of that key, merged from all documents; None: the only one.

    Args:
        file: names the documents in messages.
    Raises:
        ConfigError: there is no such job, or several and no name.
    """
    documents = [_without_anchor_containers(document) for document in documents]
    jobs: dict[str, tuple[Document, dict[str, Any]]] = {}
    for document in documents:
        for key, path in job_keys(document):
            values = jobs[key][1] if key in jobs else {}
            jobs[key] = (document, merge_patch.apply(values, _mapping_at(document.values, path)))
    in_targets = {key: defined for key, defined in _jobs_of_targets(documents).items() if key not in jobs}
    jobs |= {key: (document, values) for key, (document, values, _) in in_targets.items()}
    if name is None and len(jobs) == 1:
        name = next(iter(jobs))
    if name not in jobs:
        problem = f"there is no job '{name}'.{did_you_mean(name, list(jobs))}" if name else "which job is meant?"
        allowed = ", ".join(jobs) or "none, there is no job in it"
        raise ConfigError(f"{file}: {problem}\n  --job takes one of: {allowed}")
    document, values = jobs[name]
    bundle = _merged(document.values for document in documents) if is_bundle(documents[0]) else {}
    return SourceJob(
        name if is_bundle(document) else str(values.get("name", name)),
        merge_patch.lists_to_mappings(merge_patch.without_nulls(values)),
        merge_patch.without_nulls(bundle) if "bundle" in bundle else None,
        Path(document.path).absolute().parent,
        in_targets[name][2] if name in in_targets else None,
    )


def _without_anchor_containers(document: Document) -> Document:
    """The document without the mappings that only its aliases need; these are written out where they are used."""
    known = KEYS["Bundle"] if is_bundle(document) else KEYS["Settings"] | KEYS["Response"]
    names = document.anchor_containers - set(known)
    return replace(document, values={key: value for key, value in document.values.items() if key not in names})


def _jobs_of_targets(documents: Sequence[Document]) -> dict[str, tuple[Document, dict[str, Any], str]]:
    """Each job that a target defines: document, values and target; of several targets, the default or first one's."""
    jobs: dict[str, tuple[Document, dict[str, Any], str]] = {}
    merged = _merged(document.values for document in documents)
    for target in targets_of(merged):
        for document in documents:
            for key, values in _jobs_at(document.values, ("targets", target, "resources", "jobs")).items():
                if key not in jobs or jobs[key][2] == target:
                    earlier = jobs[key][1] if key in jobs else {}
                    jobs[key] = (document, merge_patch.apply(earlier, values), target)
    return jobs


def _jobs_at(values: Any, path: Key) -> dict[str, dict[str, Any]]:
    for key in path:
        values = values.get(key) if isinstance(values, Mapping) else None
    jobs = values if isinstance(values, Mapping) else {}
    return {key: job for key, job in jobs.items() if isinstance(job, dict)}


def targets_of(bundle: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The targets of a bundle, the default one first."""
    declared = bundle.get("targets")
    targets = {name: target or {} for name, target in declared.items()} if isinstance(declared, Mapping) else {}
    return dict(sorted(targets.items(), key=lambda item: item[1].get("default") is not True))


def _merged(patches: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for patch in patches:
        merged = merge_patch.apply(merged, patch)
    return merged


def _mapping_at(values: Any, path: Key) -> dict[str, Any]:
    for key in path:
        values = values[key]
    return values if isinstance(values, dict) else {}


def _default_of(variable: Any) -> Any:
    return variable.get("default") if isinstance(variable, Mapping) else variable
