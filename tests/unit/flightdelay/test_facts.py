"""Figures of a frame: shares with their intervals, medians and tenths, against those that are counted row by row."""

import narwhals as nw
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from flightdelay import facts

pytestmark = pytest.mark.slow  # reads the real year

LATE = {"late_after_min": 15}


def flights(*rows: tuple[str, int | None]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["carrier", "arr_delay_min"]).convert_dtypes(dtype_backend="pyarrow")


def test_delays_are_counted_without_the_flights_that_never_arrived():
    counts = facts.delay_counts(flights(("UA", 20), ("UA", -5), ("B6", 20), ("B6", None)))
    assert counts.to_dict("list") == {"arr_delay_min": [-5, 20], "rows": [1, 2]}
    assert facts.late_share(counts, **LATE) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("late_after_min", "share"), [(-6, 1), (-5, 1), (-4, 0.5), (14, 0.5), (15, 0.5), (16, 0)])
def test_late_is_so_many_minutes_or_more(late_after_min, share):
    counts = facts.delay_counts(flights(("UA", 15), ("UA", -5)))
    assert facts.late_share(counts, late_after_min=late_after_min) == share


def test_lateness_by_a_column_has_a_row_for_each_value_in_order():
    table = facts.lateness_by(
        flights(("UA", 20), ("UA", -5), ("UA", 30), ("B6", 0), ("B6", None), ("AA", None)), "carrier", **LATE
    )
    assert table[["value", "rows", "late_rate", "median_delay_min"]].to_dict("list") == {
        "value": ["B6", "UA"],
        "rows": [1, 3],
        "late_rate": [0, pytest.approx(2 / 3)],
        "median_delay_min": [0, 20],
    }


@pytest.mark.parametrize("column", ["carrier", "dep_hour_local"])
def test_lateness_of_the_real_year_is_that_of_its_rows(built, column):
    table = facts.lateness_by(built, column, **LATE).set_index("value")
    arrived = built.dropna(subset=["arr_delay_min"]).astype({"arr_delay_min": int})
    groups = arrived.assign(late=arrived["arr_delay_min"] >= 15).groupby(column)
    assert table["rows"].to_dict() == groups.size().to_dict()
    assert table["late_rate"].to_dict() == pytest.approx(groups["late"].mean().to_dict())
    assert table["median_delay_min"].to_dict() == groups["arr_delay_min"].median().to_dict()
    assert (table["low"] < table["late_rate"]).all()
    assert (table["late_rate"] < table["high"]).all()


def test_the_least_and_the_most_late_are_among_the_frequent():
    rows = {"value": ["rare", "good", "bad"], "rows": [9, 500, 491], "late_rate": [0.9, 0.1, 0.3]}
    best, worst = facts.least_and_most_late(pd.DataFrame(rows))
    assert (best["value"], worst["value"]) == ("good", "bad")


@pytest.mark.parametrize(("hits", "rows"), [(0, 10), (3, 10), (10, 10), (250, 1_000)])
def test_the_interval_of_a_share_is_that_of_wilson(hits, rows):
    low, high = facts.wilson_interval(np.array([hits / rows]), np.array([rows]))
    expected = binomtest(hits, rows).proportion_ci(method="wilson")
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_tenths_have_rising_means_and_leave_out_what_is_missing(built):
    sample = built.iloc[::50]
    table = facts.late_by_tenth(sample, "origin_3h_delay_min", **LATE)
    assert len(table) == 10
    assert table["mean"].is_monotonic_increasing
    assert table["rows"].sum() == sample[["origin_3h_delay_min", "arr_delay_min"]].dropna().shape[0]
    assert table["late_rate"].iloc[-1] > 2 * table["late_rate"].iloc[0]


def test_halves_go_up_to_the_next_whole_number_on_either_side_of_zero():
    """0.5 and 1.4 are one value, 1.5 is another: rounded to even numbers 0.5 would fall to 0."""
    values = pd.DataFrame({"mean": [-0.5, 0.4, 0.5, 1.4, 1.5], "arr_delay_min": [20, 0, 20, 20, 0]})
    table = facts.late_by_tenth(values.convert_dtypes(dtype_backend="pyarrow"), "mean", **LATE)
    assert table["rows"].tolist() == [2, 2, 1]
    assert table["late_rate"].tolist() == [0.5, 1.0, 0.0]


def test_a_lazy_frame_gives_the_same(built):
    sample = built.iloc[::50]
    lazy = nw.from_native(sample).lazy().to_native()
    pd.testing.assert_frame_equal(
        facts.lateness_by(lazy, "carrier", **LATE), facts.lateness_by(sample, "carrier", **LATE)
    )
