"""Converts columns to their declared kinds where that is a choice, and no mere cast: only if a write allows it."""

from typing import TYPE_CHECKING

from stagebook.delta.arrow import arrow_type
from stagebook.model.kinds import FLOATS, INTEGERS, DecimalKind, Kind
from stagebook.model.tables import Coercion, Column

if TYPE_CHECKING:
    import pyarrow as pa

MICROSECONDS = {"us": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
"""Units of a column that a duration can be counted in."""

FROM_TEXT = INTEGERS | FLOATS | {Kind.BOOL, Kind.DATE, Kind.TIMESTAMP_NTZ}
"""Kinds that text is read as, in the form in which ISO 8601 and JSON write them."""

NO_ZONE = "a time without a zone is no instant; name the zone it was taken in: write(..., coerce=True, zone='UTC')"


def coerced(values: "pa.ChunkedArray", column: Column, coercion: Coercion) -> "pa.ChunkedArray":
    """The values in a type that can be cast to the column's kind without loss; unchanged where no rule fits.

    Raises:
        ArrowInvalid: a value cannot be converted, or the zone or the column's unit is missing; with the reason.
    """
    from pyarrow import types

    actual, kind = values.type, column.kind
    if str(actual) == "extension<arrow.uuid>" and kind is Kind.STRING:
        return _uuid_texts(values)
    if types.is_timestamp(actual) and (actual.tz is None) and kind is Kind.TIMESTAMP:
        return _localized(values, coercion)
    if types.is_timestamp(actual) and (actual.tz is not None) and kind is Kind.TIMESTAMP_NTZ:
        return _wall_clock(values, coercion)
    if types.is_duration(actual) and kind in INTEGERS | FLOATS:
        return _counted(values, column)
    if (types.is_integer(actual) or types.is_floating(actual)) and kind is Kind.BOOL:
        return _truth(values)
    if types.is_floating(actual) and kind is Kind.FLOAT32:
        return values.cast(arrow_type(kind), safe=False)
    if types.is_string(actual) and (kind in FROM_TEXT or isinstance(kind, DecimalKind)):
        return values.cast(arrow_type(kind))
    return values


def _uuid_texts(values: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa

    return pa.chunked_array(
        [pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.string())]
    )


def _localized(values: "pa.ChunkedArray", coercion: Coercion) -> "pa.ChunkedArray":
    """Instants; a time that a clock shows twice or never is refused by Arrow."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if coercion.zone is None:
        raise pa.ArrowInvalid(NO_ZONE)
    return pc.call_function("assume_timezone", [values], pc.AssumeTimezoneOptions(coercion.zone))


def _wall_clock(values: "pa.ChunkedArray", coercion: Coercion) -> "pa.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

    if coercion.zone is None:
        raise pa.ArrowInvalid(
            "an instant shows another time in each zone; name one: write(..., coerce=True, zone='UTC')"
        )
    in_zone = values.cast(pa.timestamp(values.type.unit, coercion.zone))
    return pc.call_function("local_timestamp", [in_zone])


def _counted(values: "pa.ChunkedArray", column: Column) -> "pa.ChunkedArray":
    """Durations as numbers in the unit of the column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.unit not in MICROSECONDS:
        raise pa.ArrowInvalid(
            f"a duration needs a unit to be counted in; give the column one of {', '.join(MICROSECONDS)}"
        )
    counts, each = values.cast(pa.duration("us")).cast(pa.int64()), MICROSECONDS[column.unit]
    if column.kind in FLOATS:
        return pc.call_function("divide", [counts.cast(pa.float64()), pa.scalar(float(each))])
    whole = pc.call_function("divide", [counts, pa.scalar(each)])
    if (
        pc.call_function(
            "all", [pc.call_function("equal", [pc.call_function("multiply", [whole, pa.scalar(each)]), counts])]
        ).as_py()
        is False
    ):
        raise pa.ArrowInvalid(f"some durations are no whole number of {column.unit}")
    return whole


def _truth(values: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = values.cast(pa.float64())
    is_bit = pc.call_function("or", [pc.call_function("equal", [numbers, pa.scalar(bit)]) for bit in (0.0, 1.0)])
    if pc.call_function("all", [is_bit]).as_py() is False:
        raise pa.ArrowInvalid("only 0 and 1 become false and true")
    return pc.call_function("equal", [numbers, pa.scalar(1.0)])
