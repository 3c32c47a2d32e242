"""`stagebook cost`: what runs cost, from the system tables."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from stagebook.cli.options import Flag, ProjectOptions, warn
from stagebook.cli.output import Format, print_rows

if TYPE_CHECKING:
    from stagebook.costs.trend import TrendPoint
    from stagebook.model.pipeline import Pipeline


def cost(
    *,
    by: str = "month,stage",
    everything: Annotated[bool, Parameter(name="--all", negative=(), show_default=False)] = False,
    sql: str | None = None,
    trend: Flag = False,
    since: str | None = None,
    plot: Path | None = None,
    reconcile: Flag = False,
    actual: Path | None = None,
    output: Format = "table",
    options: ProjectOptions = ProjectOptions(),
) -> int:
    """Show what runs cost, estimated, from the system tables; runs that are missing there are written first.

    Parameters
    ----------
    by:
        What to group by, comma-separated: pipeline, run, stage, profile, spent_on, month, day, or tag.NAME.
    everything:
        All pipelines of this warehouse, not only the one of the parameter file.
    sql:
        A query of your own on system.billing.usage, system.billing.list_prices, system.lakeflow.jobs, …
    trend:
        Run by run instead: seconds, dollars, what changed; and runs before the last change against those since.
    since:
        A commit, a run id or a date to compare at, instead of the last change of code, engine or profile.
    plot:
        File for a chart of the trend (SVG).
    reconcile:
        Job run by job run instead: the estimate, and what Databricks billed, from the workspace's system tables.
    actual:
        Folder of Delta tables to use as the workspace's, instead of asking Spark (implies --reconcile).
    output:
        How to print the answer.
    """
    pipeline = options.load()
    if reconcile or actual is not None:
        from stagebook.cli.cost_reconcile import print_reconciliation

        print_reconciliation(pipeline, actual, output)
    elif trend or since or plot:
        _print_trend(pipeline, since, plot, output)
    else:
        _print_costs(pipeline, sql or _sql(by, None if everything else pipeline.name), output)
    return 0


def _sql(by: str, pipeline: str | None) -> str:
    from stagebook.system_tables.queries import cost_by

    return cost_by([name for name in by.split(",") if name], pipeline)


def _print_costs(pipeline: "Pipeline", sql: str, output: Format) -> None:
    from datetime import UTC, datetime

    from stagebook.system_tables.queries import run_query
    from stagebook.system_tables.write import write_missing_runs

    today = datetime.now(UTC).date()
    write_missing_runs(pipeline.paths.runs, pipeline.paths.tables, today, lambda damage: warn(str(damage)))
    rows = run_query(sql, pipeline.paths.tables)
    print_rows(rows.column_names, rows.to_pylist(), output)


def _print_trend(pipeline: "Pipeline", since: str | None, plot: Path | None, output: Format) -> None:
    from dataclasses import asdict

    from stagebook.atomic import write_text
    from stagebook.costs.trend import compare, index_since, trend_points
    from stagebook.errors import ConfigError
    from stagebook.runs.folders import PipelineHistory

    points = trend_points(reversed(list(PipelineHistory(pipeline.paths.runs, pipeline.name))))
    if not points:
        raise ConfigError(f"no run of pipeline '{pipeline.name}' has succeeded yet in {pipeline.paths.runs}.")
    index = index_since(points, since)
    if plot is not None:
        from stagebook.report.trend_chart import trend_svg

        write_text(plot, trend_svg(points, f"{pipeline.name}: cost and time of {len(points)} runs"))
    if output == "table":
        rows = [_row(point) for point in points]
    else:
        rows = [asdict(point) | {"changes": ", ".join(point.changes), "commit": point.commit[:10]} for point in points]
    print_rows(list(rows[0]), rows, output)
    if index is not None:
        print(compare(points, index).to_text(), file=sys.stdout if output == "table" else sys.stderr)


def _row(point: "TrendPoint") -> dict[str, str]:
    """A run as a row that fits into a terminal of 80 columns."""
    return {
        "run": point.run_id,
        "commit": point.commit[:7],
        "s": f"{point.seconds:.1f}",
        "USD": f"{point.usd:.4f}",
        "saved": f"{point.saved_usd:.4f}",
        "reused": f"{point.reused}/{point.stages}",
        "changes": ", ".join(point.changes),
    }
