"""Single figures of a frame of any engine, for what a notebook claims: computed where the rows are."""

from collections.abc import Sequence
from typing import Any

import narwhals as nw
from narwhals.typing import IntoFrame

from flightdelay.frames import of_any_engine, to_pandas


def nulls(frame: IntoFrame, column: str) -> int:
    """How many rows have no value in a column."""
    return _one(frame, nw.col(column).is_null().cast(nw.Int64()).sum())


def largest(frame: IntoFrame, column: str) -> Any:
    """The largest value of a column; None where all are null or there is no row."""
    return _one(frame, nw.col(column).max())


def repeated(frame: IntoFrame, key: Sequence[str]) -> int:
    """How many keys stand in more than one row."""
    sizes = of_any_engine(frame).group_by(*key).agg(nw.len().alias("rows"))
    return _one(sizes.to_native(), (nw.col("rows") > 1).cast(nw.Int64()).sum())


def _one(frame: IntoFrame, figure: nw.Expr) -> Any:
    table = to_pandas(of_any_engine(frame).select(figure=figure).to_native())
    value = table["figure"].to_numpy(dtype=object, na_value=None)[0]
    return value.item() if hasattr(value, "item") else value
