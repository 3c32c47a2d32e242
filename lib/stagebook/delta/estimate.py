"""Estimates how many rows and bytes a read touches; `bounds` gives certainties instead.

Values are assumed to be spread evenly between a file's bounds, and columns to be independent, as query
optimisers have done since System R, whose defaults (a tenth, a third) apply where bounds are unknown.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from stagebook.delta.bounds import Bounds, may_match
from stagebook.delta.predicates import Condition

if TYPE_CHECKING:
    import pyarrow as pa

EQUAL, RANGE = 1 / 10, 1 / 3
TEXT_BYTES, TEXT_BYTES_ON_DISK = 16, 4
"""On disk most texts are indices into a dictionary. For the flights' columns `size_bytes` is then off by a third."""
NESTED_BYTES = 64


def matching_share(conditions: Sequence[tuple[Condition, Bounds]]) -> float:
    """The estimated share (0..1) of rows that meet all conditions; nulls are ignored."""
    share = 1.0
    spans: dict[str, tuple[float, float]] = {}
    for condition, bounds in conditions:
        if not may_match(condition, bounds):
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
    """Estimated bytes of one row: actual fixed widths, `text_bytes` for a text, 64 for a list or struct."""
    return sum(_width(kind, text_bytes) for kind in types)


def frame_row_bytes(frame: Any) -> int:
    """Estimated bytes of one row of a frame of any engine: 16 for a text, 64 for a list or struct."""
    import narwhals as nw

    widths = {nw.String: TEXT_BYTES, nw.Int8: 1, nw.Boolean: 1, nw.Int16: 2, nw.Int32: 4, nw.Float32: 4, nw.Date: 4}
    widths |= dict.fromkeys((nw.List, nw.Struct, nw.Array), NESTED_BYTES)
    return sum(widths.get(type(kind), 8) for kind in nw.from_native(frame).collect_schema().dtypes())


def _width(kind: "pa.DataType", text_bytes: int) -> int:
    import pyarrow as pa

    if pa.types.is_nested(kind):
        return NESTED_BYTES
    try:
        return max(1, kind.bit_width // 8)
    except ValueError:
        return text_bytes


def _span(condition: Condition, bounds: Bounds) -> tuple[float, float] | None:
    """The interval of a file's bounds that a range condition keeps, scaled to 0..1; None if there is none."""
    if condition.op not in ("<", "<=", ">", ">="):
        return None
    value, low, high = _position(condition.values[0]), _position(bounds.low), _position(bounds.high)
    if value is None or low is None or high is None:
        return None
    step = 1.0 if isinstance(condition.values[0], int) or _is_day(condition.values[0]) else 0.0
    width = high - low + step
    if width <= 0:
        return (0.0, 1.0)
    edge = value + step if condition.op in ("<=", ">") else value
    cut = min(1.0, max(0.0, (edge - low) / width))
    return (0.0, cut) if condition.op in ("<", "<=") else (cut, 1.0)


def _point_share(condition: Condition, bounds: Bounds) -> float:
    if condition.op in ("<", "<=", ">", ">="):
        return RANGE
    possible_values = sum(may_match(replace(condition, op="=", values=(value,)), bounds) for value in condition.values)
    if condition.op != "!=":
        return min(1.0, possible_values * _equal_share(bounds))
    constant = bounds.low is not None and bounds.low == bounds.high
    return 1.0 if constant else 1 - possible_values * _equal_share(bounds)


def _equal_share(bounds: Bounds) -> float:
    """The estimated share of rows with one particular value."""
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


def _position(value: Any) -> float | None:
    match value:
        case int() | float() | Decimal():
            return float(value)
        case datetime():
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        case date():
            return float(value.toordinal())
        case _:
            return None
