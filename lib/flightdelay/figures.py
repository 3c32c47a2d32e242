"""Figures of the notebooks: each function returns one Figure, its axes with units, and leaves nothing open."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import narwhals as nw
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from narwhals.typing import IntoFrame

from flightdelay.frames import of_any_engine, to_pandas


def durations(flights: IntoFrame) -> Figure:
    """How long flights are scheduled to take, against how far they go."""
    pairs = of_any_engine(flights).select("distance_mi", "sched_duration_min").unique()
    frame = to_pandas(pairs.to_native())
    figure, axes = _axes("Scheduled duration by distance", "distance (mi)", "scheduled duration (min)")
    axes.scatter(frame["distance_mi"].astype(float), frame["sched_duration_min"].astype(float), s=4, alpha=0.4)
    return figure


def late_rate_by(features: IntoFrame, column: str, *, unit: str, late_after_min: int) -> Figure:
    """The late rate of flights that arrived, by tenths of a numeric column."""
    table = late_by_tenth(features, column, late_after_min=late_after_min)
    figure, axes = _axes(f"Late rate by {column}", f"mean {column} of a tenth ({unit})", "late flights (share)")
    axes.plot(table["mean"], table["late_rate"], marker="o")
    axes.set_ylim(0, None)
    return figure


def late_by_tenth(features: IntoFrame, column: str, *, late_after_min: int) -> pd.DataFrame:
    """For tenths of `column`: `rows`, its `mean`, and the `late_rate` of the flights that arrived.

    Values are taken to whole numbers and counted where the rows are; equal ones stay in one tenth, so
    tenths differ a little in size. Rows without a value or without an arrival are left out.
    """
    value, delay = nw.col(column), nw.col("arr_delay_min")
    counted = (
        of_any_engine(features)
        .filter(~value.is_null(), ~delay.is_null())
        # Halves go up: `round` takes them to the even number on pandas, and away from zero on Spark and polars.
        .select(value=(value + 0.5).floor(), exact=value, late=(delay >= late_after_min).cast(nw.Int64()))
        .group_by("value")
        .agg(nw.len().alias("rows"), nw.col("exact", "late").sum())
    )
    table = to_pandas(counted.to_native()).astype(float).sort_values("value", ignore_index=True)
    middle = (table["rows"].cumsum() - table["rows"] / 2) / table["rows"].sum()
    tenths = table.groupby((middle * 10).astype(int))[["rows", "exact", "late"]].sum()
    return pd.DataFrame(
        {
            "rows": tenths["rows"].astype(int),
            "mean": tenths["exact"] / tenths["rows"],
            "late_rate": tenths["late"] / tenths["rows"],
        }
    ).reset_index(drop=True)


def split_by_month(parts: Mapping[str, IntoFrame]) -> Figure:
    """Flights and late rate by month, coloured by the part of the split."""
    figure, axes = _axes("The split by time", "month of departure", "flights")
    rates = axes.twinx()
    for number, (name, part) in enumerate(parts.items()):
        frame, colour = to_pandas(part), f"C{number}"
        by_month = frame["late"].astype(float).groupby(frame["month"].astype(int)).agg(["size", "mean"])
        axes.bar(by_month.index, by_month["size"], color=colour, alpha=0.5, label=name)
        rates.plot(by_month.index, by_month["mean"], color=colour, marker="o")
    axes.legend(loc="lower left")
    rates.set_ylabel("late flights (share)")
    rates.set_ylim(0, None)
    return figure


def calibration(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Calibration curves (`evaluate.calibration_curve`) with the 95 % interval of the late rate."""
    figure, axes = _axes("Calibration on the hold-out", "mean score (probability)", "late flights (share)")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
    for name, curve in curves.items():
        spread = [curve["late_rate"] - curve["low"], curve["high"] - curve["late_rate"]]
        axes.errorbar(curve["mean_score"], curve["late_rate"], yerr=spread, marker="o", markersize=3, label=name)
    axes.legend()
    return figure


def slices(by_name: Mapping[str, Sequence[Mapping[str, Any]]], column: str) -> Figure:
    """The ROC AUC of each value of a column, per model, with its 95 % interval (`evaluate.slice_metrics`)."""
    figure, axes = _axes(f"ROC AUC by {column}", column, "ROC AUC (0.5 is chance)")
    for step, (name, rows) in enumerate(by_name.items()):
        drawn = [row for row in rows if row["column"] == column and row["roc_auc"] is not None]
        values = list(dict.fromkeys(row["value"] for row in rows if row["column"] == column))
        spread = [
            [row["roc_auc"] - row["low"] for row in drawn],
            [row["high"] - row["roc_auc"] for row in drawn],
        ]
        places = [values.index(row["value"]) + 0.15 * step for row in drawn]
        axes.errorbar(places, [row["roc_auc"] for row in drawn], yerr=spread, fmt="o", markersize=4, label=name)
        axes.set_xticks(range(len(values)), values)
    axes.axhline(0.5, color="grey", linewidth=1, linestyle="--")
    axes.legend()
    return figure


def thresholds(table: IntoFrame) -> Figure:
    """Precision, recall and flagged share by threshold (the table `thresholds`)."""
    frame = to_pandas(table)
    figure, axes = _axes("What a threshold brings", "threshold on the score (probability)", "share")
    for name in ("precision", "recall", "flagged_share"):
        axes.plot(frame["threshold"].astype(float), frame[name].astype(float), marker=".", label=name)
    axes.legend()
    return figure


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """A figure that the notebook shows because it is returned, not because it is open."""
    figure, axes = plt.subplots(figsize=(7, 3.5))
    plt.close(figure)
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes
