"""The cache key of a stage's result: everything that the result depends on, each by content."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Self

FORMAT = 3
"""Part of every key: results of a kit that counted other things are not taken."""


@dataclass(frozen=True)
class TableState:
    """A table at a version. `content` tells its rows apart: equal content, equal rows, whatever the version."""

    version: int
    content: str


@dataclass(frozen=True)
class CacheKeyInputs:
    """What an attempt depends on.

    `stage` says whose result it is: pipeline, stage and where its tables are. `cells` are digests of the
    notebook's code cells (empty: comments alone), `parameters` the values that the notebook sees, its own
    defaults included. `modules` is the project's own code that it reaches, `tables` what it reads. `engine` is what
    was asked for, `environment` a digest of Python and all packages. `variables` has digests of the values of the
    environment variables that it reads (empty: not set).
    """

    stage: tuple[str, ...]
    cells: tuple[str, ...]
    parameters: Mapping[str, Any]
    modules: Mapping[str, str]
    engine: str
    environment: str
    tables: Mapping[str, TableState] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

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
            "variables": self.variables,
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


@dataclass(frozen=True)
class RegistryUse:
    """What a stage has asked a model registry, and what it made it say: alias → version (None: none)."""

    uri: str
    model: str
    reads: Mapping[str, str | None] = field(default_factory=dict)
    sets: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
