"""Bringing a frame's columns to their declared kinds, where that loses nothing."""

from typing import TYPE_CHECKING

from stagebook.engines.arrow import arrow_schema, arrow_type
from stagebook.errors import SchemaViolation, did_you_mean
from stagebook.model.tables import Column, Kind, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa


def cast(table: "pa.Table", schema: TableSchema) -> "pa.Table":
    """The declared columns of `table`, in declared order and type. NaN becomes null.

    The nullability of the result is that of the data; whether nulls are allowed is for the rules to say.

    Raises:
        SchemaViolation: a column is missing, too many, or cannot be cast without loss.
    """
    import pyarrow as pa

    if sorted(table.column_names) != sorted(schema.column_names):
        raise wrong_columns(schema, table.column_names)
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
    if why := _refusal(values.type, column.kind):
        raise lossy(schema, column, values.type, why)
    target = arrow_type(column.kind)
    try:
        if pa.types.is_timestamp(values.type) and column.kind is Kind.DATE:
            return _days(values)
        return values.cast(target, safe=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as fault:
        raise lossy(schema, column, values.type, str(fault).splitlines()[0][:200]) from None


def _refusal(found: "pa.DataType", kind: Kind) -> str | None:
    """Why this type may never become this kind, though Arrow would do it; None where it may."""
    from pyarrow import types

    if types.is_null(found):
        return None
    match kind:
        case Kind.STRING:
            fits = types.is_string(found) or types.is_large_string(found)
        case Kind.INT16 | Kind.INT32 | Kind.INT64 | Kind.FLOAT64:
            fits = types.is_integer(found) or types.is_floating(found)
        case Kind.BOOL:
            fits = types.is_boolean(found)
        case Kind.DATE:
            fits = types.is_date(found) or (types.is_timestamp(found) and found.tz is None)
        case Kind.TIMESTAMP:
            if types.is_timestamp(found) and found.tz is None:
                return 'a time without a zone is no instant; use .dt.tz_localize("UTC"), or the zone it was taken in'
            fits = types.is_timestamp(found)
    return None if fits else "these are different kinds of value"


def _days(values: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

    days = values.cast(pa.date32(), safe=False)
    whole = pc.call_function("equal", [days.cast(values.type), values])
    if pc.call_function("all", [whole]).as_py() is False:
        raise pa.ArrowInvalid("some values have a time of day")
    return days


def wrong_columns(schema: TableSchema, present: list[str]) -> SchemaViolation:
    """The error for a frame whose columns are not the declared ones."""
    names = schema.column_names
    missing = [name for name in names if name not in present]
    extra = [name + did_you_mean(name, missing) for name in dict.fromkeys(present) if name not in names]
    twice = sorted({name for name in present if present.count(name) > 1})
    found = {"missing": missing, "not declared": extra, "more than once": twice}
    return SchemaViolation.of(
        schema.name,
        "the frame does not have exactly the declared columns.",
        *(f"{what}: {', '.join(columns)}" for what, columns in found.items() if columns),
        todo="Select the declared columns, or declare the others in the table's schema.",
    )


def lossy(schema: TableSchema, column: Column, found: object, why: str) -> SchemaViolation:
    """The error for a column that cannot become the declared kind."""
    return SchemaViolation.of(
        schema.name,
        f"column '{column.name}' is declared as {column.kind.value}, but the frame has {found}: {why}.",
        todo="Convert the column where it is made, or change its kind in the table's schema.",
    )
