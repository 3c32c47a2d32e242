"""`stagebook cost`: what runs cost, from the system tables."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from stagebook.cli.output import print_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from stagebook.cost.trend import Point
    from stagebook.model.pipeline import Pipeline

Files = Annotated[tuple[str, ...], Parameter(negative=())]


def cost(
    *,
    by: str = "month,stage",
    everything: Annotated[bool, Parameter(name="--all", negative=())] = False,
    sql: str | None = None,
    trend: Annotated[bool, Parameter(negative=())] = False,
    since: str | None = None,
    plot: Path | None = None,
    reconcile: Annotated[bool, Parameter(negative=())] = False,
    actual: Path | None = None,
    output: Annotated[Literal["table", "csv", "json"], Parameter(name="--format")] = "table",
    params: Files = (),
    runs_dir: Path | None = None,
    warehouse: Path | None = None,
) -> int:
    """Show what runs cost, estimated, from the system tables; runs that are not in them yet are entered first.

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
        Folder of Delta tables to take for the workspace's, instead of asking Spark (implies --reconcile).
    output:
        How to print the answer.
    params:
        Parameter file that says where runs and tables are (default: dev.yaml).
    runs_dir:
        Folder of the run records.
    warehouse:
        Folder of tables, files and tracking data.
    """
    from datetime import UTC, datetime

    from stagebook.cli.places import pipeline
    from stagebook.ledger.post import catch_up
    from stagebook.ledger.questions import ask, cost_by

    found = pipeline(params, warehouse, runs_dir)
    if reconcile or actual is not None:
        from stagebook.cli.reconciling import show

        return show(found, actual, output)
    if trend or since or plot:
        return _trend(found, since, plot, output)
    names = [name for name in by.split(",") if name]
    text = sql or cost_by(names, None if everything else found.name)
    catch_up(found.places.runs, found.places.tables, datetime.now(UTC).date())
    _print(ask(text, found.places.tables), output)
    return 0


def _trend(found: "Pipeline", since: str | None, plot: Path | None, output: str) -> int:
    from dataclasses import asdict

    from stagebook.cost.trend import compare, place_of, points
    from stagebook.errors import ConfigError
    from stagebook.storage.atomic import write_text
    from stagebook.storage.runs import History

    told = points(reversed(list(History(found.places.runs, found.name))))
    if not told:
        raise ConfigError(f"no run of pipeline '{found.name}' has succeeded yet in {found.places.runs}.")
    place = place_of(told, since)
    if plot is not None:
        from stagebook.report.trend import svg

        write_text(plot, svg(told, f"{found.name}: cost and time of {len(told)} runs"))
    if output == "table":
        rows = [_row(point) for point in told]
    else:
        rows = [asdict(point) | {"changes": ", ".join(point.changes), "commit": point.commit[:10]} for point in told]
    print_rows(list(rows[0]), rows, output)
    if place is not None:
        print(compare(told, place).to_text(), file=sys.stdout if output == "table" else sys.stderr)
    return 0


def _row(point: "Point") -> dict[str, str]:
    """A run in what a terminal of 80 columns has room for."""
    return {
        "run": point.run_id,
        "commit": point.commit[:7],
        "s": f"{point.seconds:.1f}",
        "USD": f"{point.usd:.4f}",
        "saved": f"{point.saved_usd:.4f}",
        "reused": f"{point.reused}/{point.stages}",
        "changes": ", ".join(point.changes),
    }


def _print(answer: "pa.Table", output: str) -> None:
    print_rows(answer.column_names, answer.to_pylist(), output)
