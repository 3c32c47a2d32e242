"""The real year many times over: raw flights, weather and aircraft of any size, for sizes and timings.

Each copy is the first 52 weeks of the year, 336,000 flights by the clock of New York; the 365th day would
be in two copies. Copies go into later years, as many weeks later as summer time begins later: 364 or 371 days
a year. So weekdays stay, clocks change on the same flights, and every instant is the real one plus whole
days. The price is a week without flights before the copies of 2016 and 2021: the source has no such days.
Copies beyond the last year fly beside the first ones, with flight numbers and tail numbers of their own.

These rows are not for learning: all years are the same but for a little jitter.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.compute import call_function

from flightdelay import source
from flightdelay.clocks import DAY_MIN

YEARS = 10
"""How many years copies go into before they fly side by side."""

BUSY_TAIL = "N258JB"
"""The tail number that skewed rows get: an aircraft that `planes` knows, with 427 flights in the real year."""

JITTER_MIN = 3
"""Delays move by up to this many minutes, either way."""

_FIRST_DAY, _DAYS, _COPY_ROWS = date(2013, 1, 1), 52 * 7, 336_000
_FLIGHT_NUMBERS = 10_000  # to the next layer; the highest number of the source is 8500


def flights(rows: int, *, seed: int, skew: float = 0.0, years: int = YEARS) -> Iterator[pa.Table]:
    """Exactly `rows` raw flights with the columns and types of `source.COLUMNS`, in chunks of at most 336,000.

    The key `time_hour carrier flight origin` is unique over all chunks. A chunk is one copy of the year
    in order of time, about 50 MB, and depends only on its number, `seed`, `skew` and `years`: a smaller
    table is the beginning of a larger one. Schedules and times in the air are the real ones. Both delays of
    a flight and both its actual clocks move together, by -3 to 3 minutes. Nulls stay null.

    Args:
        rows: 0 or more. The last copy ends in the course of its year.
        seed: 0 or more.
        skew: probability, 0 to 1, that a row gets `BUSY_TAIL` as its tail number, whatever it had.
        years: how many years copies go into, 1 or more.
    Raises:
        ValueError: if an argument is out of bounds; raised by the call, before the first chunk.
    """
    if seed < 0 or not 0 <= skew <= 1:
        raise ValueError(f"seed must be 0 or more and skew from 0 to 1, not {seed} and {skew}")
    return _flights(_copies(rows, years), seed, skew)


def weather(rows: int, *, years: int = YEARS) -> Iterator[pa.Table]:
    """Raw weather for `flights(rows, years=years)`: a chunk of 26,115 rows for each year that copies go into.

    Values are as measured, and each flight meets the weather that it met in the real year.

    Raises:
        ValueError: if an argument is out of bounds.
    """
    return _weather([copy for copy in _copies(rows, years) if copy.layer == 0])


def planes(rows: int, *, years: int = YEARS) -> Iterator[pa.Table]:
    """Raw aircraft for `flights(rows, years=years)`, in chunks of 3,322 rows: the real ones, then new ones.

    New tail numbers are the real ones with a number behind a dash. As in the source, 18 of 100 that fly are
    missing.

    Raises:
        ValueError: if an argument is out of bounds.
    """
    return _planes(len({copy.layer for copy in _copies(rows, years)}))


def span(rows: int, *, years: int = YEARS) -> tuple[int, int]:
    """First and last local year that `flights(rows, years=years)` may leave in, as `prep.flights` takes them.

    Raises:
        ValueError: if an argument is out of bounds.
    """
    last_days = [_FIRST_DAY + timedelta(days=copy.shift_days + _DAYS - 1) for copy in _copies(rows, years)]
    return _FIRST_DAY.year, max(last_days, default=_FIRST_DAY).year


@dataclass(frozen=True)
class _Copy:
    """The first `rows` flights of the year, some days later, with the flight and tail numbers of a layer."""

    number: int
    shift_days: int
    layer: int
    rows: int


def _copies(rows: int, years: int) -> list[_Copy]:
    if rows < 0 or years < 1:
        raise ValueError(f"rows must be 0 or more and years 1 or more, not {rows} and {years}")
    return [
        _Copy(number, _shift_days(number % years), number // years, min(_COPY_ROWS, rows - before))
        for number, before in enumerate(range(0, rows, _COPY_ROWS))
    ]


def _shift_days(years: int) -> int:
    """Whole weeks. Summer time always lasts 34 weeks, so it also ends on the same flights."""
    return (_summer_time(_FIRST_DAY.year + years) - _summer_time(_FIRST_DAY.year)).days


def _summer_time(year: int) -> date:
    """The day on which summer time begins in New York: the second Sunday of March."""
    eighth = date(year, 3, 8)
    return eighth + timedelta(days=6 - eighth.weekday())


def _flights(copies: list[_Copy], seed: int, skew: float) -> Iterator[pa.Table]:
    year = _first_weeks("flights")
    for copy in copies:
        # Drawn for an entire copy, then cut: the values of a row do not depend on how many rows follow.
        draws = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(copy.number,)))
        jitter_min = draws.integers(-JITTER_MIN, JITTER_MIN, size=_COPY_ROWS, endpoint=True)[: copy.rows]
        is_busy = draws.random(_COPY_ROWS)[: copy.rows] < skew
        table = _numbered(year[: copy.rows], copy.layer, is_busy)
        yield _days_later(_minutes_later(table, jitter_min), copy.shift_days)


def _weather(copies: list[_Copy]) -> Iterator[pa.Table]:
    year = _first_weeks("weather")
    for copy in copies:
        yield _days_later(year, copy.shift_days)


def _planes(layers: int) -> Iterator[pa.Table]:
    planes = _table("planes")
    for layer in range(layers):
        yield _with(planes, tailnum=_tails(planes["tailnum"], layer))


def _table(name: str) -> pa.Table:
    schema = pa.schema(list(source.COLUMNS[name].items()))
    return pa.Table.from_pandas(source.read(name), schema, preserve_index=False).replace_schema_metadata()


def _first_weeks(name: str) -> pa.Table:
    """The first 52 weeks of a file, in order of time."""
    table = _table(name)
    weeks = table.filter(pa.array(_local_days(table) < np.datetime64(_FIRST_DAY) + _DAYS))
    return weeks.sort_by("time_hour").combine_chunks()


def _numbered(table: pa.Table, layer: int, is_busy: NDArray[np.bool_]) -> pa.Table:
    """The flight numbers and tail numbers of a layer; some flights with the busy aircraft."""
    tails = _tails(table["tailnum"], layer)
    return _with(
        table,
        flight=call_function("add", [table["flight"], pa.scalar(layer * _FLIGHT_NUMBERS)]),
        tailnum=call_function("if_else", [pa.array(is_busy), pa.scalar(BUSY_TAIL), tails]),
    )


def _tails(tails: pa.ChunkedArray, layer: int) -> pa.ChunkedArray:
    if layer == 0:
        return tails
    return call_function("binary_join_element_wise", [tails, pa.scalar(str(layer)), pa.scalar("-")])


def _minutes_later(table: pa.Table, minutes: NDArray[np.int64]) -> pa.Table:
    """Delays and actual clocks, some minutes later."""
    return _with(
        table,
        dep_delay=call_function("add", [table["dep_delay"], pa.array(minutes)]),
        arr_delay=call_function("add", [table["arr_delay"], pa.array(minutes)]),
        dep_time=_clock_later(table["dep_time"], minutes),
        arr_time=_clock_later(table["arr_time"], minutes),
    )


def _clock_later(clock: pa.ChunkedArray, minutes: NDArray[np.int64]) -> pa.Array:
    """Clocks written as hhmm, some minutes later: from 1 to 2400, as in the source."""
    hhmm = clock.fill_null(0).to_numpy()
    clock_min = (hhmm // 100 * 60 + hhmm % 100 + minutes - 1) % DAY_MIN + 1
    return pa.array(clock_min // 60 * 100 + clock_min % 60, mask=clock.is_null().to_numpy())


def _days_later(table: pa.Table, days: int) -> pa.Table:
    """The local day and the instant, some days later. Clocks change on the same rows, so the hours stay."""
    day = _local_days(table) + days
    month = day.astype("datetime64[M]")
    return _with(
        table,
        year=pa.array(day.astype("datetime64[Y]").astype(np.int64) + 1970),
        month=pa.array(month.astype(np.int64) % 12 + 1),
        day=pa.array((day - month).astype(np.int64) + 1),
        time_hour=call_function("add", [table["time_hour"], pa.scalar(timedelta(days=days), pa.duration("us"))]),
    )


def _local_days(table: pa.Table) -> NDArray[np.datetime64]:
    year, month, day = (table[name].to_numpy() for name in ("year", "month", "day"))
    return ((year - 1970) * 12 + month - 1).astype("datetime64[M]").astype("datetime64[D]") + (day - 1)


def _with(table: pa.Table, **columns: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The table with new values in some of its columns, in the same order and of the same types."""
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
    return table
