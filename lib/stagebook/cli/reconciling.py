"""`stagebook cost --reconcile`: estimates against what Databricks billed."""

import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from stagebook.cli.output import print_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from stagebook.ledger.reconcile import Compared
    from stagebook.model.pipeline import Pipeline

TITLES = {
    "run_id": "run",
    "by": "from",
    "estimated_dbu_usd": "estimated",
    "actual_dbu_usd": "billed",
    "difference_usd": "difference",
    "difference_percent": "%",
}


def show(found: "Pipeline", actual: Path | None, output: str) -> int:
    """Print each job run's estimate and bill.

    Args:
        actual: folder of Delta tables that hold the workspace's; None: Spark reads them.
    """
    from stagebook.ledger.reconcile import Compared, reconcile
    from stagebook.storage.runs import History

    compared = reconcile(found, History(found.places.runs, found.name).of, _asked(found, actual))
    rows = [asdict(one) for one in compared]
    names = [column.name for column in fields(Compared)]
    if output == "table":
        rows = [{title: row[name] for name, title in TITLES.items()} for row in rows]
        names = list(TITLES.values())
    print_rows(names, rows, output)
    print(_total(compared), file=sys.stdout if output == "table" else sys.stderr)
    return 0


def _asked(found: "Pipeline", actual: Path | None) -> "Callable[[str], pa.Table]":
    from stagebook.errors import ConfigError

    if actual is not None:
        from stagebook.ledger.questions import ask

        tables = actual.parent if actual.name == "system" else actual
        return lambda sql: ask(sql, tables)
    if found.spark.needs_server:
        raise ConfigError(
            "--reconcile: the Spark of this machine sees no workspace.\n"
            "  Set `spark: {remote: databricks}` (on Databricks) or `sc://…`, or name a copy: --actual FOLDER, "
            "with the Delta tables billing/usage, billing/list_prices, lakeflow/jobs, lakeflow/job_run_timeline and "
            "lakeflow/job_task_run_timeline in FOLDER/system."
        )
    from stagebook.engines.spark.session import answer

    return lambda sql: answer(found.spark, sql)


def _total(compared: "list[Compared]") -> str:
    """All runs together, and what that says of the prices."""
    from stagebook.cost.history import runs_in_words
    from stagebook.report.words import usd

    if not compared:
        return "nothing was billed for the runs of this job yet"
    estimated = sum((one.estimated_dbu_usd for one in compared), Decimal(0))
    billed = sum((one.actual_dbu_usd for one in compared), Decimal(0))
    machines = sum((one.estimated_machines_usd for one in compared), Decimal(0))
    share = f", {billed / estimated * 100:.0f} % of it" if estimated else ""
    return (
        f"{runs_in_words(len(compared))}: DBU estimated {usd(estimated)}, billed {usd(billed)}{share}. "
        f"Machines, {usd(machines)} by estimate, are on the cloud's own bill."
    )
