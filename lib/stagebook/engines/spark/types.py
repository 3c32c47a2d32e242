"""Spark's types and the declared kinds: what may become what, and how wide a row is."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stagebook.engines.arrow import arrow_schema
from stagebook.engines.casting import lossy, wrong_columns
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
_WHOLE = {"tinyint", "smallint", "int", "bigint"}
_FLOATING = {"float", "double"}
_NUMBER = _WHOLE | _FLOATING
_BITS = {"tinyint": 8, Kind.INT16: 16, "smallint": 16, Kind.INT32: 32, "int": 32, Kind.INT64: 64, "bigint": 64}
_MAY_BECOME = {
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
    """The declared columns in declared order and type; NaN becomes null, comments travel with the columns.

    Where a number could lose something its values are looked at, in one aggregate over all such columns.

    Raises:
        SchemaViolation: a column is missing, too many, of a kind that cannot become the declared one, or
            with a value that the declared one cannot hold.
    """
    if sorted(frame.columns) != sorted(schema.column_names):
        raise wrong_columns(schema, frame.columns)
    found = {field.name: field.dataType.simpleString() for field in frame.schema.fields}
    comments = {field.name: field.metadata or {} for field in arrow_schema(schema)}
    columns = []
    for column in schema.columns:
        have = found[column.name]
        if have not in _MAY_BECOME[column.kind]:
            raise lossy(schema, column, have, "Spark casts these only with a loss, or with a guess")
        columns.append(_cast(column.name, have, column.kind, comments[column.name]))
    _refuse_loss(frame, found, schema)
    return frame.select(*columns)


def _refuse_loss(frame: "DataFrame", found: dict[str, str], schema: TableSchema) -> None:
    """Raises SchemaViolation for the first column with a value that its declared kind cannot hold."""
    from pyspark.sql import functions as F

    lost = {column: _lost(column.name, found[column.name], column.kind) for column in schema.columns}
    asked = [F.min(what).alias(column.name) for column, what in lost.items() if what is not None]
    if not asked:
        return
    example = frame.agg(*asked).toArrow().to_pylist()[0]
    for column in lost:
        if (value := example.get(column.name)) is not None:
            why = f"the value {value:,} does not fit without loss"
            raise lossy(schema, column, found[column.name], why)


def _lost(name: str, have: str, kind: Kind) -> Any:
    """The values that would not survive the cast, null for all others; None where every value does."""
    from pyspark.sql import functions as F

    value = F.col(quoted(name))
    if have == "bigint" and kind is Kind.FLOAT64:
        return F.when(~value.between(-(2**53), 2**53), value)
    bits = _BITS.get(kind)
    if bits is None or (have in _WHOLE and _BITS[have] <= bits) or have == "void":
        return None
    fits = value.between(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if have in _FLOATING:
        # 64-bit bounds are no floating numbers: beyond 2^53 whole ones are not told apart.
        fits = value.between(-(2.0 ** min(bits - 1, 53)), 2.0 ** min(bits - 1, 53) - 1) & (F.floor(value) == value)
        return F.when(~fits & ~F.isnan(value), value)
    return F.when(~fits, value)


def changed_columns(table: "pa.Schema", schema: TableSchema) -> list[str]:
    """Columns that the table has otherwise than they are declared; whether nulls are allowed does not count."""
    old = {field.name: field.type for field in table}
    new = {field.name: field.type for field in arrow_schema(schema)}
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def total_hash(columns: Sequence[str]) -> "Column":
    """`total`: the sum of the rows' hashes over all columns, the same in any order of the rows.

    Which values are null is hashed too: a null leaves Spark's hash as it is, so that a value which moves from
    one column to its neighbour would not be noticed.
    """
    from pyspark.sql import functions as F

    values = [F.col(quoted(name)) for name in columns]
    row = F.xxhash64(*values, *(F.isnull(value) for value in values))
    return F.sum(row.cast("decimal(38,0)")).cast("string").alias("total")


def quoted(name: str) -> str:
    """A column's name as SQL text."""
    return "`" + name.replace("`", "``") + "`"


def parse_bytes(text: str, default: int) -> int:
    """The number of bytes that Spark writes as `10485760`, `10485760b`, `256MB` or `1g`; `default` if it is none."""
    match = re.fullmatch(r"(\d+)([bkmgt]?)b?", text.strip().lower())
    return int(match[1]) * 1024 ** "bkmgt".index(match[2] or "b") if match else default


def _cast(name: str, have: str, kind: Kind, comment: dict[Any, Any]) -> Any:
    from pyspark.sql import functions as F

    value = F.col(quoted(name))
    if have in ("float", "double"):
        value = F.when(~F.isnan(value), value)
    cast = value if have == _SQL[kind] else value.cast(_SQL[kind])
    told = {key.decode(): value.decode() for key, value in comment.items()}
    return cast.alias(name, metadata=told)
