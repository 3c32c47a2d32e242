"""Spark's types and the declared kinds: which cast is allowed, and how to cast without loss."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from stagebook.delta.arrow import arrow_schema
from stagebook.delta.casting import (
    EXACT_INTEGERS,
    lossy_cast_problem,
    lossy_casts_error,
    refusal,
    rounded_integer_reason,
    wrong_columns_error,
)
from stagebook.model.kinds import INTEGERS, AnyKind, DecimalKind, Kind
from stagebook.model.tables import Coercion, TableSchema
from stagebook.spark.coercion import coerced
from stagebook.spark.names import quoted

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructType

_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
_VARIANT = "variant"


def to_arrow(schema: "StructType") -> "pa.Schema":
    """The Arrow schema of a Spark schema; instants are UTC. What Arrow has no type for becomes an empty struct."""
    import pyarrow as pa
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import to_arrow_schema
    from pyspark.sql.types import StructType

    fields = []
    for field in schema.fields:
        try:
            fields.append(to_arrow_schema(StructType([field]), timezone="UTC").field(0))
        except PySparkException:
            fields.append(pa.field(field.name, pa.struct([]), field.nullable))
    return pa.schema(fields)


def from_arrow(schema: "pa.Schema") -> "StructType":
    """The Spark schema of an Arrow schema; times without a zone stay what they are."""
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(schema, prefer_timestamp_ntz=True)


def conform(frame: "DataFrame", schema: TableSchema, coercion: Coercion | None = None) -> "DataFrame":
    """The declared columns in declared order and type; NaN becomes null, the columns keep their comments.

    Where a cast could lose something the values are checked, in one aggregate over all such columns.

    Raises:
        SchemaViolation: a column is missing or not declared, its type cannot become the declared one, or a value
            does not fit into it.
    """
    from pyspark.sql import functions as F

    if sorted(frame.columns) != sorted(schema.column_names):
        raise wrong_columns_error(schema, frame.columns)
    frame_types = {field.name: field.type for field in to_arrow(frame.schema)}
    values = {name: _without_nan(name, frame_types[name]) for name in schema.column_names}
    actual = frame_types
    if coercion is not None:
        columns = {column.name: column for column in schema.columns}
        values = {name: coerced(value, columns[name], frame_types[name], coercion) for name, value in values.items()}
        converted = frame.select([value.alias(name) for name, value in values.items()])
        actual = {field.name: field.type for field in to_arrow(converted.schema)}
    if problems := _lossy_casts(frame, values, frame_types, actual, schema):
        raise lossy_casts_error(schema, problems)
    targets = {field.name: field for field in from_arrow(arrow_schema(schema)).fields}
    cast_columns = []
    for column, declared in zip(schema.columns, arrow_schema(schema), strict=True):
        # What cannot be cast has no values, else it would have been refused.
        value = F.lit(None) if refusal(actual[column.name], column.kind) else values[column.name]
        cast = value if actual[column.name] == declared.type else value.cast(targets[column.name].dataType)
        metadata = {key.decode(): text.decode() for key, text in (declared.metadata or {}).items()}
        cast_columns.append(cast.alias(column.name, metadata=metadata))
    return frame.select(*cast_columns)


def _lossy_casts(
    frame: "DataFrame",
    values: "Mapping[str, Column]",
    frame_types: "Mapping[str, pa.DataType]",
    actual: "Mapping[str, pa.DataType]",
    schema: TableSchema,
) -> list[str]:
    """What the columns are that hold a value which their declared kinds cannot hold, in one aggregate.

    Args:
        values: the columns to be cast, converted where the write allows that.
        frame_types: their types in the frame.
        actual: their types after the conversion.
    """
    from pyspark.sql import functions as F

    refusals = {column.name: refusal(actual[column.name], column.kind) for column in schema.columns}
    aggregates: list[Column] = []
    for column in schema.columns:
        name, value = column.name, values[column.name]
        if refusals[name]:
            aggregates.append(F.count(value).alias(f"refused {name}"))
        elif (lossy := _lossy_values(value, actual[name], column.kind)) is not None:
            aggregates.append(F.min(lossy).alias(f"lossy {name}"))
        if actual[name] != frame_types[name]:
            original = _without_nan(name, frame_types[name])
            lost = F.when(original.isNotNull() & value.isNull(), original.cast("string"))
            aggregates.append(F.min(lost).alias(f"lost {name}"))
    examples = frame.agg(*aggregates).toArrow().to_pylist()[0] if aggregates else {}
    problems = []
    for column in schema.columns:
        name, reason = column.name, None
        if examples.get(f"refused {name}"):
            reason = refusals[name]
        elif (lost := examples.get(f"lost {name}")) is not None:
            reason = f"the value {lost} cannot be converted"
        elif (value := examples.get(f"lossy {name}")) is not None:
            reason = _lossy_reason(value, actual[name], column.kind)
        if reason:
            problems.append(lossy_cast_problem(column, frame_types[name], reason))
    return problems


def _lossy_reason(value: Any, actual: "pa.DataType", kind: AnyKind) -> str:
    limit = 2**24 if str(actual) == "float" else 2**53
    if isinstance(value, float) and kind in INTEGERS and value.is_integer() and limit <= abs(value) < 2**63:
        return rounded_integer_reason(value, limit)
    text = f"{value:,}" if isinstance(value, int | float | Decimal) else str(value)
    return f"the value {text} does not fit without loss"


def _without_nan(name: str, actual: "pa.DataType") -> "Column":
    from pyarrow import types
    from pyspark.sql import functions as F

    value = F.col(quoted(name))
    return F.when(~F.isnan(value), value) if types.is_floating(actual) else value


def _lossy_values(value: "Column", actual: "pa.DataType", kind: AnyKind) -> "Column | None":
    """The values that the cast would change, null for all others; None where it changes none."""
    from pyarrow import types
    from pyspark.sql import functions as F

    match kind:
        case Kind.FLOAT32 if types.is_float64(actual):
            return F.when(~F.isnan(value) & (value.cast("float").cast("double") != value), value)
        case Kind.FLOAT32 | Kind.FLOAT64 if types.is_integer(actual):
            limit = EXACT_INTEGERS[kind]
            return F.when(~value.between(-limit, limit), value) if 2 ** (actual.bit_width - 1) > limit else None
        case DecimalKind() if types.is_decimal(actual) or types.is_integer(actual):
            cast = value.try_cast(str(kind))
            return F.when(value.isNotNull() & (cast.isNull() | (cast != value)), value)
        case Kind.DATE if types.is_timestamp(actual):
            return F.when(F.date_trunc("day", value) != value, value)
        case Kind() if kind in INTEGERS and types.is_floating(actual):
            # From these limits on, a float is the neighbour of integers that it cannot hold.
            limit = 2.0 ** min(_BITS[kind] - 1, 24 if types.is_float32(actual) else 53)
            exact = (F.abs(value) < limit) | (F.lit(limit < 2**24) & (value == -limit))
            return F.when(~(exact & (F.floor(value) == value)) & ~F.isnan(value), value)
        case Kind() if kind in INTEGERS and _BITS.get(str(actual), 0) > _BITS[kind]:
            bits = _BITS[kind]
            return F.when(~value.between(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1), value)
        case _:
            return None


def total_hash(schema: "StructType") -> "Column":
    """The column `total`: the sum of the rows' hashes over all columns, equal for any order of the rows.

    The hash covers which values are null, too: Spark's hash skips nulls, and would not notice a value that moves
    from one column to its neighbour, or within a list. It takes no maps at all: nested values count as JSON.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import ArrayType, MapType, StructType

    columns = [F.col(quoted(field.name)) for field in schema.fields]
    flat = {"ignoreNullFields": "false"}
    values = [
        F.to_json(F.struct(column), flat)
        if isinstance(field.dataType, ArrayType | MapType | StructType) or field.dataType.typeName() == _VARIANT
        else column
        for field, column in zip(schema.fields, columns, strict=True)
    ]
    row = F.xxhash64(*values, *(F.isnull(column) for column in columns))
    return F.sum(row.cast("decimal(38,0)")).cast("string").alias("total")


def parse_bytes(text: str, default: int) -> int:
    """Bytes from Spark's notation (`10485760`, `10485760b`, `256MB`, `1g`); `default` for any other text."""
    match = re.fullmatch(r"(\d+)([bkmgt]?)b?", text.strip().lower())
    return int(match[1]) * 1024 ** "bkmgt".index(match[2] or "b") if match else default
