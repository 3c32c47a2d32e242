"""Stagebook: notebook stages in dependency order, tracked and reproducible.

    import stagebook

    run = stagebook.run("dev.yaml", parameters={"seed": 14})
    run.status, run.scraps["validate"]["gate_passed"]

Notebooks use `from stagebook import stage`. Everything is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stagebook import stage
    from stagebook.api import Run, open_run, run
    from stagebook.model.kinds import DecimalKind, ListKind, MapKind, StructKind
    from stagebook.model.tables import Column, Kind, Layout, PartitionSource, TableSchema

    __version__: str

_MODULE_OF = {
    "Run": "stagebook.api",
    "open_run": "stagebook.api",
    "run": "stagebook.api",
    "Column": "stagebook.model.tables",
    "DecimalKind": "stagebook.model.kinds",
    "Kind": "stagebook.model.tables",
    "ListKind": "stagebook.model.kinds",
    "MapKind": "stagebook.model.kinds",
    "StructKind": "stagebook.model.kinds",
    "Layout": "stagebook.model.tables",
    "PartitionSource": "stagebook.model.tables",
    "TableSchema": "stagebook.model.tables",
}

__all__ = [
    "Column",
    "DecimalKind",
    "Kind",
    "Layout",
    "ListKind",
    "MapKind",
    "PartitionSource",
    "Run",
    "StructKind",
    "TableSchema",
    "__version__",
    "open_run",
    "run",
    "stage",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("stagebook")
    if name == "stage":
        return importlib.import_module("stagebook.stage")
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'stagebook' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
