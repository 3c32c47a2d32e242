"""Declared column kinds as Arrow types, and local data as Arrow tables."""

from typing import TYPE_CHECKING, Any

from stagebook.model.tables import Column, Kind, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_type(kind: Kind) -> "pa.DataType":
    """The Arrow type of a kind. Instants are microseconds in UTC, which keeps a table at protocol (1, 2)."""
    import pyarrow as pa

    match kind:
        case Kind.STRING:
            return pa.string()
        case Kind.INT16:
            return pa.int16()
        case Kind.INT32:
            return pa.int32()
        case Kind.INT64:
            return pa.int64()
        case Kind.FLOAT64:
            return pa.float64()
        case Kind.BOOL:
            return pa.bool_()
        case Kind.DATE:
            return pa.date32()
        case Kind.TIMESTAMP:
            return pa.timestamp("us", tz="UTC")


def arrow_schema(schema: TableSchema) -> "pa.Schema":
    """The Arrow schema of a table, with descriptions and units as column comments."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(column.name, arrow_type(column.kind), column.nullable, metadata={"comment": _comment(column)})
            for column in schema.columns
        ]
    )


def arrow_table(frame: Any) -> "pa.Table":
    """A pandas frame without its index, or anything with Arrow's stream protocol, as an Arrow table."""
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return plain(frame)
    if hasattr(frame, "__dataframe__") and hasattr(frame, "iloc"):
        return plain(pa.Table.from_pandas(frame, preserve_index=False))
    return plain(read_all(frame))


def read_all(stream: Any) -> "pa.Table":
    """Anything with Arrow's stream protocol as a table; `pa.table` would import pandas to look for a frame."""
    import pyarrow as pa

    return pa.RecordBatchReader.from_stream(stream).read_all()


def plain(table: "pa.Table") -> "pa.Table":
    """The table with dictionaries, views and large strings as ordinary columns, without metadata."""
    import pyarrow as pa

    fields = [pa.field(f.name, _plain_type(f.type), f.nullable) for f in table.schema]
    return table.cast(pa.schema(fields))


def without_dictionaries(table: "pa.Table") -> "pa.Table":
    """The table with dictionaries as ordinary columns. Views stay: polars accepts them."""
    import pyarrow as pa

    fields = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields))


def _plain_type(kind: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_binary_view(kind) or pa.types.is_large_binary(kind):
        return pa.binary()
    return kind


def _comment(column: Column) -> str:
    return f"{column.description} [{column.unit}]" if column.unit else column.description
