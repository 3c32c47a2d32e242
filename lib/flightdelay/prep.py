"""From the files as they are to typed tables: instants in UTC, units in names, nothing lost.

Missing values stay missing: none is filled in. What cannot be derived is null, and the schema refuses nulls
where none are allowed.
"""

from datetime import UTC, datetime

import narwhals as nw
import pyarrow as pa
from narwhals.typing import IntoFrameT

from flightdelay import schema
from flightdelay.clocks import DAY_MIN, MINUTE, utc_offsets
from flightdelay.frames import Frame, in_engine_of, of_any_engine, remainder, typed

ZONES = (
    "America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles",
    "America/Anchorage", "America/Vancouver", "America/Puerto_Rico", "Pacific/Honolulu", "Asia/Chongqing",
)  # fmt: skip
"""The time zones of the airports."""

NOT_IN_AIRPORTS = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")
"""Destinations that `airports` does not have, with their time zones."""

YEARS = (2013, 2013)
"""First and last year of the files, by the clock of New York."""


def flights(raw: IntoFrameT, airports: IntoFrameT, *, years: tuple[int, int] = YEARS) -> IntoFrameT:
    """Flights as `schema.FLIGHTS`, one row for each row of `raw`.

    Departures: `time_hour` is already an instant; the scheduled minute is added. The local day, hour and
    minute are kept. Arrivals: the schedule gives the clock of the destination, so the arrival is the
    first time after departure at which that clock shows it; every duration is then more than
    0 and at most 24 hours. Actual times are the scheduled ones plus the delay, null where the delay is
    null (8,255 flights never left, 9,430 never arrived). A destination without a known time zone has a
    null arrival, which the schema refuses; so has a flight that leaves outside of `years`.

    Args:
        raw: the file `flights`.
        airports: the file or the table `airports` (`faa`, `tzone`).
        years: first and last local year of departure, both included. They are not read off the frame, which
            may be lazy and would be computed twice. Clocks are a table of 88,000 rows a year.
    """
    frame = of_any_engine(raw)
    zones = _dest_zones(of_any_engine(airports))
    offsets = in_engine_of(frame, _offsets(*years))
    return typed(
        frame.join(zones, on="dest", how="left")
        .with_columns(
            sched_dep_at=_later(nw.col("time_hour"), nw.col("minute")),
            origin_offset_min=_new_york_offset_min(),
        )
        .join(offsets, left_on=["dest_zone", "time_hour"], right_on=["zone", "hour_at"], how="left")
        # The clock of the destination may change during the flight: what counts is its offset at arrival.
        .with_columns(arrives_about=_later(nw.col("sched_dep_at"), _duration_min()).dt.truncate("1h"))
        .drop("offset_min")
        .join(offsets, left_on=["dest_zone", "arrives_about"], right_on=["zone", "hour_at"], how="left")
        .with_columns(sched_duration_min=_duration_min())
        .with_columns(sched_arr_at=_later(nw.col("sched_dep_at"), nw.col("sched_duration_min")))
        .with_columns(
            dep_date_local=_later(nw.col("time_hour"), nw.col("origin_offset_min")).dt.date(),
            dep_at=_later(nw.col("sched_dep_at"), nw.col("dep_delay")),
            arr_at=_later(nw.col("sched_arr_at"), nw.col("arr_delay")),
        )
        .rename(
            {
                "hour": "dep_hour_local",
                "minute": "dep_minute",
                "dep_time": "dep_clock_local",
                "arr_time": "arr_clock_local",
                "sched_arr_time": "sched_arr_clock_local",
                "dep_delay": "dep_delay_min",
                "arr_delay": "arr_delay_min",
                "air_time": "air_time_min",
                "distance": "distance_mi",
            }
        ),
        schema.FLIGHTS,
    ).to_native()


def weather(raw: IntoFrameT) -> IntoFrameT:
    """Weather as `schema.WEATHER`. The local hour is kept, the key is the instant.

    Values are kept as measured, impossible ones too: the schema's bounds refuse them on write.
    """
    return typed(
        of_any_engine(raw)
        .with_columns(date_local=_later(nw.col("time_hour"), _new_york_offset_min()).dt.date())
        .rename(
            {
                "hour": "hour_local",
                "temp": "temp_f",
                "dewp": "dewpoint_f",
                "humid": "humidity_pct",
                "wind_dir": "wind_dir_deg",
                "wind_speed": "wind_speed_mph",
                "wind_gust": "wind_gust_mph",
                "precip": "precip_in",
                "pressure": "pressure_mb",
                "visib": "visibility_mi",
            }
        ),
        schema.WEATHER,
    ).to_native()


def planes(raw: IntoFrameT) -> IntoFrameT:
    """Aircraft as `schema.PLANES`; `year` becomes `built_year`, since flights have a year too."""
    names = {"year": "built_year", "type": "plane_type", "speed": "cruise_speed_mph", "engine": "engine_type"}
    return typed(of_any_engine(raw).rename(names), schema.PLANES).to_native()


def airports(raw: IntoFrameT) -> IntoFrameT:
    """Airports as `schema.AIRPORTS`; the three without a time zone keep a null."""
    names = {"lat": "lat_deg", "lon": "lon_deg", "alt": "alt_ft", "tz": "utc_offset_h"}
    return typed(of_any_engine(raw).rename(names), schema.AIRPORTS).to_native()


def airlines(raw: IntoFrameT) -> IntoFrameT:
    """Airlines as `schema.AIRLINES`."""
    return typed(of_any_engine(raw), schema.AIRLINES).to_native()


def _dest_zones(airports: Frame) -> Frame:
    """`dest` and `dest_zone`, null where the zone of an airport is not known."""
    missing = pa.table({"faa": list(NOT_IN_AIRPORTS), "tzone": list(NOT_IN_AIRPORTS.values())})
    zones = airports.select("faa", "tzone").filter(~nw.col("faa").is_in(list(NOT_IN_AIRPORTS)))
    return nw.concat([zones, in_engine_of(airports, missing)]).rename({"faa": "dest", "tzone": "dest_zone"})


def _offsets(first_year: int, last_year: int) -> pa.Table:
    """Offsets from a day before the first local year until two days after the last one."""
    first, last = datetime(first_year - 1, 12, 31, tzinfo=UTC), datetime(last_year + 1, 1, 3, tzinfo=UTC)
    return utc_offsets(ZONES, first=first, last=last)


def _new_york_offset_min() -> nw.Expr:
    """The local hour less the hour of UTC, the shorter way round the clock."""
    apart_h = nw.col("hour") - nw.col("time_hour").dt.hour().cast(nw.Int64())
    return (remainder(apart_h + 12, 24) - 12) * 60


def _duration_min() -> nw.Expr:
    """Scheduled departure to arrival, from 1 to 1440: the clocks less their offsets, the first time round."""
    arrives = _clock_min("sched_arr_time") - nw.col("offset_min")
    leaves = _clock_min("sched_dep_time") - nw.col("origin_offset_min")
    return remainder(arrives - leaves - 1, DAY_MIN) + 1


def _later(at: nw.Expr, minutes: nw.Expr) -> nw.Expr:
    """An instant some minutes later, in microseconds; null if either is null."""
    return (at + minutes * nw.lit(MINUTE)).cast(nw.Datetime("us", "UTC"))


def _clock_min(column: str) -> nw.Expr:
    """Minutes since midnight of a clock in the form hhmm (2400 is the midnight at the end of a day)."""
    return (nw.col(column) // 100) * 60 + remainder(nw.col(column), 100)
