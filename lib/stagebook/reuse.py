"""When a result may stand for a run: everything that a stage depends on as one key, and what differs in words."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Self

FORMAT = 1
"""Part of every key: results of a kit that counted other things are not taken."""


@dataclass(frozen=True)
class TableState:
    """A table at a version. `content` tells its rows apart: equal content, equal rows, whatever the version."""

    version: int
    content: str


@dataclass(frozen=True)
class Ingredients:
    """What an attempt depends on.

    `stage` says whose result it is: pipeline, stage and where its tables are. `cells` are digests of the
    notebook's code cells (empty: comments alone), `parameters` the values that the notebook sees, its own
    defaults included. `modules` are the project's own that its imports reach, `tables` what it reads.
    `engine` is what was asked for, `environment` a digest of Python and all packages.
    """

    stage: tuple[str, ...]
    cells: tuple[str, ...]
    parameters: Mapping[str, Any]
    modules: Mapping[str, str]
    engine: str
    environment: str
    tables: Mapping[str, TableState] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Equal keys, equal results: 32 hex digits."""
        value = {
            "format": FORMAT,
            "stage": self.stage,
            "cells": [cell for cell in self.cells if cell],
            "parameters": self.parameters,
            "modules": self.modules,
            "engine": self.engine,
            "environment": self.environment,
            "tables": {name: table.content for name, table in self.tables.items()},
        }
        return blake2b(canonical(value).encode(), digest_size=16).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        tables = {name: TableState(**state) for name, state in value["tables"].items()}
        return cls(**{**value, "stage": tuple(value["stage"]), "cells": tuple(value["cells"]), "tables": tables})


def canonical(value: Any) -> str:
    """A value as JSON, the same for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str, separators=(",", ":"))


def differences(before: Ingredients, now: Ingredients, packages: "Packages | None" = None) -> list[str]:
    """What has changed between two keys, in words, the most telling first; empty if the keys are equal."""
    return [
        *_parameters(before.parameters, now.parameters),
        *_cells(before.cells, now.cells),
        *_modules(before.modules, now.modules),
        *_tables(before.tables, now.tables),
        *([f"engine {before.engine} → {now.engine}"] if before.engine != now.engine else []),
        *([_environment(packages)] if before.environment != now.environment else []),
        *(["its tables are elsewhere now"] if before.stage != now.stage else []),
    ]


@dataclass(frozen=True)
class Packages:
    """Python and installed packages with their versions, then and now; only for telling what differs."""

    before: Mapping[str, str]
    now: Mapping[str, str]


def _parameters(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            yield f"parameter `{name}` is gone"
        elif name not in before:
            yield f"parameter `{name}` is new"
        elif canonical(before[name]) != canonical(now[name]):
            yield f"parameter `{name}` {_short(before[name])} → {_short(now[name])}"


def _short(value: Any) -> str:
    text = canonical(value) if not isinstance(value, str) else value
    return text if len(text) <= 40 else text[:39] + "…"


def _cells(before: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    """Cells are numbered as in messages about failures: code cells with something in them, from 1."""
    if [cell for cell in before if cell] == [cell for cell in now if cell]:
        return
    from difflib import SequenceMatcher

    matcher = SequenceMatcher(a=before, b=now, autojunk=False)
    for what, start, end, new_start, new_end in matcher.get_opcodes():
        match what:
            case "replace":
                yield from (f"cell {number + 1} changed" for number in range(new_start, new_end))
            case "insert":
                yield from (f"cell {number + 1} is new" for number in range(new_start, new_end) if now[number])
            case "delete":
                yield from (f"cell {number + 1} is gone" for number in range(start, end) if before[number])


def _modules(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """The project's modules first, then the kit's, which a user rarely changes."""
    names = [name for name in before.keys() | now.keys() if before.get(name) != now.get(name)]
    for name in sorted(names, key=lambda name: (name.startswith("stagebook"), name)):
        if name not in now:
            yield f"`{name}` is not reached any more"
        elif name not in before:
            yield f"`{name}` is reached now"
        else:
            yield f"`{name}` changed"


def _tables(before: Mapping[str, TableState], now: Mapping[str, TableState]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if new is None:
            yield f"table `{name}` is not read any more"
        elif old is None:
            yield f"table `{name}` is read now"
        elif old.content != new.content:
            made_anew = " (made anew)" if old.version == new.version else ""
            yield f"table `{name}` {old.version} → {new.version}{made_anew}"


def _environment(packages: Packages | None) -> str:
    if packages is None:
        return "the environment changed"
    before, now = packages.before, packages.now
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if not names:
        return "the environment changed"
    told = [f"{name} {before.get(name, 'none')} → {now.get(name, 'none')}" for name in names[:3]]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"the environment changed: {', '.join(told)}{more}"


@dataclass(frozen=True)
class RegistryUse:
    """What a stage has asked a model registry, and what it made it say: alias → version (None: none)."""

    uri: str
    model: str
    reads: Mapping[str, str | None] = field(default_factory=dict)
    sets: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def expected_aliases(uses: Sequence[RegistryUse], uri: str, model: str) -> dict[str, str | None]:
    """What a registry says of a model after these stages, in their order: what they set, else what they found."""
    aliases: dict[str, str | None] = {}
    for use in uses:
        if (use.uri, use.model) == (uri, model):
            aliases = {**use.reads, **aliases}
            aliases |= use.sets
    return aliases


def registry_changes(
    use: RegistryUse, expected: Mapping[str, str | None], now: Mapping[str, str | None]
) -> Iterator[str]:
    """Why a stage that has used the registry must run again."""
    for alias in sorted({*use.reads, *use.sets}):
        if expected.get(alias) != now.get(alias):
            yield f"`{alias}` of model {use.model} {expected.get(alias) or 'none'} → {now.get(alias) or 'none'}"
