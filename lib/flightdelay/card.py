"""The model card: what a user of the scores needs to know, as one page of markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from flightdelay import schema
from stagebook import TableSchema

_METRICS = {
    "roc_auc": "ROC AUC (larger is better; 0.5 is chance)",
    "average_precision": "average precision (larger is better)",
    "log_loss": "log loss (smaller is better)",
    "brier": "Brier score (smaller is better)",
    "calibration_error": "calibration error (smaller is better)",
}

CAVEATS = (
    "It has learned from 2013 alone, and from three airports: from each season once, and from no other year.",
    "Flights that never arrived (cancelled, diverted) are neither late nor punctual here: a score says "
    "nothing of the risk of a cancellation.",
    "The weather is what was observed in the scheduled hour, in place of a forecast; a real forecast is less exact.",
    "The tail number is the aircraft that flew; where aircraft are swapped late, its history is known later.",
    "Landings are known to the minute here; a feed that reports them an hour late costs some accuracy.",
)


def model_card(
    *,
    name: str,
    model_version: str,
    month: str,
    features: Sequence[str],
    metrics: Mapping[str, float],
    baseline: Mapping[str, float],
    slices: Sequence[Mapping[str, Any]],
    thresholds: pd.DataFrame,
    late_after_min: int,
    holdout: tuple[Any, Any, int],
) -> str:
    """The card of one model version.

    Args:
        month: the month that was scored. features: names in the order of the model.
        metrics: figures of the model; baseline: of the baseline; both on the same hold-out.
        slices: from `evaluate.slice_metrics`. thresholds: the table `thresholds`.
        holdout: first day, last day and number of the flights that the figures are measured on.
    """
    first, last, rows = holdout
    return "\n".join(
        [
            f"# {name}, version {model_version}",
            "",
            f"The probability that a flight from New York arrives {late_after_min} minutes or more behind schedule, "
            f"from what is known before its scheduled departure. Scored month: {month}.",
            "",
            f"## How good it is\n\nOn {rows:,} flights from {first} to {last} that the model has not seen:",
            "",
            *_table(
                ("metric", "model", "baseline: rate of carrier and hour"),
                [(text, f"{metrics[key]:.4f}", f"{baseline[key]:.4f}") for key, text in _METRICS.items()],
            ),
            "",
            "## Where it is better and worse",
            "",
            *_table(
                ("slice", "flights", "ROC AUC", "95 % interval"),
                [
                    (f"{row['column']} {row['value']}", f"{row['rows']:,}", *_interval(row))
                    for row in slices
                ],
            ),
            "",
            "## What a threshold brings",
            "",
            *_table(
                tuple(thresholds.columns[1:]),
                [tuple(_number(value) for value in row) for row in thresholds.iloc[:, 1:].to_numpy().tolist()],
            ),
            "",
            "## Limits",
            "",
            *(f"- {caveat}" for caveat in CAVEATS),
            "",
            "## Features",
            "",
            *_columns([column for column in schema.FEATURE_COLUMNS if column.name in set(features)]),
            "",
        ]
    )  # fmt: skip


def consumer_schema(table: TableSchema) -> str:
    """A table's columns, key and layout as markdown, for its readers."""
    return "\n".join(
        [
            f"# {table.name}",
            "",
            table.description,
            "",
            f"Key: {', '.join(f'`{name}`' for name in table.key)}. {table.layout.reason}",
            "",
            *_columns(table.columns),
            "",
        ]
    )


def _columns(columns: Sequence[Any]) -> list[str]:
    return _table(
        ("column", "type", "unit", "null", "meaning"),
        [
            (f"`{column.name}`", str(column.kind), column.unit or "", "yes" if column.nullable else "no",
             column.description)
            for column in columns
        ],
    )  # fmt: skip


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _interval(row: Mapping[str, Any]) -> tuple[str, str]:
    if row["roc_auc"] is None:
        return "one class only", ""
    return f"{row['roc_auc']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}"


def _number(value: Any) -> str:
    return "" if pd.isna(value) else f"{value:.2f}"
