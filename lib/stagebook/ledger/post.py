"""Runs are entered into the system tables: what they lack is appended, what changed is restated.

Nothing is entered twice, because the tables are asked what they hold; so a run may be entered as often as
one likes, after a crash, after a resumption, or by another process (one at a time: a lock).
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from stagebook.ledger.columns import schema
from stagebook.ledger.rows import Row, rows
from stagebook.model.record import RunRecord
from stagebook.storage import runs

if TYPE_CHECKING:
    import pyarrow as pa

LOCK = "ledger.lock"

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
"""What makes two rows tell of the same thing. Once told it stays, but for those in `CHANGING`."""

CHANGING = ("lakeflow.jobs", "lakeflow.job_tasks")
"""Told again when it changes, with another `change_time`."""

SINCE = {
    "billing.usage": "usage_end_time",
    "compute.clusters": "create_time",
    "compute.node_timeline": "end_time",
    "lakeflow.job_run_timeline": "period_end_time",
    "lakeflow.job_task_run_timeline": "period_end_time",
}
"""A column that is at most `BEFORE` the run's start in all of its rows: files that end earlier are not read."""

BEFORE = timedelta(days=1)
"""A cluster starts before its first stage does."""


def folder(tables: Path, table: str) -> Path:
    """Where a system table lies: `billing.usage` in `system/billing/usage` under the tables' folder."""
    return tables.joinpath("system", *table.split("."))


def names() -> dict[str, str]:
    """`system.billing.usage` → `billing.usage`, for all tables that are kept."""
    return {f"system.{table}": table for table in ("billing.usage", *KEYS)}


def post(records: Sequence[RunRecord], tables: Path, today: date) -> None:
    """Enter runs, as far as they got, into the tables under `tables / "system"`: one commit a table.

    Args:
        today: the ingestion date of what is new.
    """
    from stagebook.engines.appending import Growing

    if not records:
        return
    system, told = tables / "system", [rows(record) for record in records]
    system.mkdir(parents=True, exist_ok=True)
    since = (min(datetime.fromisoformat(record.started_at) for record in records) - BEFORE).isoformat()
    with FileLock(system / LOCK):
        for table in names().values():
            there = Growing(folder(tables, table))
            wanted = [row for one in told for row in one[table]]
            held = there.rows(f"{SINCE[table]} >= TIMESTAMP '{since}'" if table in SINCE else "true")
            there.append(_arrow(table, _new(table, wanted, held, {record.run_id for record in records}, today)))


def catch_up(runs_dir: Path, tables: Path, today: date) -> None:
    """Enter all runs that are not under way and have ended, or died, since they were entered."""
    from stagebook.engines.appending import Growing

    held = Growing(folder(tables, "lakeflow.job_run_timeline")).rows()
    entered = {(row["run_id"], row["period_end_time"]) for row in held}
    missing: list[RunRecord] = []
    for run in runs.existing(runs_dir):
        record = None if run.is_held else run.load()
        ended = record and record.finished_at and datetime.fromisoformat(record.finished_at)
        if record and (record.run_id, ended) not in entered:
            missing.append(record)
    post(missing, tables, today)


def _new(table: str, wanted: list[Row], held: list[Row], run_ids: set[str], today: date) -> list[Row]:
    """The rows to append to a table so that it tells these runs."""
    if table == "billing.usage":
        return restated([row for row in held if row["usage_metadata"]["job_run_id"] in run_ids], wanted, today)
    return _news(table, wanted, held)


def restated(held: Iterable[Row], wanted: Iterable[Row], today: date) -> list[Row]:
    """The rows to append so that what is held adds up to what is wanted.

    What is new is `ORIGINAL`; what has changed is taken back (`RETRACTION`, the negative of what is held) and
    told again (`RESTATEMENT`), as Databricks does.
    """
    sums: dict[str, tuple[Row, Decimal, int]] = {}
    for row in held:
        _, before, times = sums.get(usage_key(row), (row, Decimal(0), 0))
        sums[usage_key(row)] = (row, before + row["usage_quantity"], times + 1)
    new: list[Row] = []

    def add(key: str, row: Row, quantity: Decimal, kind: str, number: int) -> None:
        record_id = hashlib.sha256(f"{key}#{number}".encode()).hexdigest()[:32]
        told = {"usage_quantity": quantity, "record_type": kind, "record_id": record_id, "ingestion_date": today}
        new.append({**row, **told})

    for row in wanted:
        key, quantity = usage_key(row), row["usage_quantity"]
        if key not in sums:
            add(key, row, quantity, "ORIGINAL", 0)
            continue
        old, total, times = sums.pop(key)
        if total != quantity:
            add(key, old, -total, "RETRACTION", times)
            add(key, row, quantity, "RESTATEMENT", times + 1)
    for key, (old, total, times) in sums.items():
        if total:
            add(key, old, -total, "RETRACTION", times)
    return new


def usage_key(row: Row) -> str:
    """What a usage row is about: a SKU, an attempt and an hour."""
    tags, about = dict(row["custom_tags"]), row["usage_metadata"]
    hour = row["usage_start_time"].strftime("%Y-%m-%dT%H")
    parts = (about["job_run_id"], tags["stage"], tags["attempt"], tags["spent_on"], about["cluster_id"])
    return json.dumps([*parts, hour, row["sku_name"]])


def _news(table: str, wanted: Iterable[Row], held: Iterable[Row]) -> list[Row]:
    """The rows that tell something new: another thing, or, where things change, other than was true at that time."""
    known: dict[tuple[Any, ...], list[Row]] = {}
    for row in held:
        known.setdefault(_key(table, row), []).append(row)
    told = _still_so if table in CHANGING else _there
    new: list[Row] = []
    for row in wanted:
        before = known.setdefault(_key(table, row), [])
        if not told(row, before):
            new.append(row)
            before.append(row)
    return new


def _key(table: str, row: Row) -> tuple[Any, ...]:
    return tuple(row[column] for column in KEYS[table])


def _there(row: Row, known: list[Row]) -> bool:
    return bool(known)


def _still_so(row: Row, known: list[Row]) -> bool:
    """Whether what was true at the row's `change_time` is what the row says."""
    before = [old for old in known if old["change_time"] <= row["change_time"]]
    if not before:
        return False
    newest = max(before, key=lambda old: old["change_time"])
    return all(_same(newest[column], value) for column, value in row.items() if column != "change_time")


def _same(held: Any, wanted: Any) -> bool:
    """Whether a value is the one that a table holds, which gives maps back as pairs."""
    return dict(held or ()) == wanted if isinstance(wanted, dict) else held == wanted


def _arrow(table: str, new: list[Row]) -> "pa.Table":
    import pyarrow as pa

    return pa.Table.from_pylist(new, schema=schema(table))
