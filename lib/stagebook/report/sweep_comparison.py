"""The comparison of a sweep run's configurations as text, CSV, JSON and a page, all with the same rows."""

import csv
import io
import json
from typing import Any

from stagebook import formatting
from stagebook.costs import bill
from stagebook.model.sweep import Comparison, ComparisonRow
from stagebook.report.page_templates import template_environment


def to_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """For each configuration a mapping of column name to plain value, in the order of `ranked_rows`."""
    metric = comparison.sweep_run.objective.metric if comparison.sweep_run.objective else None
    rows: list[dict[str, Any]] = []
    for row in ranked_rows(comparison):
        figure = {} if metric is None else {metric: row.value}
        rows.append(
            {"n": row.n}
            | {name: row.settings.get(name) for name in comparison.varied}
            | figure
            | {
                "status": row.status,
                "seconds": row.seconds,
                "usd": bill.amount(row.usd),
                "saved_seconds": row.saved_seconds,
                "saved_usd": bill.amount(row.saved_usd),
                "reused": len(row.reused),
                "run": row.run_id,
            }
        )
    return rows


def ranked_rows(comparison: Comparison) -> list[ComparisonRow]:
    """The rows, best figure first; rows without a figure come last, in the order of their numbers."""
    objective = comparison.sweep_run.objective
    sign = -1 if objective and objective.higher_is_better else 1

    def rank(row: ComparisonRow) -> tuple[bool, bool, float, int]:
        return row.n != comparison.best, row.value is None, sign * (row.value or 0.0), row.n

    return sorted(comparison.rows, key=rank)


def headline(comparison: Comparison) -> str:
    """One sentence that names the best configuration, or says why there is none."""
    objective, winner = comparison.sweep_run.objective, comparison.winner
    if objective is None:
        return "No metric to compare by: neither the gate nor the sweep names one."
    if winner is None:
        return f"No configuration came as far as {objective.metric}."
    refused = "" if winner.status == "succeeded" else "; the gate let none pass"
    values = {name: json.dumps(winner.settings.get(name), ensure_ascii=False) for name in comparison.varied}
    settings = ", ".join(f"{name}={value}" for name, value in values.items())
    figure = formatting.number(winner.value)
    return f"Best by {objective.metric}: configuration {winner.n} with {figure} ({settings}){refused}."


def savings(comparison: Comparison) -> str:
    """One sentence on the time and cost of all configurations, and on what reuse saved."""
    seconds, usd = formatting.duration(comparison.seconds), formatting.usd(comparison.usd)
    spent = f"{len(comparison.rows)} configurations took {seconds} and about {usd}"
    reused = sum(len(row.reused) for row in comparison.rows)
    if not reused:
        return f"{spent}; no result was reused."
    saved = f"{formatting.duration(comparison.saved_seconds)} and about {formatting.usd(comparison.saved_usd)}"
    return f"{spent}; {reused} stages were reused, which saved {saved}."


def to_text(comparison: Comparison) -> str:
    """The table in columns, and below it the best configuration and the savings."""
    rows = to_rows(comparison)
    cells = [list(rows[0]), *([_cell(name, value) for name, value in row.items()] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    reasons = [f"configuration {row.n}: {formatting.first_line(row.reason)}" for row in comparison.rows if row.reason]
    return "\n".join([*lines, "", *reasons, headline(comparison), savings(comparison)])


def _cell(name: str, value: Any) -> str:
    if value is None:
        return formatting.MISSING
    if name in ("usd", "saved_usd"):
        return formatting.usd(value).removesuffix(" USD")
    return formatting.number(value) if formatting.is_number(value) else str(value).replace("_", " ")


def to_csv(comparison: Comparison) -> str:
    """One line for each configuration; lists and mappings are JSON."""
    rows = to_rows(comparison)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in row.items()}
        for row in rows
    )
    return stream.getvalue()


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The whole comparison as plain values."""
    objective = comparison.sweep_run.objective
    return {
        "id": comparison.sweep_run.id,
        "sweep": comparison.sweep_run.sweep,
        "started_at": comparison.sweep_run.started_at,
        "metric": objective.metric if objective else None,
        "higher_is_better": objective.higher_is_better if objective else None,
        "best": comparison.best,
        "seconds": round(comparison.seconds, 3),
        "usd": bill.amount(comparison.usd),
        "saved_seconds": round(comparison.saved_seconds, 3),
        "saved_usd": bill.amount(comparison.saved_usd),
        "configurations": [
            {
                "n": row.n,
                "run": row.run_id,
                "parameters": dict(row.settings),
                "status": row.status,
                "exit_code": row.exit_code,
                "value": row.value,
                "seconds": row.seconds,
                "usd": bill.amount(row.usd),
                "saved_seconds": row.saved_seconds,
                "saved_usd": bill.amount(row.saved_usd),
                "reused": list(row.reused),
                "why": row.reason,
            }
            for row in comparison.rows
        ],
    }


def to_html(comparison: Comparison, command: str | None) -> str:
    """A page without scripts and network. Configurations link to their runs' reports, in the folders beside its own.

    Args:
        command: the command that runs the best configuration in full.
    """
    template = template_environment().get_template("sweep_comparison.html.j2")
    return template.render(
        comparison=comparison,
        sweep_run=comparison.sweep_run,
        objective=comparison.sweep_run.objective,
        rows=ranked_rows(comparison),
        headline=headline(comparison),
        savings=savings(comparison),
        command=command,
        href=lambda row: formatting.href(f"../{row.run_id}/report.html"),
    )
