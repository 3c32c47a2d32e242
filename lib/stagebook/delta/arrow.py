"""Declared column kinds as Arrow types, and local data as Arrow tables."""

from typing import TYPE_CHECKING, Any

from stagebook.errors import BadFrame
from stagebook.model.kinds import INTEGERS, AnyKind, DecimalKind, Kind, ListKind, MapKind, StructKind
from stagebook.model.tables import Column, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_type(kind: AnyKind) -> "pa.DataType":
    """The Arrow type of a kind. Instants are microseconds in UTC, which keeps a table at protocol (1, 2)."""
    import pyarrow as pa

    match kind:
        case DecimalKind(precision, scale):
            return pa.decimal128(precision, scale)
        case ListKind(element):
            return pa.list_(pa.field("element", arrow_type(element)))
        case StructKind(fields):
            return pa.struct([pa.field(name, arrow_type(field)) for name, field in fields])
        case MapKind(key, value):
            return pa.map_(arrow_type(key), arrow_type(value))
        case Kind.TIMESTAMP:
            return pa.timestamp("us", tz="UTC")
        case Kind.TIMESTAMP_NTZ:
            return pa.timestamp("us")
        case Kind.DATE:
            return pa.date32()
        case _:
            return pa.type_for_alias(kind.value)


def kind_of(actual: "pa.DataType") -> AnyKind | None:
    """The kind that keeps all values of an Arrow type; None where no kind does (times of day, durations, unions)."""
    from pyarrow import types

    actual = _plain_type(actual)
    if types.is_decimal(actual) and actual.precision <= 38 and 0 <= actual.scale <= actual.precision:
        return DecimalKind(actual.precision, actual.scale)
    if types.is_timestamp(actual):
        return Kind.TIMESTAMP_NTZ if actual.tz is None else Kind.TIMESTAMP
    if types.is_list(actual):
        element = kind_of(actual.value_type)
        return None if element is None else ListKind(element)
    if types.is_map(actual):
        key, value = kind_of(actual.key_type), kind_of(actual.item_type)
        return None if key is None or value is None else MapKind(key, value)
    if types.is_struct(actual):
        fields = [(field.name, kind_of(field.type)) for field in actual]
        named = tuple((name, kind) for name, kind in fields if kind is not None)
        return StructKind(named) if len(named) == len(fields) > 0 else None
    return _KINDS.get(str(actual))


_KINDS = {
    **{kind.value: kind for kind in INTEGERS},
    "uint8": Kind.INT16,
    "uint16": Kind.INT32,
    "uint32": Kind.INT64,
    "uint64": DecimalKind(20),
    "halffloat": Kind.FLOAT32,
    "float": Kind.FLOAT32,
    "double": Kind.FLOAT64,
    "string": Kind.STRING,
    "binary": Kind.BINARY,
    "bool": Kind.BOOL,
    "date32[day]": Kind.DATE,
    "date64[ms]": Kind.DATE,
    "extension<arrow.uuid>": Kind.STRING,
}


def arrow_schema(schema: TableSchema) -> "pa.Schema":
    """The Arrow schema of a table, with descriptions and units as column comments."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(column.name, arrow_type(column.kind), column.nullable, metadata={"comment": _comment(column)})
            for column in schema.columns
        ]
    )


def arrow_table(frame: Any, subject: str = "the data") -> "pa.Table":
    """A pandas frame without its index, or anything with Arrow's stream protocol, as an Arrow table.

    Args:
        subject: what an error begins with, such as the table that the frame is for.
    Raises:
        BadFrame: this is no frame, or a column of it holds what Arrow does not know.
    """
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return plain(frame)
    if hasattr(frame, "collect") and hasattr(frame, "collect_schema"):
        frame = frame.collect()
    refuse_other_than_frames(frame, subject)
    if _is_pandas(frame):
        return plain(_from_pandas(frame, subject))
    return plain(read_all(frame))


def refuse_other_than_frames(frame: Any, subject: str) -> None:
    """Refuse what is no frame of this process.

    Raises:
        BadFrame: with what to make of it.
    """
    kind, remedies = type(frame).__name__, "Give a pandas, polars or Spark frame, or an Arrow table."
    if kind in ("Series", "Array", "ChunkedArray"):
        raise BadFrame.of(
            subject, f"a {kind} is one column, and no frame", "Make a frame of it: pandas and polars have .to_frame()."
        )
    if hasattr(frame, "sparkSession"):
        todo = "Set the stage's `engine: spark`, or fetch the rows first: stage.to_pandas(frame)."
        raise BadFrame.of(subject, "this is a Spark frame, and the stage's engine is not Spark", todo)
    if isinstance(frame, list | tuple | dict | set):
        raise BadFrame.of(
            subject, f"a {kind} is no frame", "Make a frame of it: pd.DataFrame(...), with names for its columns."
        )
    if not (_is_pandas(frame) or hasattr(frame, "__arrow_c_stream__")):
        raise BadFrame.of(subject, f"a value of type {kind} is no frame", remedies)


def _is_pandas(frame: Any) -> bool:
    return hasattr(frame, "__dataframe__") and hasattr(frame, "iloc")


def _from_pandas(frame: Any, subject: str) -> "pa.Table":
    import pyarrow as pa

    names = [str(name) for name in frame.columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        problem = f"the frame has more than one column {', '.join(map(repr, twice))}"
        raise BadFrame.of(subject, problem, "Rename or drop them: frame.loc[:, ~frame.columns.duplicated()].")
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as fault:
        for name in frame.columns:
            _refuse_unknown_values(frame[name], name, subject)
        raise BadFrame.of(subject, f"Arrow cannot hold this frame: {_first_line(fault)}", _ONE_TYPE) from None


_ONE_TYPE = "Give the column one type where it is made, such as .astype('string') or .astype('Int64')."


def _refuse_unknown_values(values: Any, name: object, subject: str) -> None:
    import pyarrow as pa

    try:
        pa.Array.from_pandas(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as fault:
        types = sorted({type(value).__name__ for value in values.dropna().head(100_000)})
        problem = f"column '{name}' holds {' and '.join(types[:4])}, which make no column: {_first_line(fault)}"
        raise BadFrame.of(subject, problem, _ONE_TYPE) from None


def _first_line(fault: Exception) -> str:
    text = str(fault.args[0]) if fault.args and not isinstance(fault, UnicodeError) else str(fault)
    return next(iter(text.splitlines()), type(fault).__name__)[:200]


def read_all(stream: Any) -> "pa.Table":
    """Anything with Arrow's stream protocol as a table; `pa.table` would import pandas to look for a frame."""
    import pyarrow as pa

    return pa.RecordBatchReader.from_stream(stream).read_all()


def plain(table: "pa.Table") -> "pa.Table":
    """The table with dictionaries, views and large strings as ordinary columns, without metadata."""
    import pyarrow as pa

    fields = [pa.field(f.name, _plain_type(f.type), f.nullable) for f in table.schema]
    return table.cast(pa.schema(fields))


def signed(table: "pa.Table") -> "pa.Table":
    """The table with unsigned integers and half floats as the next wider types, which Delta and Spark have."""
    import pyarrow as pa

    def signed_type(kind: "pa.DataType") -> "pa.DataType":
        wider = kind_of(kind) if pa.types.is_unsigned_integer(kind) or pa.types.is_float16(kind) else None
        return kind if wider is None else arrow_type(wider)

    return table.cast(pa.schema([field.with_type(signed_type(field.type)) for field in table.schema]))


def without_dictionaries(table: "pa.Table") -> "pa.Table":
    """The table with dictionaries as ordinary columns. Views stay: polars accepts them."""
    import pyarrow as pa

    fields = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields))


def _plain_type(kind: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if types.is_string_view(kind) or types.is_large_string(kind):
        return pa.string()
    if types.is_binary_view(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return pa.binary()
    if types.is_map(kind):
        return pa.map_(_plain_type(kind.key_type), _plain_type(kind.item_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, _plain_type(field.type)) for field in kind])
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(pa.field("element", _plain_type(kind.value_type)))
    return kind


def _comment(column: Column) -> str:
    return f"{column.description} [{column.unit}]" if column.unit else column.description
