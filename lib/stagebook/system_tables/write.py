"""Writes runs into the system tables: appends missing rows, and restates rows that changed.

The tables are compared with the runs first, so that no row is written twice: a run may be written as often as
you like, after a crash, after a resumption, or by another process (one at a time: a lock).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from stagebook.errors import DamagedRun
from stagebook.model.record import RunRecord
from stagebook.runs import folders
from stagebook.system_tables.columns import schema
from stagebook.system_tables.rows import Row, rows

if TYPE_CHECKING:
    import pyarrow as pa

LOCK = "system_tables.lock"

KEYS: dict[str, tuple[str, ...]] = {
    "billing.list_prices": ("cloud", "sku_name"),
    "compute.clusters": ("cluster_id",),
    "compute.node_timeline": ("cluster_id", "instance_id", "start_time"),
    "compute.node_types": ("node_type",),
    "lakeflow.jobs": ("job_id",),
    "lakeflow.job_tasks": ("job_id", "task_key"),
    "lakeflow.job_run_timeline": ("run_id", "period_start_time"),
    "lakeflow.job_task_run_timeline": ("run_id", "period_start_time"),
}
"""The key columns of each table. A row is written once a key, except in `CHANGING` tables."""

CHANGING = ("lakeflow.jobs", "lakeflow.job_tasks")
"""Tables that get another row, with another `change_time`, when a row changes."""

FILTER_COLUMNS = {
    "billing.usage": "usage_end_time",
    "compute.clusters": "create_time",
    "compute.node_timeline": "end_time",
    "lakeflow.job_run_timeline": "period_end_time",
    "lakeflow.job_task_run_timeline": "period_end_time",
}
"""A time column that is at most `MARGIN` before the run's start in all rows of the run: older files are not read."""

MARGIN = timedelta(days=1)
"""A cluster starts before its first stage does."""


def table_folder(tables: Path, table: str) -> Path:
    """The folder of a system table: `system/billing/usage` below the tables' folder for `billing.usage`."""
    return tables.joinpath("system", *table.split("."))


def table_names() -> dict[str, str]:
    """`system.billing.usage` → `billing.usage`, for all tables that are written."""
    return {f"system.{table}": table for table in ("billing.usage", *KEYS)}


def write_runs(records: Sequence[RunRecord], tables: Path, today: date) -> None:
    """Write runs, as far as they got, into the tables below `tables / "system"`: one commit a table.

    Args:
        today: the ingestion date of new rows.
    """
    from stagebook.delta.append_only import AppendOnlyTable

    if not records:
        return
    system, run_rows = tables / "system", [rows(record) for record in records]
    system.mkdir(parents=True, exist_ok=True)
    since = (min(datetime.fromisoformat(record.started_at) for record in records) - MARGIN).isoformat()
    run_ids = {record.run_id for record in records}
    with FileLock(system / LOCK):
        for name in table_names().values():
            table = AppendOnlyTable(table_folder(tables, name))
            column = FILTER_COLUMNS.get(name)
            stored = table.rows(f"{column} >= TIMESTAMP '{since}'" if column else "true")
            expected = [row for by_table in run_rows for row in by_table[name]]
            table.append(_arrow(name, _missing_rows(name, expected, stored, run_ids, today)))


def write_missing_runs(
    runs_dir: Path, tables: Path, today: date, pass_over: Callable[[DamagedRun], None] | None = None
) -> None:
    """Write all runs that are not under way and have ended, or died, since they were last written.

    Args: pass_over: called for each damaged run, which is left out.
    """
    from stagebook.delta.append_only import AppendOnlyTable

    stored = AppendOnlyTable(table_folder(tables, "lakeflow.job_run_timeline")).rows()
    written = {(row["run_id"], row["period_end_time"]) for row in stored}
    missing: list[RunRecord] = []
    for run, record in folders.readable(runs_dir, pass_over):
        ended = record.finished_at and datetime.fromisoformat(record.finished_at)
        if (record.run_id, ended) not in written and not run.is_held:
            missing.append(record)
    write_runs(missing, tables, today)


def _missing_rows(table: str, expected: list[Row], stored: list[Row], run_ids: set[str], today: date) -> list[Row]:
    """The rows to append to a table so that it holds these runs."""
    if table == "billing.usage":
        return restated([row for row in stored if row["usage_metadata"]["job_run_id"] in run_ids], expected, today)
    return _new_rows(table, expected, stored)


def restated(stored: Iterable[Row], expected: Iterable[Row], today: date) -> list[Row]:
    """The rows to append so that the stored quantities add up to the expected ones.

    A new row is `ORIGINAL`. A changed row is retracted (`RETRACTION`, the negative of the stored quantity) and
    written again (`RESTATEMENT`), as Databricks does.
    """
    sums: dict[str, tuple[Row, Decimal, int]] = {}
    for row in stored:
        _, quantity, count = sums.get(usage_key(row), (row, Decimal(0), 0))
        sums[usage_key(row)] = (row, quantity + row["usage_quantity"], count + 1)
    new: list[Row] = []

    def add(key: str, row: Row, quantity: Decimal, record_type: str, number: int) -> None:
        record_id = hashlib.sha256(f"{key}#{number}".encode()).hexdigest()[:32]
        new.append(
            {
                **row,
                "usage_quantity": quantity,
                "record_type": record_type,
                "record_id": record_id,
                "ingestion_date": today,
            }
        )

    for row in expected:
        key, quantity = usage_key(row), row["usage_quantity"]
        if key not in sums:
            add(key, row, quantity, "ORIGINAL", 0)
            continue
        old, total, count = sums.pop(key)
        if total != quantity:
            add(key, old, -total, "RETRACTION", count)
            add(key, row, quantity, "RESTATEMENT", count + 1)
    for key, (old, total, count) in sums.items():
        if total:
            add(key, old, -total, "RETRACTION", count)
    return new


def usage_key(row: Row) -> str:
    """The key of a usage row: its attempt, kind of time, cluster, hour and SKU."""
    tags, metadata = dict(row["custom_tags"]), row["usage_metadata"]
    hour = row["usage_start_time"].strftime("%Y-%m-%dT%H")
    parts = (metadata["job_run_id"], tags["stage"], tags["attempt"], tags["spent_on"], metadata["cluster_id"])
    return json.dumps([*parts, hour, row["sku_name"]])


def _new_rows(table: str, expected: Iterable[Row], stored: Iterable[Row]) -> list[Row]:
    """The rows that a table lacks: rows with a new key and, in `CHANGING` tables, rows that differ from the stored."""
    by_key: dict[tuple[Any, ...], list[Row]] = {}
    for row in stored:
        by_key.setdefault(_key(table, row), []).append(row)
    new: list[Row] = []
    for row in expected:
        versions = by_key.setdefault(_key(table, row), [])
        is_stored = _is_unchanged(row, versions) if table in CHANGING else bool(versions)
        if not is_stored:
            new.append(row)
            versions.append(row)
    return new


def _key(table: str, row: Row) -> tuple[Any, ...]:
    return tuple(row[column] for column in KEYS[table])


def _is_unchanged(row: Row, versions: list[Row]) -> bool:
    """Whether the version that was valid at the row's `change_time` has the same values."""
    earlier = [version for version in versions if version["change_time"] <= row["change_time"]]
    if not earlier:
        return False
    newest = max(earlier, key=lambda version: version["change_time"])
    return all(_is_equal(newest[column], value) for column, value in row.items() if column != "change_time")


def _is_equal(stored: Any, expected: Any) -> bool:
    """Whether two values are equal; a stored map is a list of pairs."""
    return dict(stored or ()) == expected if isinstance(expected, dict) else stored == expected


def _arrow(table: str, new: list[Row]) -> "pa.Table":
    import pyarrow as pa

    return pa.Table.from_pylist(new, schema=schema(table))
