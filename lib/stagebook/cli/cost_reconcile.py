"""`stagebook cost --reconcile`: estimates against what Databricks billed."""

import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from stagebook.cli.output import Format, print_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from stagebook.model.pipeline import Pipeline
    from stagebook.system_tables.reconcile import ReconciledRun

TITLES = {
    "run_id": "run",
    "by": "from",
    "estimated_dbu_usd": "estimated",
    "actual_dbu_usd": "billed",
    "difference_usd": "difference",
    "difference_percent": "%",
}


def print_reconciliation(pipeline: "Pipeline", actual: Path | None, output: Format) -> None:
    """Print the estimate and the bill of each job run.

    Args:
        actual: folder of Delta tables to use as the workspace's; None: Spark reads those of the workspace.
    """
    from stagebook.runs.folders import PipelineHistory
    from stagebook.system_tables.reconcile import ReconciledRun, reconcile

    runs = reconcile(pipeline, PipelineHistory(pipeline.paths.runs, pipeline.name).of, _query_runner(pipeline, actual))
    rows = [asdict(run) for run in runs]
    names = [column.name for column in fields(ReconciledRun)]
    if output == "table":
        rows = [{title: row[name] for name, title in TITLES.items()} for row in rows]
        names = list(TITLES.values())
    print_rows(names, rows, output)
    print(_total(runs), file=sys.stdout if output == "table" else sys.stderr)


def _query_runner(pipeline: "Pipeline", actual: Path | None) -> "Callable[[str], pa.Table]":
    """The function that runs SQL on the tables in `actual`, or on those of the workspace."""
    from stagebook.errors import ConfigError

    if actual is not None:
        from stagebook.system_tables.queries import run_query

        tables = actual.parent if actual.name == "system" else actual
        return lambda sql: run_query(sql, tables)
    if pipeline.spark.needs_server:
        raise ConfigError(
            "--reconcile: the Spark of this machine sees no workspace.\n"
            "  Set `spark: {remote: databricks}` (on Databricks) or `sc://…`, or name a copy: --actual FOLDER, "
            "with the Delta tables billing/usage, billing/list_prices, lakeflow/jobs, lakeflow/job_run_timeline and "
            "lakeflow/job_task_run_timeline in FOLDER/system."
        )
    from stagebook.spark.session import query

    return lambda sql: query(pipeline.spark, sql)


def _total(runs: "list[ReconciledRun]") -> str:
    """All runs together, and how far the estimates were from the bill."""
    from stagebook.costs.prediction import runs_in_words
    from stagebook.formatting import usd

    if not runs:
        return "nothing was billed for the runs of this job yet"
    estimated = sum((run.estimated_dbu_usd for run in runs), Decimal(0))
    billed = sum((run.actual_dbu_usd for run in runs), Decimal(0))
    machines = sum((run.estimated_machines_usd for run in runs), Decimal(0))
    share = f", {billed / estimated * 100:.0f} % of it" if estimated else ""
    return (
        f"{runs_in_words(len(runs))}: DBU estimated {usd(estimated)}, billed {usd(billed)}{share}. "
        f"Machines, {usd(machines)} by estimate, are on the cloud's own bill."
    )
