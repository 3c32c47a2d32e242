from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import narwhals as nw
import pandas as pd
import pytest

from flightdelay import features, history, schema

pytestmark = pytest.mark.slow  # reads the real year

NO_ROWS: list[dict] = []
KEY = list(schema.FEATURES.key)


@pytest.fixture
def build(table) -> Callable[..., pd.DataFrame]:
    def make(flights, weather=NO_ROWS, planes=NO_ROWS) -> pd.DataFrame:
        return features.build(
            table(schema.FLIGHTS, flights), table(schema.WEATHER, weather), table(schema.PLANES, planes)
        )

    return make


@pytest.mark.parametrize(("day", "expected"), [(3, 1), (5, 3), (8, 6), (9, 7), (10, 1)])
def test_the_week_starts_on_monday_with_one(build, flight, day, expected):
    row = flight(datetime(2013, 6, day, 12, tzinfo=UTC))
    assert build([row])["day_of_week"].tolist() == [expected]


def test_congestion_counts_all_departures_of_the_origin_in_the_hour_cancelled_ones_too(build, flight, noon):
    rows = [
        flight(noon, flight=1),
        flight(noon + timedelta(minutes=59), flight=2, carrier="B6"),
        flight(noon, flight=3, origin="JFK"),
        flight(noon + timedelta(minutes=60), flight=4),
    ]
    assert build(rows)["origin_hour_departures"].tolist() == [2, 2, 1, 1]


def test_weather_is_joined_on_the_instant_where_the_local_hour_repeats(build, flight):
    first, second = datetime(2013, 11, 3, 5, tzinfo=UTC), datetime(2013, 11, 3, 6, tzinfo=UTC)
    weather = [
        {"origin": "EWR", "time_hour": at, "hour_local": 1, "temp_f": degrees}
        for at, degrees in ((first, 50.0), (second, 40.0))
    ]
    built = build([flight(first, flight=1), flight(second, flight=2)], weather)
    assert built["temp_f"].tolist() == [50.0, 40.0]


def test_a_flight_without_weather_or_aircraft_stays_with_nulls(build, flight, noon):
    weather = [{"origin": "JFK", "time_hour": noon, "temp_f": 70.0}]
    planes = [{"tailnum": "N2", "built_year": 2000, "seats": 100, "engine_type": "Turbo-fan"}]
    built = build([flight(noon), flight(noon, flight=2, tailnum=None)], weather, planes)
    assert len(built) == 2
    assert built[["temp_f", "seats", "engine_type", "aircraft_age_years"]].isna().all(axis=None)


def test_the_age_of_an_aircraft_is_the_year_of_flight_less_the_year_built(build, flight, noon):
    planes = [
        {"tailnum": "N1", "built_year": 2000, "seats": 100, "engine_type": "Turbo-fan"},
        {"tailnum": "N2", "built_year": None, "seats": 50, "engine_type": "Turbo-jet"},
    ]
    built = build([flight(noon), flight(noon, flight=2, tailnum="N2")], planes=planes)
    assert built["aircraft_age_years"].tolist() == [13, pd.NA]
    assert built["seats"].tolist() == [100, 50]


@pytest.mark.parametrize("rows", [0, 1])
def test_few_or_no_flights_give_all_columns_and_types(table, flight, types, noon, rows):
    flights = table(schema.FLIGHTS, [flight(noon)] * rows)
    built = features.build(flights, table(schema.WEATHER, []), table(schema.PLANES, []))
    assert len(built) == rows
    types(built, schema.FEATURES)


def test_the_real_year_has_one_row_per_scheduled_flight(built, year):
    key = list(schema.FLIGHT_KEY)
    assert len(built) == 336_776
    assert built[key].merge(year["flights"][key], on=key, validate="one_to_one").shape[0] == 336_776
    assert built["arr_delay_min"].isna().sum() == 9_430
    assert built["temp_f"].isna().sum() == 1_573


def test_the_tables_are_not_changed(year):
    day, weather, planes = year["flights"].head(500), year["weather"], year["planes"]
    before = [frame.copy(deep=True) for frame in (day, weather, planes)]
    features.build(day, weather, planes)
    for frame, copy in zip((day, weather, planes), before, strict=True):
        pd.testing.assert_frame_equal(frame, copy)


def test_lazy_frames_give_the_same(year):
    day, weather, planes = year["flights"].head(500), year["weather"], year["planes"]
    lazy = features.build(*(nw.from_native(frame).lazy() for frame in (day, weather, planes)))
    pd.testing.assert_frame_equal(nw.to_native(lazy, pass_through=True), features.build(day, weather, planes))


# Some months: features are built by month, each from the flights of the month before as well.


def in_months(frame: pd.DataFrame, months: list[int], date: str) -> pd.DataFrame:
    return nw.from_native(frame).filter(features.yyyymm(date).is_in(months)).to_native()


@pytest.mark.parametrize(
    ("months", "month_before"),
    [
        pytest.param([201301], [], id="the first"),
        pytest.param([201303], [201302], id="one"),
        pytest.param([201302, 201303], [201301], id="two that follow each other"),
        pytest.param([201304, 201311], [201303, 201310], id="two apart"),
    ],
)
def test_some_months_are_built_as_they_are_in_the_year(year, built, months, month_before):
    flights = in_months(year["flights"], [*months, *month_before], "dep_date_local")
    weather = in_months(year["weather"], [*months, *month_before], "date_local")
    rows = features.build(flights, weather, year["planes"])
    actual, expected = (frame[frame["dep_month"].isin(months)] for frame in (rows, built))
    pd.testing.assert_frame_equal(
        actual.sort_values(KEY, ignore_index=True), expected.sort_values(KEY, ignore_index=True)
    )


def test_history_reaches_back_less_than_a_month():
    assert history.reach() == timedelta(days=11) < timedelta(days=28)
    assert history.reach([history.Window("", (), 24 * 24)]) == timedelta(days=28)
    assert features.SOURCES["flights"].look_back == 1


def test_the_columns_that_are_read_are_enough(year, built):
    read = [year[name].filter(items=source.columns) for name, source in features.SOURCES.items()]
    pd.testing.assert_frame_equal(features.build(*read), built)
    for name, source in features.SOURCES.items():
        assert set(source.columns) <= set(schema.TABLES[name].column_names)


def test_the_month_of_a_row_is_the_local_one(built):
    local = pd.to_datetime(built["dep_date_local"])
    assert built["dep_month"].equals((local.dt.year * 100 + local.dt.month).astype("int32[pyarrow]"))
    assert set(built["dep_month"]) == set(range(201301, 201313))


def test_a_flight_that_landed_before_it_was_to_leave_is_not_in_its_own_history(build, flight, noon):
    rows = [flight(noon, arr=noon - timedelta(minutes=5), delay=-125), flight(noon + timedelta(hours=1), flight=2)]
    assert build(rows)["carrier_24h_landed"].tolist() == [0, 0]


# The leak test: the future is moved, and no feature of the past may notice.

MOMENT = datetime(2013, 2, 8, 17, 0, tzinfo=UTC)  # noon in New York, the day before a blizzard


def everything_delayed(future: nw.Expr) -> dict[str, nw.Expr]:
    """Actual times and delays of flights in the future: six hours worse."""
    worse = {name: nw.col(name) + 360 for name in ("arr_delay_min", "dep_delay_min", "air_time_min")}
    later = {name: nw.col(name).dt.offset_by("6h") for name in ("arr_at", "dep_at")}
    return {name: nw.when(future).then(value).otherwise(nw.col(name)) for name, value in (worse | later).items()}


def everything_cancelled(future: nw.Expr) -> dict[str, nw.Expr]:
    """Flights in the future have no actual times at all."""
    actual = (
        "arr_delay_min",
        "dep_delay_min",
        "air_time_min",
        "arr_at",
        "dep_at",
        "dep_clock_local",
        "arr_clock_local",
    )
    return {name: nw.when(~future).then(nw.col(name)) for name in actual}


@pytest.fixture(scope="module")
def ten_days(year) -> pd.DataFrame:
    start, end = MOMENT - timedelta(days=8), MOMENT + timedelta(days=2)
    return nw.from_native(year["flights"]).filter(nw.col("time_hour") >= start, nw.col("time_hour") < end).to_native()


def known_at_moment(flights: pd.DataFrame, year: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The features, without the label, of flights scheduled up to the moment."""
    built = nw.from_native(features.build(flights, year["weather"], year["planes"]))
    return built.filter(nw.col("sched_dep_at") <= MOMENT).drop("arr_delay_min").to_native()


@pytest.mark.parametrize("change", [everything_delayed, everything_cancelled])
def test_moving_the_future_changes_no_feature_of_the_past(ten_days, year, change):
    future = (nw.col("arr_at") >= MOMENT) | nw.col("arr_at").is_null()
    moved = nw.from_native(ten_days).with_columns(**change(future)).to_native()
    changed = (
        moved["arr_at"].fillna(pd.Timestamp(0, tz="UTC")) != ten_days["arr_at"].fillna(pd.Timestamp(0, tz="UTC"))
    ).sum()
    assert changed > 500, "the future has been moved"
    expected = known_at_moment(ten_days, year)
    assert len(expected) > 5_000
    pd.testing.assert_frame_equal(known_at_moment(moved, year), expected)


def test_moving_the_past_does_change_features(ten_days, year):
    """The counterpart: were the features blind to arrivals, the leak test could not fail."""
    past = nw.col("arr_at") < MOMENT
    moved = nw.from_native(ten_days).with_columns(**everything_delayed(past)).to_native()
    before, after = known_at_moment(ten_days, year), known_at_moment(moved, year)
    for column in ("carrier_24h_delay_min", "origin_3h_delay_min", "route_7d_delay_min", "tail_24h_delay_min"):
        assert not after[column].equals(before[column]), column


def test_a_flight_is_not_part_of_its_own_features(ten_days, year):
    """Each flight's own outcome changed, one at a time for a few: its own row stays the same."""
    expected = known_at_moment(ten_days, year)
    for number in (0, 1_500, 3_000):
        row = nw.col("row") == number
        moved = (
            nw.from_native(ten_days)
            .with_row_index("row")
            .with_columns(**everything_delayed(row))
            .drop("row")
            .to_native()
        )
        key = ten_days.iloc[number][list(schema.FLIGHT_KEY)]
        actual = known_at_moment(moved, year)
        is_own = (actual[list(schema.FLIGHT_KEY)] == key).all(axis=1)
        assert is_own.sum() == 1
        pd.testing.assert_frame_equal(actual[is_own], expected[is_own])
