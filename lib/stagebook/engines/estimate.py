"""How many rows and bytes a read will probably touch: guesses, where `bounds` gives certainties.

Values are taken to be spread evenly between a file's bounds and columns to be independent, as query
optimisers have done since System R, whose defaults (a tenth, a third) stand where bounds tell nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from stagebook.engines.bounds import Bounds, may_hold
from stagebook.engines.predicates import Condition

if TYPE_CHECKING:
    import pyarrow as pa

EQUAL, RANGE = 1 / 10, 1 / 3
TEXT_BYTES, TEXT_BYTES_ON_DISK = 16, 4
"""On disk most texts are numbers into a dictionary. Of the flights' columns `size_bytes` then errs by a third."""
NESTED_BYTES = 64


def matching_share(conditions: Sequence[tuple[Condition, Bounds]]) -> float:
    """The estimated share (0..1) of rows that meet all conditions; nulls are not looked at."""
    share = 1.0
    spans: dict[str, tuple[float, float]] = {}
    for condition, bounds in conditions:
        if not may_hold(condition, bounds):
            return 0.0
        span = _span(condition, bounds)
        if span is None:
            share *= _point_share(condition, bounds)
        else:
            low, high = spans.get(condition.column, (0.0, 1.0))
            spans[condition.column] = (max(low, span[0]), min(high, span[1]))
    for low, high in spans.values():
        share *= max(0.0, high - low)
    return share


def row_bytes(types: Sequence["pa.DataType"], *, text_bytes: int = TEXT_BYTES) -> int:
    """Estimated bytes of one row: fixed widths as they are, texts as `text_bytes`, lists and structs as 64."""
    return sum(_width(kind, text_bytes) for kind in types)


def frame_row_bytes(frame: Any) -> int:
    """Estimated bytes of one row of a frame of any engine; texts as 16, lists and structs as 64."""
    import narwhals as nw

    wide = {nw.String: TEXT_BYTES, nw.Int8: 1, nw.Boolean: 1, nw.Int16: 2, nw.Int32: 4, nw.Float32: 4, nw.Date: 4}
    wide |= dict.fromkeys((nw.List, nw.Struct, nw.Array), NESTED_BYTES)
    return sum(wide.get(type(kind), 8) for kind in nw.from_native(frame).collect_schema().dtypes())


def _width(kind: "pa.DataType", text_bytes: int) -> int:
    import pyarrow as pa

    if pa.types.is_nested(kind):
        return NESTED_BYTES
    try:
        return max(1, kind.bit_width // 8)
    except ValueError:
        return text_bytes


def _span(condition: Condition, bounds: Bounds) -> tuple[float, float] | None:
    """The part of a file's bounds, as shares from 0 to 1, that a range keeps; None for what is no range."""
    if condition.op not in ("<", "<=", ">", ">="):
        return None
    value, low, high = _place(condition.values[0]), _place(bounds.low), _place(bounds.high)
    if value is None or low is None or high is None:
        return None
    step = 1.0 if isinstance(condition.values[0], int) or _is_day(condition.values[0]) else 0.0
    width = high - low + step
    if width <= 0:
        return (0.0, 1.0)
    edge = value + step if condition.op in ("<=", ">") else value
    place = min(1.0, max(0.0, (edge - low) / width))
    return (0.0, place) if condition.op in ("<", "<=") else (place, 1.0)


def _point_share(condition: Condition, bounds: Bounds) -> float:
    if condition.op in ("<", "<=", ">", ">="):
        return RANGE
    reached = sum(may_hold(replace(condition, op="=", values=(value,)), bounds) for value in condition.values)
    if condition.op != "!=":
        return min(1.0, reached * _one(bounds))
    constant = bounds.low is not None and bounds.low == bounds.high
    return 1.0 if constant else 1 - reached * _one(bounds)


def _one(bounds: Bounds) -> float:
    """The estimated share of rows that have one given value."""
    if bounds.low is not None and bounds.low == bounds.high:
        return 1.0
    low, high = bounds.low, bounds.high
    if isinstance(low, int) and isinstance(high, int):
        return 1 / (high - low + 1)
    if _is_day(low) and _is_day(high):
        return 1 / ((high - low).days + 1)
    return EQUAL


def _is_day(value: Any) -> bool:
    return isinstance(value, date) and not isinstance(value, datetime)


def _place(value: Any) -> float | None:
    match value:
        case int() | float() | Decimal():
            return float(value)
        case datetime():
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        case date():
            return float(value.toordinal())
        case _:
            return None
