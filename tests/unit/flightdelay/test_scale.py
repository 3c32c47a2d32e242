from collections.abc import Callable, Iterator
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest

from flightdelay import prep, scale, schema, source

pytestmark = pytest.mark.slow  # generates large tables

NEW_YORK = ZoneInfo("America/New_York")
KEY = list(schema.FLIGHT_KEY)
DELAYS, CLOCKS = ["dep_delay", "arr_delay"], ["dep_time", "arr_time"]
A_COPY, TEN_YEARS = 336_000, 3_360_000


def frame(chunks: Iterator[pa.Table]) -> pd.DataFrame:
    return pa.concat_tables(chunks).to_pandas(types_mapper=pd.ArrowDtype)


def days(of: pd.DataFrame) -> pd.Series:
    """The local days, as timestamps without a zone."""
    return pd.to_datetime(of[["year", "month", "day"]].astype("int64"))


def local(instants: pd.Series) -> pd.Series:
    return instants.astype("datetime64[us, UTC]").dt.tz_convert(NEW_YORK)


def clock_min(clock: pd.Series) -> pd.Series:
    return clock // 100 * 60 + clock - clock // 100 * 100


@pytest.fixture(scope="module")
def scaled() -> pd.DataFrame:
    """Two years, and then the beginning of a second copy of the first one."""
    return frame(scale.flights(700_000, seed=13, skew=0.25, years=2))


@pytest.fixture(scope="module")
def beside(raw) -> pd.DataFrame:
    """The first copy without skew, each row beside the real flight with the same key (`…_real`)."""
    copy = frame(scale.flights(A_COPY, seed=13))
    return copy.merge(raw["flights"], on=KEY, suffixes=("", "_real"), validate="one_to_one")


@pytest.fixture(scope="module")
def ten_years() -> list[pd.DataFrame]:
    """The weather of ten years, by year."""
    return [frame(iter([chunk])) for chunk in scale.weather(TEN_YEARS)]


@pytest.mark.parametrize(
    ("rows", "chunks"),
    [(0, []), (1, [1]), (1_000, [1_000]), (A_COPY, [A_COPY]), (A_COPY + 1, [A_COPY, 1])],
)
def test_there_are_exactly_as_many_rows_as_the_argument_says(rows, chunks):
    assert [chunk.num_rows for chunk in scale.flights(rows, seed=1)] == chunks


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("flights", lambda: scale.flights(A_COPY + 1, seed=1, skew=0.5, years=1)),
        ("weather", lambda: scale.weather(A_COPY + 1)),
        ("planes", lambda: scale.planes(A_COPY + 1, years=1)),
    ],
)
def test_chunks_have_the_columns_and_types_of_the_files(name, make: Callable[[], Iterator[pa.Table]]):
    file = pa.schema(list(source.COLUMNS[name].items()))
    assert [chunk.schema.equals(file, check_metadata=True) for chunk in make()] == [True, True]


def test_no_two_flights_share_a_key_within_a_year_or_across_years(scaled):
    assert len(scaled) == 700_000
    assert not scaled.duplicated(KEY).any()
    assert not scaled.duplicated(["year", "month", "day", "hour", "carrier", "flight", "origin"]).any()


def test_the_same_seed_gives_the_same_flights_and_another_seed_other_delays():
    (first,), (repeated,), (reseeded,) = (scale.flights(1_000, seed=seed, skew=0.5) for seed in (1, 1, 2))
    assert first.equals(repeated)
    differing = {name for name in first.column_names if not first[name].equals(reseeded[name])}
    assert differing == {*DELAYS, *CLOCKS, "tailnum"}


def test_copies_differ_in_their_delays(scaled):
    first, second = scaled[:A_COPY], scaled[A_COPY : 2 * A_COPY].reset_index(drop=True)
    assert (first["flight"] == second["flight"]).all()
    assert 0.8 < (first["dep_delay"] != second["dep_delay"]).mean() < 0.9  # six of seven


def test_a_smaller_table_is_the_beginning_of_a_larger_one(scaled):
    for rows in (1_000, A_COPY + 1_000):
        smaller = frame(scale.flights(rows, seed=13, skew=0.25, years=2))
        pd.testing.assert_frame_equal(smaller, scaled[:rows])


@pytest.mark.parametrize(("skew", "low", "high"), [(0, 0, 0.01), (0.1, 0.09, 0.11), (0.9, 0.89, 0.91), (1, 1, 1)])
def test_skew_is_the_share_of_rows_with_one_tail_number(skew, low, high):
    (even,), (skewed,) = scale.flights(50_000, seed=3), scale.flights(50_000, seed=3, skew=skew)
    tails = frame(iter([skewed]))["tailnum"].fillna("")
    assert low <= (tails == scale.BUSY_TAIL).mean() <= high
    assert skewed.drop_columns("tailnum").equals(even.drop_columns("tailnum"))


def test_skewed_rows_of_all_copies_share_one_aircraft_of_the_planes(scaled):
    for copy in (scaled[:A_COPY], scaled[A_COPY : 2 * A_COPY], scaled[2 * A_COPY :]):
        assert 0.24 < (copy["tailnum"] == scale.BUSY_TAIL).sum() / len(copy) < 0.26
    assert scale.BUSY_TAIL in set(frame(scale.planes(1))["tailnum"])


def test_delays_move_together_by_a_few_minutes_and_nulls_stay(beside):
    assert len(beside) == A_COPY
    moved = beside["dep_delay"] - beside["dep_delay_real"]
    assert set(moved.dropna()) == set(range(-3, 4))
    assert ((beside["arr_delay"] - beside["arr_delay_real"]).dropna() == moved[beside["arr_delay"].notna()]).all()
    for name in [*DELAYS, *CLOCKS]:
        assert (beside[name].isna() == beside[f"{name}_real"].isna()).all()


def test_everything_else_of_the_first_copy_is_real(beside):
    for name in set(source.COLUMNS["flights"]) - {*KEY, *DELAYS, *CLOCKS}:
        assert beside[name].equals(beside[f"{name}_real"]), name


def test_actual_clocks_move_with_the_delays_and_stay_clocks(beside):
    moved = beside["dep_delay"] - beside["dep_delay_real"]
    for name in CLOCKS:
        clock = beside[name].dropna()
        apart = (clock_min(clock) - clock_min(beside[f"{name}_real"].dropna())).astype("int64")
        assert ((apart - moved[clock.index].astype("int64")) % 1440 == 0).all()
        assert (clock.min(), clock.max()) == (1, 2400)
        assert (clock - clock // 100 * 100).max() == 59


def test_actual_departures_are_on_the_clock_of_new_york(scaled):
    departed = scaled.dropna(subset=["dep_time"])
    late = pd.to_timedelta((departed["minute"] + departed["dep_delay"]).astype("int64"), unit="min")
    at = local(departed["time_hour"]) + late
    assert ((at.dt.hour * 100 + at.dt.minute).to_numpy() == departed["dep_time"].replace(2400, 0).to_numpy()).all()


def test_local_columns_are_the_instant_on_the_clock_of_new_york(scaled, ten_years):
    for rows in (scaled, *ten_years):
        at = local(rows["time_hour"])
        for name in ("year", "month", "day", "hour"):
            assert (getattr(at.dt, name).to_numpy() == rows[name].to_numpy(dtype="int64")).all(), name


@pytest.mark.parametrize(
    ("day", "six_in_utc"),
    [
        ("2013-03-09", 11),
        ("2013-03-10", 10),
        ("2013-11-02", 10),
        ("2013-11-03", 11),
        ("2014-03-08", 11),
        ("2014-03-09", 10),
        ("2014-11-01", 10),
        ("2014-11-02", 11),
    ],
)
def test_flights_around_a_change_of_clocks_leave_at_the_right_instant(scaled, day, six_in_utc):
    at = pd.Timestamp(day)
    rows = scaled[
        (scaled["year"] == at.year) & (scaled["month"] == at.month) & (scaled["day"] == at.day) & (scaled["hour"] == 6)
    ]
    assert len(rows) > 20
    assert set(rows["time_hour"]) == {at.tz_localize("UTC") + pd.Timedelta(hours=six_in_utc)}


def test_the_weather_of_ten_years_loses_and_repeats_an_hour_when_the_clocks_say_so(ten_years):
    rows = pd.concat(ten_years)
    newark = rows[rows["origin"] == "EWR"]
    hours = newark.groupby(days(newark))["hour"].agg(["count", "nunique"])
    repeated = [f"{day:%m-%d}" for day in hours.index[hours["count"] > hours["nunique"]]]
    assert repeated == ["11-03", "11-02", "11-01", "11-06", "11-05", "11-04", "11-03", "11-01", "11-07", "11-06"]
    assert not rows.duplicated(["origin", "time_hour"]).any()


def test_copies_keep_the_day_of_the_week_and_leave_out_two_weeks_in_ten_years(ten_years):
    first = days(ten_years[0])
    later = [set(days(year) - first) for year in ten_years]
    assert all(len(shift) == 1 for shift in later)
    weeks = [shift.pop() / pd.Timedelta(weeks=1) for shift in later]
    assert weeks == [0, 52, 104, 157, 209, 261, 313, 365, 418, 470]
    flown = set(days(pd.concat(ten_years)))
    missing = sorted(set(pd.date_range(min(flown), max(flown))) - flown)
    assert [f"{day:%Y-%m-%d}" for day in missing] == [
        *(f"2015-12-{day}" for day in (29, 30, 31)),
        *(f"2016-01-0{day}" for day in (1, 2, 3, 4)),
        *(f"2020-12-{day}" for day in (29, 30, 31)),
        *(f"2021-01-0{day}" for day in (1, 2, 3, 4)),
    ]


def test_flights_keep_the_day_of_the_week(scaled):
    first, second = scaled[:A_COPY], scaled[A_COPY : 2 * A_COPY].reset_index(drop=True)
    assert (days(second).dt.weekday == days(first).dt.weekday).all()
    assert set(days(second) - days(first)) == {pd.Timedelta(weeks=52)}


def test_each_copy_is_in_order_of_time(scaled):
    for copy in (scaled[:A_COPY], scaled[A_COPY : 2 * A_COPY], scaled[2 * A_COPY :]):
        assert copy["time_hour"].is_monotonic_increasing


def test_a_second_copy_of_a_year_has_flight_numbers_and_aircraft_of_its_own(scaled):
    first, second = scaled[:A_COPY], scaled[2 * A_COPY :].reset_index(drop=True)
    assert (second["flight"] == first["flight"][: len(second)] + 10_000).all()
    assert (second["time_hour"] == first["time_hour"][: len(second)]).all()
    assert set(first["tailnum"].dropna()) & set(second["tailnum"].dropna()) == {scale.BUSY_TAIL}
    own = second["tailnum"].dropna()
    assert own[own != scale.BUSY_TAIL].str.endswith("-1").all()


def test_new_aircraft_are_among_the_planes_as_often_as_the_real_ones():
    first, second = (frame(iter([chunk]))["tailnum"] for chunk in scale.flights(2 * A_COPY, seed=1, years=1))
    planes = frame(scale.planes(2 * A_COPY, years=1))
    assert not planes["tailnum"].duplicated().any()
    listed = [tails.isin(planes["tailnum"]).sum() for tails in (first, second)]
    assert listed[0] == listed[1] > 0.8 * A_COPY


@pytest.mark.parametrize(
    ("rows", "years", "chunks"),
    [(0, 10, 0), (1, 10, 1), (TEN_YEARS, 10, 1), (TEN_YEARS + 1, 10, 2), (A_COPY + 1, 1, 2)],
)
def test_aircraft_come_with_each_further_copy_of_a_year(rows, years, chunks):
    assert len(list(scale.planes(rows, years=years))) == chunks


@pytest.mark.parametrize(
    ("rows", "years", "chunks"), [(0, 10, 0), (1, 10, 1), (A_COPY + 1, 10, 2), (A_COPY + 1, 1, 1), (TEN_YEARS, 3, 3)]
)
def test_weather_comes_with_each_year(rows, years, chunks):
    assert len(list(scale.weather(rows, years=years))) == chunks


def test_flights_meet_the_weather_of_the_real_year(scaled, raw):
    met = []
    for flights, weather in (
        (raw["flights"], raw["weather"]),
        (scaled[A_COPY : 2 * A_COPY], frame(scale.weather(A_COPY * 2))),
    ):
        joined = flights.merge(weather, on=["origin", "time_hour"], how="inner")
        met.append((len(joined), round(joined["temp"].sum())))
    assert met[0] == met[1]


def test_generated_rows_fit_the_schemas_after_preparation(scaled, raw, types, keys_and_nulls, out_of_bounds):
    flights = prep.flights(scaled, raw["airports"], years=scale.span(700_000, years=2))
    weather = prep.weather(frame(scale.weather(700_000, years=2)))
    planes = prep.planes(frame(scale.planes(700_000, years=2)))
    for table, of, bad_rows in (
        (flights, schema.FLIGHTS, 0),
        (weather, schema.WEATHER, 2),  # the wind of 1,048 mph, each year
        (planes, schema.PLANES, 0),
    ):
        types(table, of)
        keys_and_nulls(table, of)
        assert out_of_bounds(table, of) == bad_rows
    assert len(flights) == 700_000
    assert (flights["sched_duration_min"].min(), flights["sched_duration_min"].max()) == (50, 700)


def test_the_span_is_from_the_first_to_the_last_year_with_flights(ten_years):
    rows = pd.concat(ten_years)
    assert scale.span(TEN_YEARS) == (rows["year"].min(), rows["year"].max()) == (2013, 2023)


@pytest.mark.parametrize(
    ("rows", "years", "span"),
    [(0, 10, (2013, 2013)), (1, 10, (2013, 2013)), (A_COPY + 1, 10, (2013, 2014)), (10**9, 1, (2013, 2013))],
)
def test_the_span_leaves_out_years_without_flights(rows, years, span):
    assert scale.span(rows, years=years) == span


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: scale.flights(-1, seed=1), "rows must be 0 or more .* not -1 and 10"),
        (lambda: scale.flights(1, seed=1, years=0), "years 1 or more, not 1 and 0"),
        (lambda: scale.flights(1, seed=-1), "seed must be 0 or more .* not -1 and 0"),
        (lambda: scale.flights(1, seed=1, skew=1.5), "skew from 0 to 1, not 1 and 1.5"),
        (lambda: scale.flights(1, seed=1, skew=float("nan")), "not 1 and nan"),
        (lambda: scale.weather(-1), "rows must be 0 or more"),
        (lambda: scale.planes(-1), "rows must be 0 or more"),
        (lambda: scale.span(-1), "rows must be 0 or more"),
    ],
)
def test_arguments_out_of_bounds_are_refused_by_the_call(call, says):
    with pytest.raises(ValueError, match=says):
        call()
