"""The comparison of a batch's configurations: as text, CSV, JSON and a page. All show the same rows."""

import csv
import io
import json
from typing import Any

from stagebook.cost import bill
from stagebook.model.batch import Comparison, Row
from stagebook.report import words
from stagebook.report.page import environment


def columns(found: Comparison) -> list[dict[str, Any]]:
    """A mapping of column to plain value for each configuration, best first where that can be said."""
    metric = found.batch.goal.metric if found.batch.goal else None
    told = []
    for row in ranked(found):
        figure = {} if metric is None else {metric: row.value}
        told.append(
            {"n": row.n}
            | {name: row.settings.get(name) for name in found.varied}
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
    return told


def ranked(found: Comparison) -> list[Row]:
    """The rows, best figure first; those without one come last, in their order."""
    goal = found.batch.goal

    def place(row: Row) -> tuple[bool, bool, float, int]:
        value = row.value or 0.0
        return row.n != found.best, row.value is None, -value if goal and goal.higher_is_better else value, row.n

    return sorted(found.rows, key=place)


def headline(found: Comparison) -> str:
    """Which configuration is best, in one sentence."""
    goal, winner = found.batch.goal, found.winner
    if goal is None:
        return "No metric to compare by: neither the gate nor the sweep names one."
    if winner is None:
        return f"No configuration came as far as {goal.metric}."
    refused = "" if winner.status == "succeeded" else "; the gate let none pass"
    setting = ", ".join(f"{name}={json.dumps(winner.settings.get(name), ensure_ascii=False)}" for name in found.varied)
    return f"Best by {goal.metric}: configuration {winner.n} with {words.number(winner.value)} ({setting}){refused}."


def savings(found: Comparison) -> str:
    """What all of it took, and what reuse has saved."""
    took = f"{len(found.rows)} configurations took {words.duration(found.seconds)} and about {words.usd(found.usd)}"
    spared = sum(len(row.reused) for row in found.rows)
    if not spared:
        return f"{took}; no result was reused."
    saved = f"{words.duration(found.saved_seconds)} and about {words.usd(found.saved_usd)}"
    return f"{took}; reuse spared {spared} stages, {saved}."


def to_text(found: Comparison) -> str:
    """The table in columns, and below it what is best and what was saved."""
    rows = columns(found)
    cells = [list(rows[0]), *([_cell(name, value) for name, value in row.items()] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(cells[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    reasons = [f"configuration {row.n}: {words.first_line(row.why)}" for row in found.rows if row.why]
    return "\n".join([*lines, "", *reasons, headline(found), savings(found)])


def _cell(name: str, value: Any) -> str:
    if value is None:
        return words.NONE
    if name in ("usd", "saved_usd"):
        return words.usd(value).removesuffix(" USD")
    return words.number(value) if words.is_number(value) else str(value).replace("_", " ")


def to_csv(found: Comparison) -> str:
    """One line a configuration; lists and mappings are JSON."""
    rows = columns(found)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: json.dumps(v) if isinstance(v, dict | list) else v for name, v in row.items()} for row in rows
    )
    return stream.getvalue()


def to_json(found: Comparison) -> dict[str, Any]:
    """The whole comparison as plain values."""
    goal = found.batch.goal
    return {
        "batch": found.batch.id,
        "sweep": found.batch.sweep,
        "started_at": found.batch.started_at,
        "metric": goal.metric if goal else None,
        "higher_is_better": goal.higher_is_better if goal else None,
        "best": found.best,
        "seconds": round(found.seconds, 3),
        "usd": bill.amount(found.usd),
        "saved_seconds": round(found.saved_seconds, 3),
        "saved_usd": bill.amount(found.saved_usd),
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
                "why": row.why,
            }
            for row in found.rows
        ],
    }


def to_html(found: Comparison, command: str | None) -> str:
    """A page without script or network; configurations link to their runs' reports, which lie beside its folder.

    Args: command: what runs the best configuration in full.
    """
    page = environment().get_template("comparison.html.j2")
    return page.render(
        found=found,
        rows=ranked(found),
        headline=headline(found),
        savings=savings(found),
        command=command,
        href=lambda row: words.href(f"../{row.run_id}/report.html"),
    )
