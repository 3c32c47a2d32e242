"""One row per scheduled flight: what is known before departure, and the label.

Known before departure are the schedule (of all flights, also of those that will be cancelled), the
aircraft, the weather in the hour of the scheduled departure, and flights that had landed strictly before
it. The flight's own actual departure, arrival and time in the air are never used.
"""

import narwhals as nw
from narwhals.typing import IntoFrameT

from flightdelay import history, schema
from flightdelay.frames import Frame, of_any_engine, remainder, typed, zero
from stagebook import PartitionSource

CATEGORICAL = ("carrier", "origin", "dest", "engine_type")
"""The features that are names, not numbers."""

assert history.reach().days < 28, "the history of a month follows from its flights and those of the month before"


def yyyymm(date: str) -> nw.Expr:
    """The month of a date column as a whole number: 201301 for January 2013."""
    year, month = nw.col(date).dt.year().cast(nw.Int32()), nw.col(date).dt.month().cast(nw.Int32())
    # One type on all engines, since fingerprints tell types apart: pandas would make 64 bits of the product.
    return (year * 100 + month).cast(nw.Int32())


SOURCES = {
    "flights": PartitionSource(
        by=yyyymm("dep_date_local"),
        look_back=1,
        columns=(
            *schema.FLIGHT_KEY, "tailnum", "dest", "dep_date_local", "dep_hour_local", "dep_minute", "sched_dep_at",
            "arr_at", "sched_duration_min", "arr_delay_min", "distance_mi",
        ),
    ),
    "weather": PartitionSource(
        by=yyyymm("date_local"),
        columns=("origin", "time_hour", "date_local", *(column.name for column in schema.WEATHER_MEASURES)),
    ),
    "planes": PartitionSource(columns=("tailnum", "built_year", "seats", "engine_type")),
}  # fmt: skip
"""What a month of features is built from: its flights and those of the month before, its weather, and all aircraft."""


def build(flights: IntoFrameT, weather: IntoFrameT, planes: IntoFrameT) -> IntoFrameT:
    """Features as `schema.FEATURES`, one row for each row of `flights`.

    Flights without weather, without a tail number or with an unknown aircraft stay, with nulls. The
    label `arr_delay_min` is null for a flight that never arrived; such rows stay too: they are
    scored like all flights, and left out only of training and evaluation.

    Args:
        flights: the table `flights`, or some months of it: history is complete from the second month on.
        weather: the table `weather`. planes: the table `planes`.
    """
    frame = history.with_history(of_any_engine(flights).with_columns(dep_month=yyyymm("dep_date_local")))
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

    It is the observation of that hour, in place of the forecast that an airline has at that time: for a departure
    early in the hour, up to an hour of it lies in the future.
    """
    measures = [column.name for column in schema.WEATHER_MEASURES]
    return flights.join(weather.select("origin", "time_hour", *measures), on=["origin", "time_hour"], how="left")


def _with_aircraft(flights: Frame, planes: Frame) -> Frame:
    """Seats, kind of engine, and age in years; the year of manufacture may be unknown."""
    aircraft = planes.select("tailnum", "built_year", "seats", "engine_type")
    return flights.join(aircraft, on="tailnum", how="left").with_columns(
        aircraft_age_years=nw.col("dep_date_local").dt.year() - nw.col("built_year")
    )
