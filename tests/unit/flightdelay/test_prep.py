from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest

from flightdelay import clocks, prep, schema, source

NEW_YORK = ZoneInfo("America/New_York")


def raw_flights(*rows: dict) -> pd.DataFrame:
    """Rows of the file `flights`; local day, hour and `time_hour` are worked out from `leaves`."""
    plain = []
    for row in rows:
        leaves: datetime = row["leaves"]
        plain.append(
            {
                "year": leaves.year,
                "month": leaves.month,
                "day": leaves.day,
                "hour": leaves.hour,
                "minute": leaves.minute,
                "sched_dep_time": leaves.hour * 100 + leaves.minute,
                "time_hour": leaves.replace(minute=0, tzinfo=NEW_YORK).astimezone(UTC),
                "carrier": "UA",
                "flight": 1,
                "origin": "EWR",
                "distance": 700,
                **{name: value for name, value in row.items() if name != "leaves"},
            }
        )
    columns = {
        name: pa.array([row.get(name) for row in plain], kind) for name, kind in source.COLUMNS["flights"].items()
    }
    return pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


@pytest.mark.parametrize(
    ("leaves", "dest", "arrives", "expected"),
    [
        pytest.param("2013-06-05 10:30", "ORD", 1155, "2013-06-05 16:55", id="an hour west"),
        pytest.param("2013-06-05 22:15", "BOS", 2327, "2013-06-06 03:27", id="the same evening"),
        pytest.param("2013-06-05 23:20", "BOS", 30, "2013-06-06 04:30", id="past midnight there"),
        pytest.param("2013-06-05 23:59", "SJU", 345, "2013-06-06 07:45", id="an airport that is not in the table"),
        pytest.param("2013-01-05 23:59", "SJU", 445, "2013-01-06 08:45", id="which keeps no summer time"),
        pytest.param("2013-01-05 10:00", "HNL", 1530, "2013-01-06 01:30", id="past midnight in UTC"),
        pytest.param("2013-06-05 10:00", "BOS", 959, "2013-06-06 13:59", id="a minute less than a day"),
        pytest.param("2013-06-05 10:00", "BOS", 1000, "2013-06-06 14:00", id="a whole day, never none"),
        pytest.param("2013-12-31 23:00", "LAX", 215, "2014-01-01 10:15", id="into the next year"),
        pytest.param("2013-03-09 22:30", "LAX", 150, "2013-03-10 09:50", id="before the clock there goes forward"),
        pytest.param("2013-03-09 23:50", "LAX", 330, "2013-03-10 10:30", id="while the clock there goes forward"),
        pytest.param("2013-03-10 10:00", "PHX", 1215, "2013-03-10 19:15", id="a zone without summer time"),
        pytest.param("2013-11-02 23:30", "ORD", 300, "2013-11-03 09:00", id="while the clock there goes back"),
    ],
)
def test_the_scheduled_arrival_is_an_instant_whatever_the_clocks_do(raw, leaves, dest, arrives, expected):
    frame = raw_flights({"leaves": datetime.fromisoformat(leaves), "dest": dest, "sched_arr_time": arrives})
    flight = prep.flights(frame, raw["airports"]).iloc[0]
    assert flight["sched_arr_at"] == utc(expected)
    assert flight["sched_duration_min"] == (flight["sched_arr_at"] - flight["sched_dep_at"]).total_seconds() / 60


def test_departures_keep_the_local_day_hour_and_minute(raw):
    frame = raw_flights({"leaves": datetime(2013, 6, 5, 22, 15), "dest": "BOS", "sched_arr_time": 2327})
    flight = prep.flights(frame, raw["airports"]).iloc[0]
    assert flight["dep_date_local"] == date(2013, 6, 5)
    assert (flight["dep_hour_local"], flight["dep_minute"]) == (22, 15)
    assert flight["sched_dep_at"] == utc("2013-06-06 02:15")


@pytest.mark.parametrize(
    ("dep_delay", "arr_delay", "dep_at", "arr_at"),
    [
        (-5, -12, "2013-06-05 14:25", "2013-06-05 16:43"),
        (1301, 1272, "2013-06-06 12:11", "2013-06-06 14:07"),
        (20, None, "2013-06-05 14:50", None),
        (None, None, None, None),
    ],
)
def test_actual_times_are_scheduled_ones_plus_the_delay_or_missing(raw, dep_delay, arr_delay, dep_at, arr_at):
    row = {"leaves": datetime(2013, 6, 5, 10, 30), "dest": "ORD", "sched_arr_time": 1155}
    frame = raw_flights({**row, "dep_delay": dep_delay, "arr_delay": arr_delay})
    flight = prep.flights(frame, raw["airports"]).iloc[0]
    for column, expected in (("dep_at", dep_at), ("arr_at", arr_at)):
        if expected is None:
            assert flight[column] is pd.NA
        else:
            assert flight[column] == utc(expected)


@pytest.mark.parametrize("dest", ["EEN", "XXX"], ids=["zone unknown", "airport unknown"])
def test_without_a_time_zone_the_arrival_is_null_for_the_schema_to_refuse(raw, dest):
    frame = raw_flights({"leaves": datetime(2013, 6, 5, 10, 30), "dest": dest, "sched_arr_time": 1155})
    assert prep.flights(frame, raw["airports"])["sched_arr_at"].isna().all()


@pytest.mark.parametrize(
    ("leaves", "years", "arrives"),
    [
        ("2015-06-05 10:30", (2013, 2013), None),
        ("2015-06-05 10:30", (2013, 2014), None),
        ("2015-06-05 10:30", (2013, 2015), "2015-06-05 16:55"),
        ("2015-06-05 10:30", (2015, 2022), "2015-06-05 16:55"),
        ("2015-06-05 10:30", (2016, 2022), None),
        ("2015-01-01 00:00", (2015, 2015), "2015-01-01 17:55"),
        ("2015-12-31 23:59", (2015, 2015), "2016-01-01 17:55"),
    ],
)
def test_the_years_of_the_offsets_are_asked_for_and_not_exceeded_in_silence(raw, leaves, years, arrives):
    frame = raw_flights({"leaves": datetime.fromisoformat(leaves), "dest": "ORD", "sched_arr_time": 1155})
    arrived = prep.flights(frame, raw["airports"], years=years)["sched_arr_at"]
    assert list(arrived.isna()) == [arrives is None]
    assert arrives is None or arrived.iloc[0] == utc(arrives)


def test_no_flight_at_all_gives_an_empty_table_with_all_types(raw, types):
    types(prep.flights(raw["flights"].head(0), raw["airports"]), schema.FLIGHTS)


def test_the_file_is_not_changed(raw):
    before = raw["flights"].head(100).copy(deep=True)
    frame = before.copy(deep=True)
    prep.flights(frame, raw["airports"])
    pd.testing.assert_frame_equal(frame, before)


def test_every_flight_of_the_year_is_kept_and_nothing_is_filled_in(raw, year):
    flights = year["flights"]
    missing = flights.isna().sum()
    assert len(flights) == 336_776
    assert {name: count for name, count in missing.items() if count} == {
        "tailnum": 2_512,
        "dep_clock_local": 8_255,
        "dep_at": 8_255,
        "dep_delay_min": 8_255,
        "arr_clock_local": 8_713,
        "arr_at": 9_430,
        "arr_delay_min": 9_430,
        "air_time_min": 9_430,
    }


def test_the_local_day_of_departure_is_the_one_of_the_file(raw, year):
    file = pd.to_datetime(raw["flights"][["year", "month", "day"]].astype("int64")).dt.date
    assert (year["flights"]["dep_date_local"].to_numpy() == file.to_numpy()).all()
    by_utc = year["flights"]["time_hour"].dt.date.to_numpy()
    assert (by_utc != file.to_numpy()).sum() == 38_444, "a day taken from UTC would be another one"


def test_scheduled_durations_of_the_year_are_plausible(year):
    minutes = year["flights"]["sched_duration_min"]
    assert (minutes.min(), minutes.max()) == (50, 700)


def test_time_on_the_ground_of_every_flight_is_plausible(year):
    """Gate to gate less time in the air: an arrival on the wrong clock would be off by an hour or more."""
    flights = year["flights"].dropna(subset=["arr_at"])
    gate_to_gate = (flights["arr_at"] - flights["dep_at"]).dt.total_seconds() / 60
    ground = gate_to_gate - flights["air_time_min"]
    assert (ground.min(), ground.max()) == (5, 235)
    assert ground.median() == 28


def test_actual_clocks_agree_with_actual_instants(raw, year):
    flights = year["flights"]
    departed = flights.dropna(subset=["dep_at"])
    local = departed["dep_at"].astype("datetime64[us, UTC]").dt.tz_convert(NEW_YORK)
    assert (
        (local.dt.hour * 100 + local.dt.minute).to_numpy() == departed["dep_clock_local"].replace(2400, 0).to_numpy()
    ).all()


def test_weather_has_a_key_in_utc_where_the_local_hour_repeats(year):
    weather = year["weather"]
    assert not weather.duplicated(["origin", "time_hour"]).any()
    assert weather.duplicated(["origin", "date_local", "hour_local"]).sum() == 3


def test_the_build_year_of_an_aircraft_does_not_meet_the_year_of_a_flight(year):
    assert "year" not in year["planes"]
    assert year["planes"]["built_year"].isna().sum() == 70


@pytest.mark.parametrize(
    ("zone", "at", "offset_min"),
    [
        ("America/New_York", "2013-03-10 06:00", -300),
        ("America/New_York", "2013-03-10 07:00", -240),
        ("America/New_York", "2013-11-03 05:00", -240),
        ("America/New_York", "2013-11-03 06:00", -300),
        ("America/Los_Angeles", "2013-03-10 09:00", -480),
        ("America/Los_Angeles", "2013-03-10 10:00", -420),
        ("America/Phoenix", "2013-07-01 00:00", -420),
        ("America/Puerto_Rico", "2013-07-01 00:00", -240),
        ("Pacific/Honolulu", "2013-07-01 00:00", -600),
    ],
)
def test_offsets_change_with_the_clock_of_the_zone(zone, at, offset_min):
    when = utc(at).to_pydatetime()
    rows = clocks.utc_offsets([zone], first=when, last=when).to_pylist()
    assert rows == [{"zone": zone, "hour_at": when, "offset_min": offset_min}]


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2013-01-01 00:00", "2013-01-01 00:00"),
        ("2013-03-09 17:45", "2013-03-11 09:10"),
        ("2012-12-31 00:00", "2023-01-03 00:00"),
        ("2013-01-02 00:00", "2013-01-01 00:00"),
    ],
    ids=["one hour", "within hours", "ten years", "none"],
)
def test_offsets_are_those_of_every_single_hour(first, last):
    start, end = utc(first).to_pydatetime(), utc(last).to_pydatetime()
    zones = [ZoneInfo(name) for name in ("America/New_York", "America/Phoenix", "Pacific/Apia")]
    hour, expected = start.replace(minute=0), []
    while hour <= end:
        expected.append(hour)
        hour += clocks.HOUR
    table = clocks.utc_offsets([zone.key for zone in zones], first=start, last=end)
    assert table["zone"].to_pylist() == [zone.key for zone in zones for _ in expected]
    assert table["hour_at"].to_pylist() == expected * len(zones)
    assert table["offset_min"].to_pylist() == [
        hour.astimezone(zone).utcoffset() // clocks.MINUTE for zone in zones for hour in expected
    ]


def test_every_zone_changes_its_clock_on_a_whole_hour():
    minutes = [datetime(2013, 1, 1, tzinfo=UTC) + half * clocks.HOUR / 2 for half in range(2 * 24 * 365)]
    for zone in prep.ZONES:
        offsets = [minute.astimezone(ZoneInfo(zone)).utcoffset() for minute in minutes]
        assert offsets[0::2] == offsets[1::2], zone


def test_the_zones_are_those_of_the_airports(raw):
    assert set(raw["airports"]["tzone"].dropna()) | set(prep.NOT_IN_AIRPORTS.values()) == set(prep.ZONES)
    assert set(raw["flights"]["dest"]) - set(raw["airports"]["faa"]) == set(prep.NOT_IN_AIRPORTS)
