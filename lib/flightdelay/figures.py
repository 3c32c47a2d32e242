"""Figures of the notebooks: each function returns one Figure, with units on its axes and the claim it shows as title.

A claim is the sentence that the notebook has checked. Colours are those of Okabe and Ito, which readers of any
colour vision tell apart; lines differ in their dashes too.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter
from narwhals.typing import IntoFrame

from flightdelay.frames import of_any_engine, to_pandas

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
_STYLES: tuple[dict[str, Any], ...] = (
    {"color": BLUE},
    {"color": ORANGE, "linestyle": "--"},
    {"color": GREEN, "linestyle": ":"},
)
_MARKERS = ("o", "s", "^")

_SLICE_LABELS = {"origin": "airport", "carrier": "airline", "dep_hour_local": "scheduled hour (local time)"}
_MINUTES_SHOWN = (-60, 180)
_BIN_MIN = 5
_SCORE_BINS = 40


def durations(flights: IntoFrame, *, max_duration_min: int, claim: str) -> Figure:
    """How long flights are scheduled to take, against how far they go, and the longest time that is believed."""
    pairs = of_any_engine(flights).select("distance_mi", "sched_duration_min").unique()
    frame = to_pandas(pairs.to_native())
    figure, axes = _figure(claim)
    axes.scatter(
        frame["distance_mi"].astype(float), frame["sched_duration_min"].astype(float), s=5, alpha=0.3, color=BLUE,
        linewidths=0,
    )  # fmt: skip
    axes.axhline(max_duration_min, color=GREY, linewidth=1, linestyle="--")
    axes.annotate(
        f"longest believed: {max_duration_min} min", (0, max_duration_min), xytext=(4, -4),
        textcoords="offset points", va="top", color=GREY,
    )  # fmt: skip
    axes.set(xlabel="distance (mi)", ylabel="scheduled duration (min)", xlim=(0, None), ylim=(0, None))
    return figure


def delays(counts: pd.DataFrame, *, late_after_min: int, claim: str) -> Figure:
    """How many flights arrived with which delay (`facts.delay_counts`), late ones in another colour."""
    first, last = _MINUTES_SHOWN
    edges = np.arange(first, last + _BIN_MIN, _BIN_MIN)
    delays_min = counts["arr_delay_min"].clip(first, last - 1)
    late = counts["arr_delay_min"] >= late_after_min
    shares = counts["rows"] / counts["rows"].sum()
    groups = {"punctual": ~late, "late": late}
    figure, axes = _figure(claim)
    axes.hist(
        [delays_min[group] for group in groups.values()],
        weights=[shares[group] for group in groups.values()],
        bins=edges,  # pyright: ignore[reportArgumentType]
        stacked=True,
        color=[BLUE, ORANGE],
        label=[f"{name}: {shares[group].sum():.0%}" for name, group in groups.items()],
    )
    axes.axvline(late_after_min, color=GREY, linewidth=1, linestyle="--")
    axes.set(
        xlabel=f"delay at arrival (min; negative is early; the last bar holds {last - _BIN_MIN} min and more)",
        ylabel=f"flights (% per {_BIN_MIN} min)",
        xlim=_MINUTES_SHOWN,
    )
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=None))
    axes.legend(frameon=False)
    return figure


def lateness_by_hour(table: pd.DataFrame, *, claim: str) -> Figure:
    """Late rate and median delay by scheduled hour (`facts.lateness_by`), with the 95 % interval of the rate."""
    figure, (rates, medians) = _panels(claim, rows=2, height=4.6, sharex=True)
    hours = table["value"].astype(int)
    rates.errorbar(
        hours, table["late_rate"], yerr=_spread(table, "late_rate"), fmt="o-", color=BLUE, markersize=4,
        label="with 95% interval",
    )  # fmt: skip
    rates.legend(frameon=False, loc="upper left")
    medians.plot(hours, table["median_delay_min"], "s-", color=ORANGE, markersize=4)
    medians.axhline(0, color=GREY, linewidth=1, linestyle="--")
    _percent(rates, "late flights (%)")
    rates.set_ylim(0, None)
    medians.set(xlabel="scheduled hour of departure (local time)", ylabel="median delay (min)", xticks=hours)
    medians.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def lateness_by_carrier(table: pd.DataFrame, names: Mapping[str, str], *, claim: str) -> Figure:
    """Late rate and median delay of each airline (`facts.lateness_by`), the most punctual on top.

    Args:
        names: code → name; an airline without a name is shown by its code.
    """
    ordered = table.sort_values("late_rate", ascending=False, ignore_index=True)
    figure, (rates, medians) = _panels(claim, columns=2, height=1.4 + 0.25 * len(ordered), sharey=True)
    rates.errorbar(
        ordered["late_rate"], ordered.index, xerr=_spread(ordered, "late_rate"), fmt="o", color=BLUE, markersize=4
    )
    medians.plot(ordered["median_delay_min"], ordered.index, "s", color=ORANGE, markersize=4)
    medians.axvline(0, color=GREY, linewidth=1, linestyle="--")
    labels = [
        f"{names.get(carrier, carrier)} ({flights:,})"
        for carrier, flights in zip(ordered["value"], ordered["rows"], strict=True)
    ]
    rates.set_yticks(ordered.index, labels)
    rates.set(xlabel="late flights (%), 95% interval", ylabel="airline (flights that arrived)", xlim=(0, None))
    rates.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=None))
    medians.set(xlabel="median delay at arrival (min)")
    for axes in (rates, medians):
        axes.grid(axis="y", linewidth=0.5, alpha=0.4)
    return figure


def late_rate_by_tenth(table: pd.DataFrame, *, xlabel: str, claim: str) -> Figure:
    """The late rate of each tenth of a numeric column (`facts.late_by_tenth`)."""
    figure, axes = _figure(claim)
    axes.plot(table["mean"], table["late_rate"], "o-", color=BLUE)
    _percent(axes, "late flights (%)")
    axes.set(xlabel=f"{xlabel}; a dot is a tenth of the flights", ylim=(0, None))
    return figure


def split_by_month(parts: Mapping[str, IntoFrame], *, claim: str) -> Figure:
    """Flights and late rate by month, coloured by the part of the split."""
    figure, (flights, rates) = _panels(claim, rows=2, height=4.6, sharex=True)
    for (name, part), style, marker in zip(parts.items(), _STYLES, _MARKERS, strict=False):
        frame, colour = to_pandas(part), style["color"]
        by_month = frame["late"].astype(float).groupby(frame["month"].astype(int)).agg(["size", "mean"])
        flights.bar(by_month.index, by_month["size"], color=colour, label=name)
        rates.plot(by_month.index, by_month["mean"], marker=marker, color=colour, linestyle="-")
    flights.set(ylabel="flights that arrived")
    flights.yaxis.set_major_formatter("{x:,.0f}")
    flights.legend(frameon=False, ncols=len(parts), loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.1)
    _percent(rates, "late flights (%)")
    rates.set(xlabel="month of departure (1 is January)", ylim=(0, None))
    rates.xaxis.set_major_locator(MultipleLocator(1))
    return figure


def importance(table: pd.DataFrame, *, claim: str, features: int = 12) -> Figure:
    """What the ROC AUC loses without each of the most important features (`evaluate.feature_importance`)."""
    top = table.head(features).iloc[::-1].reset_index(drop=True)
    figure, axes = _figure(claim, height=1.2 + 0.25 * len(top))
    axes.barh(top.index, top["cost"], xerr=_spread(top, "cost"), color=BLUE, ecolor=GREY, capsize=2)
    axes.set_yticks(top.index, list(top["feature"]))
    axes.set(xlabel="loss of ROC AUC (0 to 1) when the feature is shuffled; lines span the repeats")
    return figure


def ranking(
    curves: Mapping[str, pd.DataFrame], metrics: Mapping[str, Mapping[str, float]], late_share: float, *, claim: str
) -> Figure:
    """ROC and precision-recall curves of each model (`evaluate.ranking_curve`), with their ROC AUC and precision.

    Args:
        late_share: the precision of flags that are set by chance.
    """
    figure, (roc, precision) = _panels(claim, columns=2, height=4.2)
    roc.plot([0, 1], [0, 1], color=GREY, linewidth=1, label="chance (area 0.500)")
    precision.axhline(late_share, color=GREY, linewidth=1, label=f"chance ({late_share:.3f})")
    for (name, curve), style in zip(curves.items(), _STYLES, strict=False):
        area, mean = metrics[name]["roc_auc"], metrics[name]["average_precision"]
        roc.plot([0, *curve["false_positive_rate"]], [0, *curve["recall"]], label=f"{name} (area {area:.3f})", **style)
        precision.plot(curve["recall"], curve["precision"], label=f"{name} (mean {mean:.3f})", **style)
    roc.set(title="ROC curve", xlabel="false positive rate: punctual flights flagged (share)")
    roc.set_ylabel("recall: late flights flagged (share)")
    precision.set(title="Precision-recall curve", xlabel="recall: late flights flagged (share)")
    precision.set_ylabel("precision: flagged flights that are late (share)")
    for axes in (roc, precision):
        axes.set(xlim=(0, 1), ylim=(0, 1.01))
    roc.legend(frameon=False, loc="lower right", fontsize=9)
    precision.legend(frameon=False, loc="upper right", fontsize=9)
    return figure


def calibration(curves: Mapping[str, pd.DataFrame], scores: Mapping[str, Any], *, claim: str) -> Figure:
    """Calibration curves (`evaluate.calibration_curve`) with 95 % intervals, and how many flights have which score."""
    figure, (rates, counts) = _panels(claim, rows=2, height=5.2, sharex=True, height_ratios=(3, 1))
    rates.plot([0, 1], [0, 1], color=GREY, linewidth=1, label="score = late rate")
    for (name, curve), style, marker in zip(curves.items(), _STYLES, _MARKERS, strict=False):
        rates.errorbar(
            curve["mean_score"], curve["late_rate"], yerr=_spread(curve, "late_rate"), marker=marker, markersize=4,
            label=name, **style,
        )  # fmt: skip
        counts.hist(np.asarray(scores[name], dtype=float), bins=_SCORE_BINS, range=(0, 1), histtype="step", **style)
    _percent(rates, "late flights (%)")
    rates.legend(frameon=False, loc="upper left")
    counts.set(xlabel="score (probability of arriving late)", ylabel="flights", xlim=(0, 1))
    counts.yaxis.set_major_formatter("{x:,.0f}")
    return figure


def slices(by_model: Mapping[str, Sequence[Mapping[str, Any]]], columns: Sequence[str], *, claim: str) -> Figure:
    """The ROC AUC in each slice, per model, with its 95 % interval (`evaluate.slice_metrics`): one panel a column."""
    rows_of_all = [row for rows in by_model.values() for row in rows]
    values = {
        column: list(dict.fromkeys(row["value"] for row in rows_of_all if row["column"] == column))
        for column in columns
    }
    widths = [len(names) + 2 for names in values.values()]
    figure, panels = _panels(claim, columns=len(columns), height=3.8, width=11, sharey=True, width_ratios=widths)
    for column, axes in zip(columns, panels, strict=True):
        for step, (name, rows) in enumerate(by_model.items()):
            ranked = [row for row in rows if row["column"] == column and row["roc_auc"] is not None]
            drawn = pd.DataFrame(ranked, columns=pd.Index(["value", "roc_auc", "low", "high"]))
            places = [values[column].index(value) + 0.25 * (step - (len(by_model) - 1) / 2) for value in drawn["value"]]
            axes.errorbar(
                places, drawn["roc_auc"], yerr=_spread(drawn, "roc_auc"), fmt=_MARKERS[step], markersize=4, label=name,
                color=_STYLES[step]["color"],
            )  # fmt: skip
        axes.axhline(0.5, color=GREY, linewidth=1, linestyle="--")
        axes.set_xticks(range(len(values[column])), values[column])
        axes.set(xlabel=_SLICE_LABELS.get(column, column), xlim=(-0.6, len(values[column]) - 0.4))
    panels[0].set(ylabel="ROC AUC (0.5 is chance), 95% interval")
    panels[-1].legend(frameon=False, loc="lower left", ncols=len(by_model), fontsize=9)
    return figure


def thresholds(table: IntoFrame, *, claim: str) -> Figure:
    """Precision, recall and flagged share by threshold (the table `thresholds`)."""
    frame = to_pandas(table)
    figure, axes = _figure(claim)
    names = {
        "precision": "precision: late among the flagged",
        "recall": "recall: flagged among the late",
        "flagged_share": "flagged among all",
    }
    for (column, label), style, marker in zip(names.items(), _STYLES, _MARKERS, strict=True):
        axes.plot(
            frame["threshold"].astype(float),
            frame[column].astype(float),
            marker=marker,
            markersize=4,
            label=label,
            **style,
        )
    _percent(axes, "flights (%)")
    axes.set(xlabel="threshold: flights with this score or a higher one are flagged (probability)", xlim=(0, 1))
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False)
    return figure


def _spread(table: pd.DataFrame, middle: str) -> np.ndarray:
    """How far the interval `low`..`high` reaches below and above a column."""
    return np.array([table[middle] - table["low"], table["high"] - table[middle]], dtype=float)


def _percent(axes: Axes, label: str) -> None:
    axes.set_ylabel(label)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=None))


def _figure(claim: str, *, height: float = 3.6) -> tuple[Figure, Axes]:
    figure, axes = _panels(claim, height=height)
    return figure, axes[0]


def _panels(
    claim: str, *, rows: int = 1, columns: int = 1, height: float, width: float = 7.5, **layout: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with the claim as its title; the notebook shows it because it is returned, not because it is open."""
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), layout="constrained", squeeze=False, **layout)
    plt.close(figure)
    figure.suptitle(
        _wrapped(claim[:1].upper() + claim[1:], round(11 * width)), x=0.01, ha="left", fontsize=11, fontweight="bold"
    )
    for panel in axes.flat:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, list(axes.flat)


def _wrapped(text: str, characters: int) -> str:
    """A text in as few lines as possible, which are about equally long."""
    lines = textwrap.wrap(text, characters)
    while characters > 1 and len(shorter := textwrap.wrap(text, characters - 1)) == len(lines):
        lines, characters = shorter, characters - 1
    return "\n".join(lines)
