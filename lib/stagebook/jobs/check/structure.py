"""Whether a document has only known keys, with values of their kinds: one finding for each that has not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stagebook.errors import did_you_mean
from stagebook.jobs.check.tables import ENUMS, KEYS, REQUIRED
from stagebook.params.findings import Finding
from stagebook.params.yaml_file import Document, Key

_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "number": ((int, float), "a number"),
    "bool": (bool, "true or false"),
}


@dataclass(frozen=True)
class Part:
    """A value of a document. `whole` is false in a bundle's target, which may say a part of a job."""

    document: Document
    key: Key = ()
    whole: bool = True

    def at(self, name: str | int) -> "Part":
        """The value under a key or place in this one."""
        return Part(self.document, (*self.key, name), self.whole and name != "targets")

    def finding(self, what: str, allowed: str = "") -> Finding:
        """A finding at the line of this value, or of what is around it."""
        return Finding(where(self.document, self.key), shown(self.key), what, allowed)


def where(document: Document, key: Key) -> str:
    """`file:line` of a key, or of the nearest mapping around it that has a line."""
    while key not in document.lines and key:
        key = key[:-1]
    return f"{document.path}:{document.lines.get(key, 1)}"


def shown(key: Key) -> str:
    """`tasks[0].run_if`."""
    return "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in key).removeprefix(".")


def check(value: Any, kind: str, part: Part) -> Iterator[Finding]:
    """Every unknown key, missing key and value of another kind in `value`."""
    if value is None or kind == "any" or _is_variable(value, kind):
        return
    if kind.startswith("["):
        yield from _list(value, kind[1:-1], part)
    elif kind.startswith("{"):
        yield from _free_names(value, kind[1:-1], part)
    elif kind in ENUMS:
        if value not in ENUMS[kind]:
            hint = did_you_mean(str(value), ENUMS[kind])
            yield part.finding(f"{value!r} is not allowed.{hint}", ", ".join(ENUMS[kind]))
    elif kind == "Resources":
        yield from _resources(value, part)
    elif kind in KEYS:
        yield from _mapping(value, kind, part)
    else:
        yield from _scalar(value, kind, part)


def _is_variable(value: Any, kind: str) -> bool:
    """Whether the value is known only when the bundle is deployed: a variable, or the reference of a run."""
    return isinstance(value, str) and kind != "str" and ("${" in value or value.startswith("{{"))


def _list(value: Any, kind: str, part: Part) -> Iterator[Finding]:
    if not isinstance(value, list):
        yield part.finding(f"{_short(value)} is not a list.")
        return
    for place, item in enumerate(value):
        yield from check(item, kind, part.at(place))


def _free_names(value: Any, kind: str, part: Part) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield part.finding(f"{_short(value)} is not a mapping.")
        return
    for name, item in value.items():
        yield from check(item, kind, part.at(name))


def _mapping(value: Any, kind: str, part: Part) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield part.finding(f"{_short(value)} is not a mapping.")
        return
    known = KEYS[kind]
    for name, item in value.items():
        if name not in known:
            yield part.at(name).finding(f"unknown key.{did_you_mean(name, list(known))}", ", ".join(sorted(known)))
        else:
            yield from check(item, known[name], part.at(name))
    for name in REQUIRED.get(kind, ()) if part.whole else ():
        if value.get(name) is None:
            yield part.finding(f"'{name}' is missing.")


_RESOURCES = (
    "jobs", "pipelines", "models", "experiments", "model_serving_endpoints", "registered_models", "quality_monitors",
    "schemas", "volumes", "clusters", "dashboards", "apps", "secret_scopes", "sql_warehouses", "alerts",
    "database_instances", "database_catalogs", "synced_database_tables",
)  # fmt: skip


def _resources(value: Any, part: Part) -> Iterator[Finding]:
    """Kinds of resources are added often: an unknown one is a finding only where a known one is near."""
    if not isinstance(value, Mapping):
        yield part.finding(f"{_short(value)} is not a mapping.")
        return
    for name, item in value.items():
        if name == "jobs":
            yield from check(item, "{Job}", part.at(name))
        elif name == "model_serving_endpoints":
            yield from check(item, "{ModelServingEndpoint}", part.at(name))
        elif name not in _RESOURCES and (hint := did_you_mean(name, _RESOURCES)):
            yield part.at(name).finding(f"unknown kind of resource.{hint}")


def _scalar(value: Any, kind: str, part: Part) -> Iterator[Finding]:
    types, words = _KINDS[kind]
    if isinstance(value, types) and not (isinstance(value, bool) and kind != "bool"):
        return
    todo = " Put it in quotes." if kind == "str" and isinstance(value, int | float) else ""
    yield part.finding(f"{_short(value)} is not {words}.{todo}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
