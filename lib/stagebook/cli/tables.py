"""`stagebook tables`: what the tables are, what reads of them touch, and care for their files."""

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number

if TYPE_CHECKING:
    from stagebook.model.pipeline import Pipeline
    from stagebook.tables.warehouse import Warehouse

app = App(name="tables", help="The tables of a pipeline: what they are, what reads touch, care for their files.")
Files = Annotated[tuple[str, ...], Parameter(negative=())]
Flag = Annotated[bool, Parameter(negative=())]


@app.command(name="list")
def list_tables(*, params: Files = (), warehouse: Path | None = None, json: Flag = False) -> int:
    """List all tables: those that exist, and those that stages of the parameter file are yet to write.

    Parameters
    ----------
    params:
        Parameter file that says where tables are (default: dev.yaml).
    warehouse:
        Folder of tables, files and tracking data.
    json:
        Print a list of JSON objects.
    """
    from stagebook.cli import table_texts as texts
    from stagebook.tables import care

    pipeline, tables = _opened(params, warehouse)
    found = care.listed(tables, pipeline.stages.values())
    return _show([one.to_json() for one in found], json, texts.listing(found))


@app.command
def describe(name: str, /, *, params: Files = (), warehouse: Path | None = None, json: Flag = False) -> int:
    """Describe a table: columns with units, layout, files and rows, protocol, which engines can use it.

    Parameters
    ----------
    name:
        The table.
    params:
        Parameter file that says where tables are (default: dev.yaml).
    warehouse:
        Folder of tables, files and tracking data.
    json:
        Print a JSON object.
    """
    from stagebook.cli import table_texts as texts
    from stagebook.tables import care

    _, tables = _opened(params, warehouse)
    found = care.describe(tables, name)
    warning = care.too_small(found.partitions)
    told = {**found.to_json(), "name": name, "path": str(tables.path(name)), "small_partitions": warning}
    return _show(told, json, texts.description(name, str(tables.path(name)), found, warning))


@app.command
def history(
    name: str,
    /,
    *,
    last: Annotated[int, Parameter(validator=Number(gte=1))] = 20,
    params: Files = (),
    warehouse: Path | None = None,
    json: Flag = False,
) -> int:
    """List the versions of a table, newest first: when, by which run, stage and attempt, and how large.

    Parameters
    ----------
    name:
        The table.
    last:
        How many, counted from the newest.
    params:
        Parameter file that says where tables are (default: dev.yaml).
    warehouse:
        Folder of tables, files and tracking data.
    json:
        Print a list of JSON objects.
    """
    from stagebook.cli import table_texts as texts
    from stagebook.tables import care

    _, tables = _opened(params, warehouse)
    found = care.history(tables, name, last)
    return _show([change.to_json() for change in found], json, texts.changes(found))


@app.command
def explain(
    name: str,
    /,
    *,
    where: Files = (),
    columns: str | None = None,
    params: Files = (),
    warehouse: Path | None = None,
    json: Flag = False,
) -> int:
    """Tell what a read touches: files, row groups and bytes, and what each condition rules out.

    Parameters
    ----------
    name:
        The table.
    where:
        A condition such as 'month = 12' or 'dest in [SAN, LAX]' (repeatable, joined by and).
    columns:
        The columns that are read, comma-separated (default: all).
    params:
        Parameter file that says where tables are (default: dev.yaml).
    warehouse:
        Folder of tables, files and tracking data.
    json:
        Print a JSON object.
    """
    from stagebook.cli import table_texts as texts
    from stagebook.params import conditions
    from stagebook.tables import care

    _, tables = _opened(params, warehouse)
    wanted = None if columns is None else [column.strip() for column in columns.split(",")]
    found = care.explain(tables, name, wanted, [conditions.parse(text) for text in where])
    return _show(found.to_json(), json, texts.reading(name, found))


@app.command
def optimize(
    name: str, /, *, dry_run: Flag = False, params: Files = (), warehouse: Path | None = None, json: Flag = False
) -> int:
    """Put the files of a table into its declared layout, by Z-order or compaction; rows stay as they are.

    Parameters
    ----------
    name:
        The table.
    dry_run:
        Say what would be done, and write nothing.
    params:
        Parameter file that says where tables are (default: dev.yaml).
    warehouse:
        Folder of tables, files and tracking data.
    json:
        Print a JSON object.
    """
    from stagebook.cli import table_texts as texts
    from stagebook.tables import care

    _, tables = _opened(params, warehouse)
    found = care.optimize(tables, name, dry_run=dry_run)
    return _show(found.to_json(), json, texts.optimized(name, found))


@app.command
def vacuum(
    name: str,
    /,
    *,
    older_than: Annotated[float, Parameter(validator=Number(gte=0))] = 168.0,
    apply: Flag = False,
    params: Files = (),
    warehouse: Path | None = None,
    runs_dir: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    json: Flag = False,
) -> int:
    """Show the data files that nobody needs any more, and with --apply remove them.

    What a kept run has pinned, read or written is never removed: delete the folders of runs that nobody needs first.

    Parameters
    ----------
    name:
        The table.
    older_than:
        Hours for which a version is kept after another one has replaced it.
    apply:
        Remove the files; without it they are only shown.
    params:
        Parameter file that says where tables and runs are (default: dev.yaml).
    warehouse:
        Folder of tables, files and tracking data.
    runs_dir:
        Folder of run records, instead of the parameter file's (repeatable).
    json:
        Print a JSON object.
    """
    from datetime import UTC, datetime, timedelta

    from stagebook.cli import table_texts as texts
    from stagebook.tables import pins
    from stagebook.tables.sweep import sweep

    pipeline, tables = _opened(params, warehouse)
    folders = list(runs_dir) or [pipeline.places.runs]
    kept = pins.kept(folders)
    now, hours = datetime.now(UTC), timedelta(hours=older_than)
    found = sweep(tables, name, kept, older_than=hours, now=now, apply=apply)
    return _show(found.to_json(), json, texts.swept(name, found, len(kept), folders))


def _opened(params: tuple[str, ...], warehouse: Path | None) -> "tuple[Pipeline, Warehouse]":
    from stagebook.cli.places import pipeline
    from stagebook.tables.warehouse import Warehouse

    found = pipeline(params, warehouse, None)
    return found, Warehouse.local(found.places)


def _show(told: Any, json: bool, text: str) -> int:
    print(jsonlib.dumps(told, indent=2, ensure_ascii=False) if json else text)
    return 0
