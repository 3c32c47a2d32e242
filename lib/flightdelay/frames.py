"""Small tools for frames of any engine: declared types, constants that keep the engine's types."""

from typing import Any, cast

import narwhals as nw
import pandas as pd
import pyarrow as pa
from narwhals.typing import IntoFrame

from stagebook import Kind, TableSchema

_DTYPES: dict[object, nw.dtypes.DType] = {
    Kind.STRING: nw.String(),
    Kind.INT16: nw.Int16(),
    Kind.INT32: nw.Int32(),
    Kind.INT64: nw.Int64(),
    Kind.FLOAT64: nw.Float64(),
    Kind.BOOL: nw.Boolean(),
    Kind.DATE: nw.Date(),
    Kind.TIMESTAMP: nw.Datetime("us", "UTC"),
}

AT_MOST = 100_000
"""How many rows come into this process without a limit of the caller's own."""

Frame = nw.LazyFrame[Any]
"""A frame of any engine, with the operations that all of them have: those of a lazy one."""


def of_any_engine(native: IntoFrame) -> Frame:
    """A frame as transforms take it. One of pandas stays eager, with only the operations of a lazy one."""
    return cast(Frame, nw.from_native(native))


def typed(frame: Frame, schema: TableSchema) -> Frame:
    """The columns of `schema`, in its order and with its types; all other columns are left out.

    Nulls stay null. Columns that already have their type are not touched.
    """
    present = frame.collect_schema()
    return frame.select(
        nw.col(column.name)
        if present[column.name] == _DTYPES[column.kind]
        else nw.col(column.name).cast(_DTYPES[column.kind])
        for column in schema.columns
    )


def zero(column: str) -> nw.Expr:
    """A 64-bit 0 in every row, made from an integer column without nulls.

    A literal would be NumPy's integer in an Arrow-backed pandas frame, and turn into a float in the
    first outer join; a 0 made from a column has the frame's own kind of integer on every engine.
    """
    return nw.col(column).cast(nw.Int64()) * 0


def remainder(dividend: nw.Expr, divisor: int) -> nw.Expr:
    """`dividend` modulo `divisor`, from 0 to `divisor` - 1 (`%` is missing for Arrow-backed pandas)."""
    return dividend - (dividend // divisor) * divisor


def in_engine_of(frame: Frame, table: pa.Table) -> Frame:
    """A small table of this process, as a frame that can be joined to `frame`."""
    native: Any = nw.to_native(frame)
    if isinstance(native, pd.DataFrame):
        return of_any_engine(table.to_pandas(types_mapper=pd.ArrowDtype))
    if frame.implementation.is_polars():
        return of_any_engine(nw.from_arrow(table, backend=frame.implementation).lazy().to_native())
    return of_any_engine(native.sparkSession.createDataFrame(table))


def to_pandas(frame: IntoFrame, *, limit: int = AT_MOST) -> pd.DataFrame:
    """A small frame of any engine as an Arrow-backed pandas frame in this process; nulls stay nulls.

    Raises:
        ValueError: the frame is in another process, or not computed yet, and has more than `limit` rows:
            aggregate it first, or bring it here by `stage.to_pandas`, which looks at its size.
    """
    if isinstance(frame, pd.DataFrame):
        return frame
    table: pa.Table = nw.from_native(frame).lazy().head(limit + 1).collect("pyarrow").to_native()
    if table.num_rows > limit:
        raise ValueError(f"more than {limit:,} rows: aggregate them first, or bring them here by stage.to_pandas")
    return table.to_pandas(types_mapper=pd.ArrowDtype)
