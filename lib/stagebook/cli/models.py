"""`stagebook models`: the registry's versions, and rolling back by moving the alias."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from stagebook.track.registry import Registry

app = App(name="models", help="Registered model versions: list them, roll the champion back.")
Files = Annotated[tuple[str, ...], Parameter(negative=())]


def _registry(params: tuple[str, ...], warehouse: Path | None) -> "tuple[Registry, str]":
    from stagebook.cli.places import pipeline
    from stagebook.track.registry import Registry

    found = pipeline(params, warehouse, None)
    return Registry(found.tracking), found.tracking.registered_model


@app.command(name="list")
def list_versions(*, params: Files = (), warehouse: Path | None = None) -> int:
    """List the versions of the registered model with their aliases and runs.

    Parameters
    ----------
    params:
        Parameter file that names the registry (default: dev.yaml).
    warehouse:
        Folder of tables, files and tracking data.
    """
    from rich.console import Console
    from rich.table import Table

    registry, name = _registry(params, warehouse)
    table = Table("model", "version", "aliases", "run", "created", box=None)
    for version in registry.versions(name):
        table.add_row(name, version.version, ", ".join(version.aliases), version.run_id or "", version.created_at)
    Console().print(table)
    return 0


@app.command
def rollback(*, to: str | None = None, params: Files = (), warehouse: Path | None = None) -> int:
    """Move the alias `champion` back to the version before, or to a given one.

    Parameters
    ----------
    to:
        The version that becomes champion (default: the champion before this one).
    params:
        Parameter file that names the registry (default: dev.yaml).
    warehouse:
        Folder of tables, files and tracking data.
    """
    registry, name = _registry(params, warehouse)
    old, new = registry.rollback(name, to)
    print(f"champion of {name}: version {old} → {new}")
    return 0
