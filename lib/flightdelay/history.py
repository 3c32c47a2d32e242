"""Delays of earlier flights before each departure: sums over those that had landed strictly before it.

Each arrival is an event that adds to a running sum when the flight lands and subtracts the same when it
leaves the window; each departure is an event that adds nothing and reads the sum. Ordered by time, with
departures first among the events of an instant, one cumulative sum serves them all: no window
of rows, no join on a range, the same on every engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import narwhals as nw
from narwhals.typing import IntoFrameT

from flightdelay import schema
from flightdelay.frames import Frame, of_any_engine, zero


@dataclass(frozen=True)
class Window:
    """Flights that share `group` and landed in the `hours` before; `name` starts the columns' names."""

    name: str
    group: tuple[str, ...]
    hours: int


WINDOWS = (
    Window("carrier_24h", ("carrier",), 24),
    Window("origin_3h", ("origin",), 3),
    Window("route_7d", ("origin", "dest"), 7 * 24),
    Window("tail_24h", ("tailnum",), 24),
)


def reach(windows: Sequence[Window] = WINDOWS) -> timedelta:
    """How long before a departure a flight that counts for it was scheduled to leave, at most.

    The longest window, and as much as a flight may take and be late by the bounds of the table `flights`.
    """
    longest = {column.name: column.maximum or 0 for column in schema.FLIGHTS.columns}
    under_way_min = longest["sched_duration_min"] + longest["arr_delay_min"]
    return timedelta(hours=max(window.hours for window in windows), minutes=under_way_min)


def add_history(flights: IntoFrameT, windows: Sequence[Window] = WINDOWS) -> IntoFrameT:
    """Two more columns for each window: `<name>_delay_min` and `<name>_landed`.

    A flight that landed at a counts for a departure scheduled at t if t - hours <= a < t: a landing in the
    minute of the departure is not known yet. Flights that never arrived are in no window, and neither are
    those that landed before they were to leave, which would count for themselves. A departure
    without a group (no tail number) has no flights in its window. Where none landed the count is 0 and the
    mean delay null.

    Args:
        flights: `sched_dep_at`, `arr_at` (null if it never arrived),
            `arr_delay_min`, `flight`, and the columns that the windows group by.
    """
    return with_history(of_any_engine(flights), windows).to_native()


def with_history(flights: Frame, windows: Sequence[Window] = WINDOWS) -> Frame:
    """`add_history` for a narwhals frame."""
    frame = flights
    for window in windows:
        # Sums come from the flights alone, not from the growing frame, which Spark would plan again for each window.
        frame = frame.join(_sums(flights, window), on=[*window.group, "sched_dep_at"], how="left").with_columns(
            nw.col(f"{window.name}_landed").fill_null(zero("flight"))
        )
        landed, delay = nw.col(f"{window.name}_landed"), nw.col(f"{window.name}_delay_min")
        # Divided only where the count is positive: a division by zero is an error on Spark.
        frame = frame.with_columns(nw.when(landed > 0).then(delay / landed).alias(f"{window.name}_delay_min"))
    return frame


def _sums(flights: Frame, window: Window) -> Frame:
    """For each group and `sched_dep_at`: minutes of delay and number of the flights in the window."""
    delay, landed = f"{window.name}_delay_min", f"{window.name}_landed"
    at, is_change = "sched_dep_at", "is_change"
    grouped = flights.filter(*(~nw.col(column).is_null() for column in window.group))
    arrived = grouped.filter(~nw.col("arr_at").is_null(), nw.col("arr_at") >= nw.col(at)).with_columns(
        nw.col("arr_delay_min").cast(nw.Int64()).alias(delay),
        (zero("flight") + 1).alias(landed),
        (zero("flight") + 1).alias(is_change),
    )
    columns = [*window.group, at, delay, landed, is_change]
    landings = arrived.with_columns(nw.col("arr_at").alias(at)).select(columns)
    expiries = arrived.with_columns(
        nw.col("arr_at").dt.offset_by(f"{window.hours}h").alias(at), -nw.col(delay), -nw.col(landed)
    ).select(columns)
    departures = (
        grouped.with_columns(zero("flight").alias(name) for name in (delay, landed, is_change))
        .select(columns)
        .unique(subset=[*window.group, at])
    )
    return (
        nw.concat([landings, expiries, departures])
        # Whole numbers: sums are exact in any order, so engines agree to the last bit.
        .with_columns(nw.col(delay, landed).cum_sum().over(*window.group, order_by=[at, is_change]))
        .filter(nw.col(is_change) == 0)
        .drop(is_change)
    )
