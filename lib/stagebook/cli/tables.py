"""`stagebook tables`: list and describe tables, explain what a read touches, and maintain their files."""

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number

from stagebook.cli.options import Flag, JsonFlag, TablesOptions, Words

if TYPE_CHECKING:
    from stagebook.model.pipeline import Pipeline
    from stagebook.tables.warehouse import Warehouse

app = App(name="tables", help="The tables of a pipeline: what they are, what reads touch, maintenance of their files.")


@app.command(name="list")
def list_tables(*, options: TablesOptions = TablesOptions(), json: JsonFlag = False) -> int:
    """List all tables: those that exist, and those that stages of the parameter file are yet to write.

    Parameters
    ----------
    json:
        Print a list of JSON objects.
    """
    from stagebook.cli import tables_text
    from stagebook.tables import maintenance

    pipeline, tables = _pipeline_and_tables(options)
    listings = maintenance.list_tables(tables, pipeline.stages.values())
    return _show([listing.to_json() for listing in listings], json, tables_text.table_list(listings))


@app.command
def describe(name: str, /, *, options: TablesOptions = TablesOptions(), json: JsonFlag = False) -> int:
    """Describe a table: columns with units, layout, files and rows, protocol, which engines can use it.

    Parameters
    ----------
    name:
        The table.
    json:
        Print a JSON object.
    """
    from stagebook.cli import tables_text
    from stagebook.tables import maintenance

    _, tables = _pipeline_and_tables(options)
    description, path = maintenance.describe(tables, name), str(tables.path(name))
    warning = maintenance.small_partitions_warning(description.partitions)
    fields = {**description.to_json(), "name": name, "path": path, "small_partitions": warning}
    return _show(fields, json, tables_text.description(name, path, description, warning))


@app.command
def history(
    name: str,
    /,
    *,
    last: Annotated[int, Parameter(validator=Number(gte=1))] = 20,
    options: TablesOptions = TablesOptions(),
    json: JsonFlag = False,
) -> int:
    """List the versions of a table, newest first: when, by which run, stage and attempt, and how large.

    Parameters
    ----------
    name:
        The table.
    last:
        How many, counted from the newest.
    json:
        Print a list of JSON objects.
    """
    from stagebook.cli import tables_text
    from stagebook.tables import maintenance

    _, tables = _pipeline_and_tables(options)
    commits = maintenance.history(tables, name, last)
    return _show([commit.to_json() for commit in commits], json, tables_text.history(commits))


@app.command
def explain(
    name: str,
    /,
    *,
    where: Words = (),
    columns: str | None = None,
    options: TablesOptions = TablesOptions(),
    json: JsonFlag = False,
) -> int:
    """Show what a read touches: files, row groups and bytes, and what each condition rules out.

    Parameters
    ----------
    name:
        The table.
    where:
        A condition such as 'month = 12' or 'dest in [SAN, LAX]' (repeatable, joined by and).
    columns:
        The columns that are read, comma-separated (default: all).
    json:
        Print a JSON object.
    """
    from stagebook.cli import tables_text
    from stagebook.config.flags import parse_condition
    from stagebook.tables import maintenance

    _, tables = _pipeline_and_tables(options)
    names = None if columns is None else [column.strip() for column in columns.split(",")]
    explanation = maintenance.explain(tables, name, names, [parse_condition(text) for text in where])
    return _show(explanation.to_json(), json, tables_text.read_explanation(name, explanation))


@app.command
def optimize(
    name: str, /, *, dry_run: Flag = False, options: TablesOptions = TablesOptions(), json: JsonFlag = False
) -> int:
    """Put the files of a table into its declared layout, by Z-order or compaction; rows stay as they are.

    Parameters
    ----------
    name:
        The table.
    dry_run:
        Show what would be done, and write nothing.
    json:
        Print a JSON object.
    """
    from stagebook.cli import tables_text
    from stagebook.tables import maintenance

    _, tables = _pipeline_and_tables(options)
    result = maintenance.optimize(tables, name, dry_run=dry_run)
    return _show(result.to_json(), json, tables_text.optimize_result(name, result))


@app.command
def vacuum(
    name: str,
    /,
    *,
    older_than: Annotated[float, Parameter(validator=Number(gte=0))] = 168.0,
    apply: Flag = False,
    options: TablesOptions = TablesOptions(),
    runs_dir: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    json: JsonFlag = False,
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
    runs_dir:
        Folder of run records, instead of the parameter file's (repeatable).
    json:
        Print a JSON object.
    """
    from datetime import UTC, datetime, timedelta

    from stagebook.cli import tables_text
    from stagebook.tables import retention
    from stagebook.tables.vacuum import apply_vacuum, propose_vacuum

    pipeline, tables = _pipeline_and_tables(options)
    folders = list(runs_dir) or [pipeline.paths.runs]
    runs = retention.kept_runs(folders)
    plan = propose_vacuum(tables, name, runs, older_than=timedelta(hours=older_than), now=datetime.now(UTC))
    if apply:
        plan = apply_vacuum(plan)
    return _show(plan.to_json(), json, tables_text.vacuum_plan(name, plan, len(runs), folders))


@app.command
def restore(
    name: str,
    /,
    *,
    version: Annotated[int, Parameter(validator=Number(gte=0))],
    options: TablesOptions = TablesOptions(),
    json: JsonFlag = False,
) -> int:
    """Give a table the content of an earlier version, as a new version; nothing is removed.

    Where no version can be opened behind it, as after a write that broke the table, the log of these versions is moved
    aside, and the version is the newest again.

    Parameters
    ----------
    name:
        The table.
    version:
        The version to go back to; `stagebook tables history` lists them.
    json:
        Print a JSON object.
    """
    from stagebook.cli import tables_text
    from stagebook.tables import maintenance

    _, tables = _pipeline_and_tables(options)
    result = maintenance.restore(tables, name, version)
    return _show(result.to_json(), json, tables_text.restore_result(result))


def _pipeline_and_tables(options: TablesOptions) -> "tuple[Pipeline, Warehouse]":
    from stagebook.tables.warehouse import Warehouse

    pipeline = options.load()
    return pipeline, Warehouse.local(pipeline.paths)


def _show(data: Any, json: bool, text: str) -> int:
    print(jsonlib.dumps(data, indent=2, ensure_ascii=False) if json else text)
    return 0
