"""The jobs of one or more documents, as the rules look at them: merged, by key, each value with its place."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stagebook.jobs import patch
from stagebook.jobs.check.structure import shown, where
from stagebook.params.findings import Finding
from stagebook.params.yaml_file import Document, Key


@dataclass(frozen=True)
class Subject:
    """One job, in one target where targets change it. Its four lists are mappings by key (`patch.keyed`)."""

    values: Mapping[str, Any]
    places: Mapping[Key, str]
    keys: Mapping[Key, Key]

    def finding(self, key: Key, what: str, allowed: str = "") -> Finding:
        """A finding at the line of a value, or of what is around it."""
        while key not in self.places and key:
            key = key[:-1]
        return Finding(self.places[key], shown(self.keys[key]), what, allowed)

    def mappings(self, name: str) -> dict[str, Mapping[str, Any]]:
        """One of the four lists, by key, without what is not a mapping."""
        found = self.values.get(name)
        items = found.items() if isinstance(found, Mapping) else ()
        return {key: item for key, item in items if isinstance(item, Mapping)}

    def clusters(self) -> Iterator[tuple[Key, Mapping[str, Any]]]:
        """Every definition of a new cluster, with its place."""
        for name, item in self.mappings("job_clusters").items():
            if isinstance(item.get("new_cluster"), Mapping):
                yield ("job_clusters", name, "new_cluster"), item["new_cluster"]
        for key, task in self.tasks():
            if isinstance(task.get("new_cluster"), Mapping):
                yield (*key, "new_cluster"), task["new_cluster"]

    def tasks(self) -> Iterator[tuple[Key, Mapping[str, Any]]]:
        """Every task, and after a for-each task the one inside it, with its place."""
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
    given = task.get("depends_on")
    items = given if isinstance(given, list) else []
    return [item for item in items if isinstance(item, Mapping) and isinstance(item.get("task_key"), str)]


def job_keys(document: Document) -> list[tuple[str, Key]]:
    """Each job of a document that is not changed by a target: name and place."""
    values = document.values
    if is_response(document):
        return [("job", ("settings",))]
    if not is_bundle(document):
        return [("job", ())]
    resources = values.get("resources")
    jobs = resources.get("jobs") if isinstance(resources, Mapping) else None
    return [(name, ("resources", "jobs", name)) for name in jobs] if isinstance(jobs, Mapping) else []


def is_bundle(document: Document) -> bool:
    """Whether the document is a bundle or a part of one, and not a bare job."""
    return not is_response(document) and (
        not {"tasks", "job_clusters", "schedule", "max_concurrent_runs"} & set(document.values)
    )


def is_response(document: Document) -> bool:
    """Whether the document is what the Jobs API answers: the job under `settings`."""
    return isinstance(document.values.get("settings"), Mapping)


def subjects(documents: Sequence[Document]) -> list[Subject]:
    """Every job of a bundle: as each target makes it, and as it stands where no target changes it."""
    base: dict[str, list[tuple[Document, Key]]] = {}
    for document in documents:
        for name, key in job_keys(document):
            base.setdefault(name, []).append((document, key))
    changes: dict[str, list[tuple[Document, Key]]] = {}
    count = 0
    for document in documents:
        for target in _mapping_at(document.values, ("targets",)):
            count += 1
            for name in _mapping_at(document.values, ("targets", target, "resources", "jobs")):
                changes.setdefault(name, []).append((document, ("targets", target, "resources", "jobs", name)))
    found = []
    for name in dict.fromkeys([*base, *changes]):
        layers, over = base.get(name, []), changes.get(name, [])
        if layers and len(over) < max(count, 1):
            found.append(_subject(layers))
        found += [_subject([*layers, change]) for change in over]
    return found


def _subject(layers: Sequence[tuple[Document, Key]]) -> Subject:
    values: dict[str, Any] = {}
    places: dict[Key, str] = {}
    keys: dict[Key, Key] = {}
    for document, key in layers:
        own = _at(document.values, key)
        if not isinstance(own, Mapping):
            continue
        values = patch.apply(values, patch.without_nulls(patch.keyed(own)))
        places.setdefault((), where(document, key))
        keys.setdefault((), key)
        for at in document.lines:
            if at[: len(key)] == key and len(at) > len(key):
                by_key = _by_key(own, at[len(key) :])
                places[by_key], keys[by_key] = where(document, at), at
    return Subject(values, places, keys)


def _by_key(job: Mapping[str, Any], at: Key) -> Key:
    """The way to a value where the four lists are mappings: `("tasks", 0)` → `("tasks", "train")`."""
    if len(at) > 1 and at[0] in patch.LISTS and isinstance(at[1], int):
        item = job[str(at[0])][at[1]]
        own = item.get(patch.LISTS[str(at[0])]) if isinstance(item, Mapping) else None
        if isinstance(own, str):
            return (at[0], own, *at[2:])
    return at


def _at(values: Any, key: Key) -> Any:
    for name in key:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def _mapping_at(values: Any, key: Key) -> Mapping[str, Any]:
    found = _at(values, key)
    return found if isinstance(found, Mapping) else {}
