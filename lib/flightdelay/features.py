"""One row per scheduled flight: what is known before departure, and the label.

Known before departure are the schedule (of all flights, also of those that will be cancelled), the
aircraft, the weather in the hour of the scheduled departure, and flights that had landed strictly before
it. Actual departures, arrivals and times in the air of the flight itself are never used.
"""

import functools
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import narwhals as nw
from narwhals.typing import IntoFrameT

from flightdelay import months, schema, versions
from flightdelay.frames import Frame, of_any_engine, remainder, text, typed, zero
from flightdelay.history import with_history
from stagebook.model.tables import Part, Parts

CATEGORICAL = ("carrier", "origin", "dest", "engine_type")
"""The features that are names, not numbers."""

READS = {
    "flights": (
        *schema.FLIGHT_KEY, "tailnum", "dest", "dep_date_local", "dep_hour_local", "dep_minute", "sched_dep_at",
        "arr_at", "sched_duration_min", "arr_delay_min", "distance_mi",
    ),
    "weather": ("origin", "time_hour", "date_local", *(column.name for column in schema.WEATHER_MEASURES)),
    "planes": ("tailnum", "built_year", "seats", "engine_type"),
}  # fmt: skip
"""The columns that features are made from; a change of others changes no feature."""

CODE = ("features", "history", "frames", "months")
"""The modules that make features."""


@functools.cache
def version() -> str:
    """The version of the features: a digest of the code that makes them and of the columns of their table.

    Comments, docstrings and formatting do not count, and neither do descriptions and bounds.
    """
    here = Path(__file__).parent
    return versions.digest([here / f"{name}.py" for name in CODE], schema.FEATURES)


def of_version(feature_version: str = "") -> list[tuple[str, str, Any]]:
    """Conditions on the table `features` for one version of the code; empty means the code at hand."""
    return [("feature_version", "=", feature_version or version())]


def parts(flights: Mapping[int, str], weather: Mapping[int, str], planes: str) -> Parts:
    """What each month of the table `features` is made from, of this version of the code.

    A month follows from its flights and those of the month before (`months.LOOKBACK`), from its weather, and
    from all aircraft.

    Args:
        flights: fingerprints by month of departure. weather: by local month. planes: of the whole table.
    """
    made_from: dict[Part, Mapping[str, str]] = {
        month: {
            "flights": flights[month],
            "flights of the month before": flights.get(months.before(month), "none"),
            "weather": weather.get(month, "none"),
            "planes": planes,
        }
        for month in sorted(flights)
    }
    return Parts(by="dep_month", made_from=made_from, within={"feature_version": version()})


def build(
    flights: IntoFrameT, weather: IntoFrameT, planes: IntoFrameT, *, months: Collection[int] | None = None
) -> IntoFrameT:
    """Features as `schema.FEATURES`, one row for each row of `flights`.

    Flights without weather, without a tail number or with an unknown aircraft stay, with nulls. The
    label `arr_delay_min` is null for a flight that never arrived; such rows stay too, they are
    scored like any other and dropped only where a model learns.

    Args:
        flights: the table `flights`. weather: the table `weather`. planes: the table `planes`.
        months: only flights that leave in these (yyyymm), with the features that they have in the whole table.
    """
    frame = _with_months(of_any_engine(flights), months)
    frame = _with_schedule(frame)
    frame = _with_weather(frame, of_any_engine(weather))
    frame = _with_aircraft(frame, of_any_engine(planes))
    return typed(frame, schema.FEATURES).to_native()


def _with_months(flights: Frame, wanted: Collection[int] | None) -> Frame:
    """Month and history of the flights of the wanted months, from those of the months before as well."""
    frame = flights.with_columns(dep_month=months.number("dep_date_local"), feature_version=text(version(), "carrier"))
    if wanted is None:
        return with_history(frame)
    enough = sorted({*wanted, *map(months.before, wanted)})
    history = with_history(frame.filter(nw.col("dep_month").is_in(enough)))
    return history.filter(nw.col("dep_month").is_in(sorted(wanted)))


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
