"""Spark's types and the declared kinds: which cast is allowed, and how to cast without loss."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stagebook.delta.arrow import arrow_schema
from stagebook.delta.casting import lossy_cast_error, wrong_columns_error
from stagebook.model.tables import Kind, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructType

_SQL = {
    Kind.STRING: "string",
    Kind.INT16: "smallint",
    Kind.INT32: "int",
    Kind.INT64: "bigint",
    Kind.FLOAT64: "double",
    Kind.BOOL: "boolean",
    Kind.DATE: "date",
    Kind.TIMESTAMP: "timestamp",
}
_INTEGRAL = {"tinyint", "smallint", "int", "bigint"}
_FLOATING = {"float", "double"}
_NUMBER = _INTEGRAL | _FLOATING
_BITS = {"tinyint": 8, Kind.INT16: 16, "smallint": 16, Kind.INT32: 32, "int": 32, Kind.INT64: 64, "bigint": 64}
_CASTABLE_TYPES = {
    Kind.STRING: {"string", "void"},
    Kind.INT16: _NUMBER | {"void"},
    Kind.INT32: _NUMBER | {"void"},
    Kind.INT64: _NUMBER | {"void"},
    Kind.FLOAT64: _NUMBER | {"void"},
    Kind.BOOL: {"boolean", "void"},
    Kind.DATE: {"date", "void"},
    Kind.TIMESTAMP: {"timestamp", "void"},
}


def to_arrow(schema: "StructType") -> "pa.Schema":
    """The Arrow schema of a Spark schema; instants are UTC."""
    from pyspark.sql.pandas.types import to_arrow_schema

    return to_arrow_schema(schema, timezone="UTC")


def from_arrow(schema: "pa.Schema") -> "StructType":
    """The Spark schema of an Arrow schema."""
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(schema)


def conform(frame: "DataFrame", schema: TableSchema) -> "DataFrame":
    """The declared columns in declared order and type; NaN becomes null, the columns keep their comments.

    Where a cast could lose something the values are checked, in one aggregate over all such columns.

    Raises:
        SchemaViolation: a column is missing or not declared, its type cannot become the declared one, or a value
            does not fit into it.
    """
    if sorted(frame.columns) != sorted(schema.column_names):
        raise wrong_columns_error(schema, frame.columns)
    spark_types = {field.name: field.dataType.simpleString() for field in frame.schema.fields}
    comments = {field.name: field.metadata or {} for field in arrow_schema(schema)}
    columns = []
    for column in schema.columns:
        spark_type = spark_types[column.name]
        if spark_type not in _CASTABLE_TYPES[column.kind]:
            raise lossy_cast_error(schema, column, spark_type, "Spark casts these only with a loss, or with a guess")
        columns.append(_cast(column.name, spark_type, column.kind, comments[column.name]))
    _refuse_lossy_casts(frame, spark_types, schema)
    return frame.select(*columns)


def _refuse_lossy_casts(frame: "DataFrame", spark_types: dict[str, str], schema: TableSchema) -> None:
    """Raise SchemaViolation for the first column with a value that its declared kind cannot hold."""
    from pyspark.sql import functions as F

    lossy_values = {
        column: _lossy_values(column.name, spark_types[column.name], column.kind) for column in schema.columns
    }
    smallest = [F.min(values).alias(column.name) for column, values in lossy_values.items() if values is not None]
    if not smallest:
        return
    examples = frame.agg(*smallest).toArrow().to_pylist()[0]
    for column in lossy_values:
        if (value := examples.get(column.name)) is not None:
            reason = f"the value {value:,} does not fit without loss"
            raise lossy_cast_error(schema, column, spark_types[column.name], reason)


def _lossy_values(name: str, spark_type: str, kind: Kind) -> Any:
    """The values that the cast would change, null for all others; None where it changes none."""
    from pyspark.sql import functions as F

    value = F.col(quoted(name))
    if spark_type == "bigint" and kind is Kind.FLOAT64:
        return F.when(~value.between(-(2**53), 2**53), value)
    bits = _BITS.get(kind)
    if bits is None or (spark_type in _INTEGRAL and _BITS[spark_type] <= bits) or spark_type == "void":
        return None
    fits = value.between(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if spark_type in _FLOATING:
        # 64-bit bounds are not exact as floating numbers, which hold every integer only up to 2^53.
        fits = value.between(-(2.0 ** min(bits - 1, 53)), 2.0 ** min(bits - 1, 53) - 1) & (F.floor(value) == value)
        return F.when(~fits & ~F.isnan(value), value)
    return F.when(~fits, value)


def changed_columns(table: "pa.Schema", schema: TableSchema) -> list[str]:
    """Columns whose type in the table differs from the declared one; whether nulls are allowed does not count."""
    stored = {field.name: field.type for field in table}
    declared = {field.name: field.type for field in arrow_schema(schema)}
    return sorted(name for name in stored.keys() | declared.keys() if stored.get(name) != declared.get(name))


def total_hash(columns: Sequence[str]) -> "Column":
    """The column `total`: the sum of the rows' hashes over all columns, equal for any order of the rows.

    The hash covers which values are null, too: Spark's hash skips nulls, and would not notice a value that moves
    from one column to its neighbour.
    """
    from pyspark.sql import functions as F

    values = [F.col(quoted(name)) for name in columns]
    row = F.xxhash64(*values, *(F.isnull(value) for value in values))
    return F.sum(row.cast("decimal(38,0)")).cast("string").alias("total")


def quoted(name: str) -> str:
    """A column's name as SQL text."""
    return "`" + name.replace("`", "``") + "`"


def parse_bytes(text: str, default: int) -> int:
    """Bytes from Spark's notation (`10485760`, `10485760b`, `256MB`, `1g`); `default` for any other text."""
    match = re.fullmatch(r"(\d+)([bkmgt]?)b?", text.strip().lower())
    return int(match[1]) * 1024 ** "bkmgt".index(match[2] or "b") if match else default


def _cast(name: str, spark_type: str, kind: Kind, comment: dict[Any, Any]) -> Any:
    from pyspark.sql import functions as F

    value = F.col(quoted(name))
    if spark_type in _FLOATING:
        value = F.when(~F.isnan(value), value)
    cast = value if spark_type == _SQL[kind] else value.cast(_SQL[kind])
    metadata = {key.decode(): value.decode() for key, value in comment.items()}
    return cast.alias(name, metadata=metadata)
