"""Merges the jobs of one or more documents for the rules: lists by key, each value with its file and line."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stagebook.config.findings import Finding
from stagebook.config.yaml_file import Document, Key
from stagebook.databricks import merge_patch
from stagebook.databricks.validate.structure import dotted, file_line


@dataclass(frozen=True)
class JobSubject:
    """One job, as one target changes it. Its four lists are mappings by key (`merge_patch.lists_to_mappings`).

    `lines` maps the key of a value to `file:line`, `document_keys` to its key in that document.
    """

    values: Mapping[str, Any]
    lines: Mapping[Key, str]
    document_keys: Mapping[Key, Key]

    def finding(self, key: Key, message: str, allowed: str = "") -> Finding:
        """A finding at the line of a value, or of the nearest one around it that has a line."""
        while key not in self.lines and key:
            key = key[:-1]
        return Finding(self.lines[key], dotted(self.document_keys[key]), message, allowed)

    def mappings(self, name: str) -> dict[str, Mapping[str, Any]]:
        """One of the four lists, by key, without items that are not mappings."""
        items = _mapping_at(self.values, (name,))
        return {key: item for key, item in items.items() if isinstance(item, Mapping)}

    def clusters(self) -> Iterator[tuple[Key, Mapping[str, Any]]]:
        """Every definition of a new cluster, with its key."""
        for name, item in self.mappings("job_clusters").items():
            if isinstance(item.get("new_cluster"), Mapping):
                yield ("job_clusters", name, "new_cluster"), item["new_cluster"]
        for key, task in self.tasks():
            if isinstance(task.get("new_cluster"), Mapping):
                yield (*key, "new_cluster"), task["new_cluster"]

    def tasks(self) -> Iterator[tuple[Key, Mapping[str, Any]]]:
        """Every task, and after a for-each task the one inside it, with its key."""
        for name, task in self.mappings("tasks").items():
            key: Key = ("tasks", name)
            yield key, task
            while isinstance(each := task.get("for_each_task"), Mapping) and isinstance(each.get("task"), Mapping):
                key, task = (*key, "for_each_task", "task"), each["task"]
                yield key, task

    def graph(self) -> dict[str, list[str]]:
        """Task → the tasks that it depends on, unknown ones included."""
        return {name: [up["task_key"] for up in dependencies(task)] for name, task in self.mappings("tasks").items()}


def dependencies(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The well-formed items of a task's `depends_on`."""
    items = task.get("depends_on")
    if not isinstance(items, list):
        return []
    return [item for item in items if isinstance(item, Mapping) and isinstance(item.get("task_key"), str)]


def job_keys(document: Document) -> list[tuple[str, Key]]:
    """Each job that a document defines, without the changes of its targets: name and key."""
    values = document.values
    if is_api_response(document):
        return [("job", ("settings",))]
    if not is_bundle(document):
        return [("job", ())]
    resources = values.get("resources")
    jobs = resources.get("jobs") if isinstance(resources, Mapping) else None
    return [(name, ("resources", "jobs", name)) for name in jobs] if isinstance(jobs, Mapping) else []


def is_bundle(document: Document) -> bool:
    """Whether the document is a bundle, or a file that a bundle includes, and not a bare job."""
    return not is_api_response(document) and (
        not {"tasks", "job_clusters", "schedule", "max_concurrent_runs"} & set(document.values)
    )


def is_api_response(document: Document) -> bool:
    """Whether the document is a response of the Jobs API: the job is under `settings`."""
    return isinstance(document.values.get("settings"), Mapping)


def subjects(documents: Sequence[Document]) -> list[JobSubject]:
    """Every job of a bundle: as each target changes it, and unchanged if some target does not change it."""
    definitions: dict[str, list[tuple[Document, Key]]] = {}
    for document in documents:
        for name, key in job_keys(document):
            definitions.setdefault(name, []).append((document, key))
    changes: dict[str, list[tuple[Document, Key]]] = {}
    target_count = 0
    for document in documents:
        for target in _mapping_at(document.values, ("targets",)):
            target_count += 1
            for name in _mapping_at(document.values, ("targets", target, "resources", "jobs")):
                changes.setdefault(name, []).append((document, ("targets", target, "resources", "jobs", name)))
    jobs = []
    for name in dict.fromkeys([*definitions, *changes]):
        layers, target_layers = definitions.get(name, []), changes.get(name, [])
        if layers and len(target_layers) < max(target_count, 1):
            jobs.append(_subject(layers))
        jobs += [_subject([*layers, change]) for change in target_layers]
    return jobs


def _subject(layers: Sequence[tuple[Document, Key]]) -> JobSubject:
    values: dict[str, Any] = {}
    lines: dict[Key, str] = {}
    document_keys: dict[Key, Key] = {}
    for document, key in layers:
        job = _at(document.values, key)
        if not isinstance(job, Mapping):
            continue
        values = merge_patch.apply(values, merge_patch.without_nulls(merge_patch.lists_to_mappings(job)))
        lines.setdefault((), file_line(document, key))
        document_keys.setdefault((), key)
        for document_key in document.lines:
            if document_key[: len(key)] == key and len(document_key) > len(key):
                item_key = _key_by_name(job, document_key[len(key) :])
                lines[item_key], document_keys[item_key] = file_line(document, document_key), document_key
    return JobSubject(values, lines, document_keys)


def _key_by_name(job: Mapping[str, Any], key: Key) -> Key:
    """The key of a value when the four lists are mappings: `("tasks", 0)` → `("tasks", "train")`."""
    if len(key) > 1 and key[0] in merge_patch.ITEM_KEYS and isinstance(key[1], int):
        item = job[str(key[0])][key[1]]
        name = item.get(merge_patch.ITEM_KEYS[str(key[0])]) if isinstance(item, Mapping) else None
        if isinstance(name, str):
            return (key[0], name, *key[2:])
    return key


def _at(values: Any, key: Key) -> Any:
    for name in key:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def _mapping_at(values: Any, key: Key) -> Mapping[str, Any]:
    value = _at(values, key)
    return value if isinstance(value, Mapping) else {}
