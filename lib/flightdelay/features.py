"""One row per scheduled flight: what is known before departure, and the label.

Known before departure are the schedule (of all flights, also of those that will be cancelled), the
aircraft, the weather in the hour of the scheduled departure, and flights that had landed strictly before
it. Actual departures, arrivals and times in the air of the flight itself are never used.
"""

import narwhals as nw
from narwhals.typing import IntoFrameT

from flightdelay import schema
from flightdelay.frames import Frame, of_any_engine, remainder, typed, zero
from flightdelay.history import with_history

CATEGORICAL = ("carrier", "origin", "dest", "engine_type")
"""The features that are names, not numbers."""


def build(flights: IntoFrameT, weather: IntoFrameT, planes: IntoFrameT) -> IntoFrameT:
    """Features as `schema.FEATURES`, one row for each row of `flights`.

    Flights without weather, without a tail number or with an unknown aircraft stay, with nulls. The
    label `arr_delay_min` is null for a flight that never arrived; such rows stay too, they are
    scored like any other and dropped only where a model learns.

    Args:
        flights: the table `flights`. weather: the table `weather`. planes: the table `planes`.
    """
    frame = with_history(of_any_engine(flights))
    frame = _with_schedule(frame)
    frame = _with_weather(frame, of_any_engine(weather))
    frame = _with_aircraft(frame, of_any_engine(planes))
    return typed(frame, schema.FEATURES).to_native()


def _with_schedule(flights: Frame) -> Frame:
    """Month, day of the week (1 is Monday), and departures scheduled at the origin in the same hour."""
    return flights.with_columns(
        month=nw.col("dep_date_local").dt.month(),
        # Sunday is 7 on pandas and 0 on Spark: bring both to 0..6, counted from Monday, and add one.
        day_of_week=remainder(nw.col("dep_date_local").dt.weekday().cast(nw.Int64()) + 6, 7) + 1,
        departure=zero("flight") + 1,
    ).with_columns(origin_hour_departures=nw.col("departure").sum().over("origin", "time_hour"))


def _with_weather(flights: Frame, weather: Frame) -> Frame:
    """Weather in the hour of the scheduled departure, joined on the instant, not on the local clock.

    The row is the observation made in that hour: for a departure early in the hour some of it is still to
    come, by at most an hour. It stands for the forecast that an airline has at that time.
    """
    measures = [column.name for column in schema.WEATHER_MEASURES]
    return flights.join(weather.select("origin", "time_hour", *measures), on=["origin", "time_hour"], how="left")


def _with_aircraft(flights: Frame, planes: Frame) -> Frame:
    """Seats, kind of engine, and age in years; the year of manufacture may be unknown."""
    known = planes.select("tailnum", "built_year", "seats", "engine_type")
    return flights.join(known, on="tailnum", how="left").with_columns(
        aircraft_age_years=nw.col("dep_date_local").dt.year() - nw.col("built_year")
    )
