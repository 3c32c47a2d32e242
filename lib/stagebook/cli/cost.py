"""`stagebook cost`: what runs cost, from the system tables."""

import csv
import json as jsonlib
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    import pyarrow as pa

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
    rows = [asdict(point) | {"changes": ", ".join(point.changes), "commit": point.commit[:10]} for point in told]
    _print_rows(list(rows[0]), rows, output)
    if place is not None:
        print(compare(told, place).to_text(), file=sys.stdout if output == "table" else sys.stderr)
    return 0


def _print(answer: "pa.Table", output: str) -> None:
    _print_rows(answer.column_names, answer.to_pylist(), output)


def _print_rows(names: list[str], values: list[dict[str, Any]], output: str) -> None:
    rows = [{name: _plain(value) for name, value in row.items()} for row in values]
    match output:
        case "json":
            print(jsonlib.dumps([_numbers(row) for row in rows], indent=2, ensure_ascii=False, default=str))
        case "csv":
            writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        case _:
            from rich.console import Console
            from rich.table import Table

            table = Table(*names, box=None)
            for row in rows:
                table.add_row(*("" if value is None else str(value) for value in row.values()))
            Console().print(table)


def _plain(value: Any) -> Any:
    """Money to a millionth, as the bill has it; everything else as it is."""
    from stagebook.cost.bill import MICRO

    return value.quantize(MICRO) if isinstance(value, Decimal) else value


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()}
