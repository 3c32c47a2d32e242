"""Casts a frame's columns to their declared kinds, where that loses nothing."""

from typing import TYPE_CHECKING

from stagebook.delta.arrow import arrow_schema, arrow_type, kind_of
from stagebook.delta.coercion import coerced
from stagebook.errors import SchemaViolation, did_you_mean
from stagebook.model.kinds import INTEGERS, AnyKind, DecimalKind, Kind, ListKind, MapKind, StructKind
from stagebook.model.tables import Coercion, Column, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa


def cast(table: "pa.Table", schema: TableSchema, coercion: Coercion | None = None) -> "pa.Table":
    """The declared columns of `table`, in declared order and type. NaN becomes null.

    All result columns are nullable; the write rules decide whether nulls are allowed.

    Args:
        coercion: how to convert what is no loss but a guess, where the caller allows it.
    Raises:
        SchemaViolation: a column is missing, not declared, or cannot be cast without loss.
    """
    import pyarrow as pa

    if sorted(table.column_names) != sorted(schema.column_names):
        raise wrong_columns_error(schema, table.column_names)
    columns, problems = [], []
    for column in schema.columns:
        try:
            columns.append(_cast(table[column.name], column, coercion))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as fault:
            reason = str(fault).splitlines()[0][:300]
            problems.append(lossy_cast_problem(column, table.schema.field(column.name).type, reason))
    if problems:
        raise lossy_casts_error(schema, problems)
    fields = [field.with_nullable(True) for field in arrow_schema(schema)]
    return pa.table(columns, schema=pa.schema(fields))


def _cast(values: "pa.ChunkedArray", column: Column, coercion: Coercion | None) -> "pa.ChunkedArray":
    """The values as the column's kind.

    Raises:
        ArrowInvalid, ArrowNotImplementedError: that would lose something; with the reason.
    """
    import pyarrow as pa

    target = arrow_type(column.kind)
    values = _without_nan(values)
    if values.null_count == len(values):  # what an empty column would hold, nothing tells
        return pa.chunked_array([pa.nulls(len(values), target)])
    if coercion is not None:
        values = coerced(values, column, coercion)
    if reason := refusal(values.type, column.kind):
        raise pa.ArrowInvalid(reason)
    cast = _days(values) if column.kind is Kind.DATE else _number(values, column.kind).cast(target, safe=True)
    if problem := _lossy_row(values, cast, column.kind):
        raise pa.ArrowInvalid(problem)
    return cast


def _without_nan(values: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(values.type):
        return values
    return pc.call_function("if_else", [pc.call_function("is_nan", [values]), pa.scalar(None, values.type), values])


def refusal(actual: "pa.DataType", kind: AnyKind) -> str | None:
    """Why this type may never be cast to this kind, though an engine would do it; None where it may."""
    from pyarrow import types

    if types.is_null(actual):
        return None
    if types.is_timestamp(actual) and kind is Kind.TIMESTAMP and actual.tz is None:
        return (
            'a time without a zone is no instant; use .dt.tz_localize("UTC"), or the zone it was taken in, or write '
            "with coerce=True, zone=..."
        )
    if types.is_timestamp(actual) and kind is Kind.TIMESTAMP_NTZ and actual.tz is not None:
        return "an instant shows another time in each zone; convert it and use .dt.tz_localize(None)"
    return None if _fits(actual, kind) else "these are different kinds of value"


def _fits(actual: "pa.DataType", kind: AnyKind) -> bool:
    from pyarrow import types

    match kind:
        case Kind.STRING:
            return types.is_string(actual) or types.is_large_string(actual)
        case Kind.BINARY:
            return types.is_binary(actual) or types.is_large_binary(actual)
        case Kind.BOOL:
            return types.is_boolean(actual)
        case Kind.DATE:
            return types.is_date(actual) or (types.is_timestamp(actual) and actual.tz is None)
        case Kind.TIMESTAMP:
            return types.is_timestamp(actual) and actual.tz is not None
        case Kind.TIMESTAMP_NTZ:
            return types.is_timestamp(actual) and actual.tz is None
        case DecimalKind():
            return types.is_decimal(actual) or types.is_integer(actual)
        case ListKind() | StructKind() | MapKind():
            return _widens(kind_of(actual), kind)
        case _:
            return types.is_integer(actual) or types.is_floating(actual)


def _widens(actual: AnyKind | None, kind: AnyKind) -> bool:
    """Whether every value of one kind is one of the other: inside of lists and structs no row is checked."""
    match actual, kind:
        case ListKind(element), ListKind(wanted):
            return _widens(element, wanted)
        case MapKind(key, value), MapKind(wanted_key, wanted):
            return key == wanted_key and _widens(value, wanted)
        case StructKind(fields), StructKind(wanted):
            names, wanted_names = [name for name, _ in fields], [name for name, _ in wanted]
            return names == wanted_names and all(
                _widens(kind, other) for (_, kind), (_, other) in zip(fields, wanted, strict=True)
            )
        case _:
            return actual == kind or kind in WIDER.get(actual, ())


WIDER: dict[AnyKind | None, set[AnyKind]] = {
    Kind.INT8: {Kind.INT16, Kind.INT32, Kind.INT64, Kind.FLOAT32, Kind.FLOAT64},
    Kind.INT16: {Kind.INT32, Kind.INT64, Kind.FLOAT32, Kind.FLOAT64},
    Kind.INT32: {Kind.INT64, Kind.FLOAT64},
    Kind.FLOAT32: {Kind.FLOAT64},
}
"""Kind → those that hold all of its values."""

EXACT_INTEGERS = {Kind.FLOAT32: 2**24, Kind.FLOAT64: 2**53}
"""Below this a float holds every integer; from here on it may be the neighbour of the one that was meant."""

_DAYS = (-719_162, 2_932_896)
_MICROSECONDS = (_DAYS[0] * 86_400_000_000, (_DAYS[1] + 1) * 86_400_000_000 - 1)
_CALENDAR: dict[AnyKind, tuple[int, int]] = {
    Kind.DATE: _DAYS,
    Kind.TIMESTAMP: _MICROSECONDS,
    Kind.TIMESTAMP_NTZ: _MICROSECONDS,
}
"""The first and the last value of the years 1 to 9999, counted from 1970."""


def rounded_integer_reason(value: float, limit: int, place: str = "") -> str:
    """The reason to refuse an integer that a float column holds and may have rounded."""
    return (
        f"{place}{value:,.0f} is a float, which holds every integer only below {limit:,}, so that it may be rounded "
        'already; keep integers with gaps as .astype("Int64"), polars or Arrow integers'
    )


def _lossy_row(values: "pa.ChunkedArray", cast: "pa.ChunkedArray", kind: AnyKind) -> str | None:
    """What the first value that the cast would not keep is; None where it keeps all. Arrow itself checks the rest."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(values.type) and kind in INTEGERS:
        limit = 2**53 if pa.types.is_float64(values.type) else 2**24
        magnitude = pc.call_function("abs", [values.cast(pa.float64())])
        row = _first_row(pc.call_function("greater_equal", [magnitude, pa.scalar(float(limit))]))
        return None if row is None else rounded_integer_reason(values[row].as_py(), limit, f"row {row}: ")
    if pa.types.is_float64(values.type) and kind is Kind.FLOAT32:
        row = _first_row(pc.call_function("not_equal", [cast.cast(pa.float64()), values]))
        return None if row is None else f"row {row}: {values[row].as_py()!r} is no float32; round it where it is made"
    if kind in _CALENDAR:
        counts = cast.cast(pa.int32() if kind is Kind.DATE else pa.int64())
        first, last = _CALENDAR[kind]
        outside = [pc.call_function("less", [counts, first]), pc.call_function("greater", [counts, last])]
        row = _first_row(pc.call_function("or_kleene", outside))
        return None if row is None else f"row {row} is outside of the years 1 to 9999, which all engines keep"
    return None


def _number(values: "pa.ChunkedArray", kind: AnyKind) -> "pa.ChunkedArray":
    """Integers as wide decimals, where they are to become decimals: Arrow asks for room for any integer otherwise."""
    import pyarrow as pa

    if isinstance(kind, DecimalKind) and pa.types.is_integer(values.type):
        return values.cast(pa.decimal256(76, kind.scale))
    return values


def _first_row(matches: "pa.ChunkedArray") -> int | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    row = pc.call_function("index", [matches], pc.IndexOptions(pa.scalar(True))).as_py()
    return None if row < 0 else row


def _days(values: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_timestamp(values.type):
        return values.cast(pa.date32(), safe=True)
    days = values.cast(pa.date32(), safe=False)
    at_midnight = pc.call_function("equal", [days.cast(values.type), values])
    if pc.call_function("all", [at_midnight]).as_py() is False:
        raise pa.ArrowInvalid("some values have a time of day")
    return days


def wrong_columns_error(schema: TableSchema, present: list[str]) -> SchemaViolation:
    """The error for a frame whose columns are not the declared ones."""
    names = schema.column_names
    missing = [name for name in names if name not in present]
    extra = [name + did_you_mean(name, missing) for name in dict.fromkeys(present) if name not in names]
    twice = sorted({name for name in present if present.count(name) > 1})
    problems = {"missing": missing, "not declared": extra, "more than once": twice}
    return SchemaViolation.of(
        schema.name,
        "the frame does not have exactly the declared columns.",
        *(f"{problem}: {', '.join(columns)}" for problem, columns in problems.items() if columns),
        todo="Select the declared columns, or declare the others in the table's schema.",
    )


def lossy_cast_problem(column: Column, actual: object, reason: str) -> str:
    """That a column cannot become the declared kind, as a part of an error's text."""
    return f"column '{column.name}' is declared as {column.kind}, but the frame has {actual}: {reason}."


def lossy_casts_error(schema: TableSchema, problems: list[str]) -> SchemaViolation:
    """The error for all columns that cannot become their declared kinds."""
    todo = "Convert the column where it is made, or change its kind in the table's schema."
    if len(problems) == 1:
        return SchemaViolation.of(schema.name, problems[0], todo=todo)
    return SchemaViolation.of(schema.name, f"{len(problems)} columns do not fit their types.", *problems, todo=todo)
