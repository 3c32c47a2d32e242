"""Casts a frame's columns to their declared kinds, where that loses nothing."""

from typing import TYPE_CHECKING

from stagebook.delta.arrow import arrow_schema, arrow_type
from stagebook.errors import SchemaViolation, did_you_mean
from stagebook.model.tables import Column, Kind, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa


def cast(table: "pa.Table", schema: TableSchema) -> "pa.Table":
    """The declared columns of `table`, in declared order and type. NaN becomes null.

    All result columns are nullable; the write rules decide whether nulls are allowed.

    Raises:
        SchemaViolation: a column is missing, not declared, or cannot be cast without loss.
    """
    import pyarrow as pa

    if sorted(table.column_names) != sorted(schema.column_names):
        raise wrong_columns_error(schema, table.column_names)
    columns = [_cast(table[column.name], column, schema) for column in schema.columns]
    fields = [field.with_nullable(True) for field in arrow_schema(schema)]
    return pa.table(columns, schema=pa.schema(fields))


def _cast(values: "pa.ChunkedArray", column: Column, schema: TableSchema) -> "pa.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(values.type):
        values = pc.call_function(
            "if_else", [pc.call_function("is_nan", [values]), pa.scalar(None, values.type), values]
        )
    if reason := _refusal(values.type, column.kind):
        raise lossy_cast_error(schema, column, values.type, reason)
    target = arrow_type(column.kind)
    try:
        if pa.types.is_timestamp(values.type) and column.kind is Kind.DATE:
            return _days(values)
        return values.cast(target, safe=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as fault:
        raise lossy_cast_error(schema, column, values.type, str(fault).splitlines()[0][:200]) from None


def _refusal(actual: "pa.DataType", kind: Kind) -> str | None:
    """Why this type may never be cast to this kind, though Arrow would do it; None where it may."""
    from pyarrow import types

    if types.is_null(actual):
        return None
    match kind:
        case Kind.STRING:
            fits = types.is_string(actual) or types.is_large_string(actual)
        case Kind.INT16 | Kind.INT32 | Kind.INT64 | Kind.FLOAT64:
            fits = types.is_integer(actual) or types.is_floating(actual)
        case Kind.BOOL:
            fits = types.is_boolean(actual)
        case Kind.DATE:
            fits = types.is_date(actual) or (types.is_timestamp(actual) and actual.tz is None)
        case Kind.TIMESTAMP:
            if types.is_timestamp(actual) and actual.tz is None:
                return 'a time without a zone is no instant; use .dt.tz_localize("UTC"), or the zone it was taken in'
            fits = types.is_timestamp(actual)
    return None if fits else "these are different kinds of value"


def _days(values: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

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


def lossy_cast_error(schema: TableSchema, column: Column, actual: object, reason: str) -> SchemaViolation:
    """The error for a column that cannot become the declared kind."""
    return SchemaViolation.of(
        schema.name,
        f"column '{column.name}' is declared as {column.kind.value}, but the frame has {actual}: {reason}.",
        todo="Convert the column where it is made, or change its kind in the table's schema.",
    )
