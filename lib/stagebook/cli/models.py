"""`stagebook models`: the registry's versions, and rolling back by moving the alias."""

from typing import TYPE_CHECKING

from cyclopts import App

from stagebook.cli.options import TablesOptions

if TYPE_CHECKING:
    from stagebook.tracking.registry import Registry

app = App(name="models", help="Registered model versions: list them, roll the champion back.")


def _registry(options: TablesOptions) -> "tuple[Registry, str]":
    from stagebook.tracking.registry import Registry

    tracking = options.load().tracking
    return Registry(tracking), tracking.registered_model


@app.command(name="list")
def list_versions(*, options: TablesOptions = TablesOptions()) -> int:
    """List the versions of the registered model with their aliases and runs."""
    from rich.console import Console
    from rich.table import Table

    registry, name = _registry(options)
    table = Table("model", "version", "aliases", "run", "created", box=None)
    for version in registry.versions(name):
        table.add_row(name, version.version, ", ".join(version.aliases), version.run_id or "", version.created_at)
    Console().print(table)
    return 0


@app.command
def rollback(*, to: str | None = None, options: TablesOptions = TablesOptions()) -> int:
    """Move the alias `champion` back to the version before, or to a given one.

    Parameters
    ----------
    to:
        The version that becomes champion (default: the champion before this one).
    """
    registry, name = _registry(options)
    old, new = registry.rollback(name, to)
    print(f"champion of {name}: version {old} → {new}")
    return 0
