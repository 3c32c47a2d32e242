from datetime import date

import pandas as pd
import pytest

from flightdelay import schema, split

SPANS = {"calibrate_from": "2013-10-01", "holdout_from": "2013-11-01", "late_after_min": 15}


@pytest.fixture
def flights(table):
    """`flights((day, delay), …)`: these, and one flight a month with a delay of 20 minutes."""

    def make(*further: tuple[date, int | None]) -> pd.DataFrame:
        plain = [(date(2013, month, 5), 20) for month in range(1, 13)]
        rows = [{"dep_date_local": day, "arr_delay_min": delay} for day, delay in (*plain, *further)]
        return table(schema.FEATURES, rows)

    return make


@pytest.mark.parametrize(
    ("day", "part"),
    [
        (date(2013, 9, 30), "train"),
        (date(2013, 10, 1), "calibrate"),
        (date(2013, 10, 31), "calibrate"),
        (date(2013, 11, 1), "holdout"),
        (date(2013, 12, 31), "holdout"),
    ],
)
def test_a_boundary_is_the_first_day_of_the_part_after_it(flights, day, part):
    parts = split.by_time(flights((day, 0)), **SPANS)
    is_in = {
        name: day in getattr(parts, name)["dep_date_local"].to_list() for name in ("train", "calibrate", "holdout")
    }
    assert is_in == {name: name == part for name in is_in}


@pytest.mark.parametrize(
    ("delay", "late_after_min", "late"),
    [(14, 15, False), (15, 15, True), (16, 15, True), (-20, 0, False), (0, 0, True), (30, 31, False)],
)
def test_late_is_so_many_minutes_or_more_behind_schedule(table, delay, late_after_min, late):
    frame = table(schema.FEATURES, [{"dep_date_local": date(2013, 1, 1), "arr_delay_min": delay}])
    assert split.with_label(frame, late_after_min=late_after_min)["late"].to_list() == [late]


def test_flights_without_arrival_are_dropped_and_counted(flights):
    parts = split.by_time(flights((date(2013, 1, 2), None), (date(2013, 12, 2), None)), **SPANS)
    assert parts.counts == {
        "train_rows": 9,
        "calibrate_rows": 1,
        "holdout_rows": 2,
        "dropped_without_arrival": 2,
    }
    assert not any(part["late"].isna().any() for part in (parts.train, parts.calibrate, parts.holdout))


def test_the_real_year_is_split_into_parts_that_follow_each_other(built):
    parts = split.by_time(built, **SPANS)
    assert parts.counts == {
        "train_rows": 244_737,
        "calibrate_rows": 28_618,
        "holdout_rows": 53_991,
        "dropped_without_arrival": 9_430,
    }
    assert sum(parts.counts.values()) == len(built)
    days = [
        (part["dep_date_local"].min(), part["dep_date_local"].max())
        for part in (parts.train, parts.calibrate, parts.holdout)
    ]
    assert days == [
        (date(2013, 1, 1), date(2013, 9, 30)),
        (date(2013, 10, 1), date(2013, 10, 31)),
        (date(2013, 11, 1), date(2013, 12, 31)),
    ]


def test_parts_do_not_depend_on_the_order_of_the_rows(built):
    sample = built.iloc[::200]
    expected = split.by_time(sample, **SPANS)
    actual = split.by_time(sample.sample(frac=1, random_state=13), **SPANS)
    for name in ("train", "calibrate", "holdout"):
        pd.testing.assert_frame_equal(
            getattr(actual, name).reset_index(drop=True), getattr(expected, name).reset_index(drop=True)
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"holdout_from": "2013-10-01"}, r"calibrate_from \(2013-10-01\) must come before holdout_from \(2013-10-01\)"),
        ({"holdout_from": "November"}, r"holdout_from is not a date of the form yyyy-mm-dd: 'November'"),
        ({"calibrate_from": "2013-01-01"}, r"no flight that arrived is in 'train'"),
        ({"holdout_from": "2014-01-01"}, r"no flight that arrived is in 'holdout'"),
    ],
)
def test_boundaries_that_make_no_sense_are_refused_in_words(flights, change, message):
    with pytest.raises(ValueError, match=message):
        split.by_time(flights(), **{**SPANS, **change})
