"""Figures of a frame of any engine, for what a notebook claims: counted where the rows are, put together here."""

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from narwhals.typing import IntoFrame
from numpy.typing import NDArray

from flightdelay.frames import of_any_engine, to_pandas

Z95 = 1.959963984540054
"""95 % of a normal distribution lie within so many standard deviations of its mean."""

_LEAST_SHARE = 0.01


def nulls(frame: IntoFrame, column: str) -> int:
    """How many rows have no value in a column."""
    return _single(frame, nw.col(column).is_null().cast(nw.Int64()).sum())


def largest(frame: IntoFrame, column: str) -> Any:
    """The largest value of a column; None where all are null or there is no row."""
    return _single(frame, nw.col(column).max())


def repeated(frame: IntoFrame, key: Sequence[str]) -> int:
    """How many keys stand in more than one row."""
    sizes = of_any_engine(frame).group_by(*key).agg(nw.len().alias("rows"))
    return _single(sizes.to_native(), (nw.col("rows") > 1).cast(nw.Int64()).sum())


def delay_counts(flights: IntoFrame) -> pd.DataFrame:
    """How many of the flights that arrived had which delay: `arr_delay_min` (ascending) and `rows`."""
    return _counted(flights)


def late_share(counts: pd.DataFrame, *, late_after_min: int) -> float:
    """The share (0..1) of late flights in counts of delays (`delay_counts`)."""
    return float(counts.loc[counts["arr_delay_min"] >= late_after_min, "rows"].sum() / counts["rows"].sum())


def lateness_by(flights: IntoFrame, column: str, *, late_after_min: int) -> pd.DataFrame:
    """How late the flights that arrived were, for each value of a column, in its order.

    Returns:
        `value`, `rows`, `late_rate` (0..1) with its 95 % interval `low`..`high`, and `median_delay_min`.
    """
    counts = _counted(flights, column)
    late = counts["rows"].where(counts["arr_delay_min"] >= late_after_min, 0)
    groups = counts.assign(late=late).groupby(column, sort=True)
    rows, late_rows = (groups[name].sum().to_numpy(dtype=float) for name in ("rows", "late"))
    low, high = wilson_interval(late_rows / rows, rows)
    return pd.DataFrame(
        {
            "value": list(groups.size().index),
            "rows": rows.astype(int),
            "late_rate": late_rows / rows,
            "low": low,
            "high": high,
            "median_delay_min": [
                _median(group["arr_delay_min"].to_numpy(), group["rows"].to_numpy()) for _, group in groups
            ],
        }
    )


def least_and_most_late(table: pd.DataFrame) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The rows of `lateness_by` with the lowest and with the highest late rate.

    Values with less than a hundredth of the flights do not count: by chance alone they would be the extremes.
    """
    least_rows = _LEAST_SHARE * table["rows"].sum()
    rows = table.sort_values("late_rate").to_dict("records")
    frequent = [row for row in rows if row["rows"] >= least_rows]
    return frequent[0], frequent[-1]


def late_by_tenth(features: IntoFrame, column: str, *, late_after_min: int) -> pd.DataFrame:
    """For tenths of a numeric column: `rows`, its `mean`, and the `late_rate` of the flights that arrived.

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


def wilson_interval(rate: NDArray[np.float64], rows: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 95 % interval of shares (0..1) that were counted in so many rows each.

    Source: Wilson 1927, the score interval.
    """
    n = rows.astype(float)
    centre = (rate + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 * np.sqrt(rate * (1 - rate) / n + Z95**2 / (4 * n**2)) / (1 + Z95**2 / n)
    return centre - half, centre + half


def _counted(flights: IntoFrame, *columns: str) -> pd.DataFrame:
    """The flights that arrived, counted by some columns and by their delay, in this order, as NumPy's types."""
    keys = [*columns, "arr_delay_min"]
    arrived = of_any_engine(flights).filter(~nw.col("arr_delay_min").is_null())
    counts = to_pandas(arrived.group_by(*keys).agg(nw.len().alias("rows")).to_native())
    plain = counts.astype({"arr_delay_min": int, "rows": int})
    return plain.sort_values(keys, ignore_index=True)


def _median(values: np.ndarray, counts: np.ndarray) -> float:
    """The median of ascending values that occur so often each."""
    ends = np.cumsum(counts)
    middle = [(ends[-1] - 1) // 2, ends[-1] // 2]
    return float(values[np.searchsorted(ends, middle, side="right")].mean())


def _single(frame: IntoFrame, figure: nw.Expr) -> Any:
    table = to_pandas(of_any_engine(frame).select(figure=figure).to_native())
    value = table["figure"].to_numpy(dtype=object, na_value=None)[0]
    return value.item() if hasattr(value, "item") else value
