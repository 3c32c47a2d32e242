"""Checks that a document has only known keys, with values of their kinds: one finding for each that has not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stagebook.config.findings import Finding
from stagebook.config.yaml_file import Document, Key
from stagebook.databricks.validate.fields import ENUMS, KEYS, REQUIRED
from stagebook.errors import did_you_mean

_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "number": ((int, float), "a number"),
    "bool": (bool, "true or false"),
}


@dataclass(frozen=True)
class Location:
    """Where a value is in a document. `complete` is false in a bundle's target, which may hold a part of a job."""

    document: Document
    key: Key = ()
    complete: bool = True

    def at(self, name: str | int) -> "Location":
        """The location of a key or list index in this value."""
        return Location(self.document, (*self.key, name), self.complete and name != "targets")

    def finding(self, message: str, allowed: str = "") -> Finding:
        """A finding at the line of this value, or of the nearest one around it that has a line."""
        return Finding(file_line(self.document, self.key), dotted(self.key), message, allowed)


def file_line(document: Document, key: Key) -> str:
    """`file:line` of a key, or of the nearest mapping around it that has a line."""
    while key not in document.lines and key:
        key = key[:-1]
    return f"{document.path}:{document.lines.get(key, 1)}"


def dotted(key: Key) -> str:
    """`tasks[0].run_if`."""
    return "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in key).removeprefix(".")


def check(value: Any, kind: str, location: Location) -> Iterator[Finding]:
    """Every unknown key, missing key and value of a wrong kind in `value`."""
    if value is None or kind == "any" or _is_variable(value, kind):
        return
    if kind.startswith("["):
        yield from _list(value, kind[1:-1], location)
    elif kind.startswith("{"):
        yield from _free_names(value, kind[1:-1], location)
    elif kind in ENUMS:
        if value not in ENUMS[kind]:
            hint = did_you_mean(str(value), ENUMS[kind])
            yield location.finding(f"{value!r} is not allowed.{hint}", ", ".join(ENUMS[kind]))
    elif kind == "Resources":
        yield from _resources(value, location)
    elif kind in KEYS:
        yield from _mapping(value, kind, location)
    else:
        yield from _scalar(value, kind, location)


def _is_variable(value: Any, kind: str) -> bool:
    """Whether the value is set only by the deployment or the run: a variable, or a dynamic value reference."""
    return isinstance(value, str) and kind != "str" and ("${" in value or value.startswith("{{"))


def _list(value: Any, kind: str, location: Location) -> Iterator[Finding]:
    if not isinstance(value, list):
        yield location.finding(f"{_short(value)} is not a list.")
        return
    for index, item in enumerate(value):
        if item is None:
            yield location.at(index).finding("this item is empty.")
        yield from check(item, kind, location.at(index))


def _free_names(value: Any, kind: str, location: Location) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield location.finding(f"{_short(value)} is not a mapping.")
        return
    for name, item in value.items():
        yield from check(item, kind, location.at(name))


def _mapping(value: Any, kind: str, location: Location) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield location.finding(f"{_short(value)} is not a mapping.")
        return
    kinds = KEYS[kind]
    containers = location.document.anchor_containers if not location.key else ()
    for name, item in value.items():
        if name not in kinds and name in containers:
            continue
        if name not in kinds:
            yield location.at(name).finding(f"unknown key.{did_you_mean(name, list(kinds))}", ", ".join(sorted(kinds)))
        else:
            yield from check(item, kinds[name], location.at(name))
    for name in REQUIRED.get(kind, ()) if location.complete else ():
        if value.get(name) is None:
            yield location.finding(f"'{name}' is missing.")


_RESOURCES = (
    "jobs", "pipelines", "models", "experiments", "model_serving_endpoints", "registered_models", "quality_monitors",
    "schemas", "volumes", "clusters", "dashboards", "apps", "secret_scopes", "sql_warehouses", "alerts",
    "database_instances", "database_catalogs", "synced_database_tables",
)  # fmt: skip


def _resources(value: Any, location: Location) -> Iterator[Finding]:
    """Kinds of resources are added often: an unknown one is a finding only if it looks like a known one."""
    if not isinstance(value, Mapping):
        yield location.finding(f"{_short(value)} is not a mapping.")
        return
    for name, item in value.items():
        if name == "jobs":
            yield from check(item, "{Job}", location.at(name))
        elif name == "model_serving_endpoints":
            yield from check(item, "{ModelServingEndpoint}", location.at(name))
        elif name not in _RESOURCES and (hint := did_you_mean(name, _RESOURCES)):
            yield location.at(name).finding(f"unknown kind of resource.{hint}")


def _scalar(value: Any, kind: str, location: Location) -> Iterator[Finding]:
    types, description = _KINDS[kind]
    if isinstance(value, types) and not (isinstance(value, bool) and kind != "bool"):
        return
    hint = " Put it in quotes." if kind == "str" and isinstance(value, int | float) else ""
    yield location.finding(f"{_short(value)} is not {description}.{hint}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
