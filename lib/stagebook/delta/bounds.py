"""What statistics say about the values of one column in one file or row group, and which conditions they exclude.

Sound for every reader: a condition is excluded only if no row can meet it, whichever engine compares.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from stagebook.delta.predicates import Condition

if TYPE_CHECKING:
    import pyarrow as pa

EXACT_TEXT_BYTES = 32
"""Writers never truncate a text below this many bytes; a shorter bound is a value that occurs."""

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Bounds:
    """All values except nulls and NaN lie between `low` and `high`; None where the bound is unknown.

    `constant`: they are all the same value. `truncated`: `high` may be a prefix of longer texts. `nan`: there may
    be NaN, which statistics omit and which Spark and DataFusion sort above all numbers. `all_null`: there are only
    nulls.
    """

    low: Any = None
    high: Any = None
    constant: bool = False
    truncated: bool = False
    nan: bool = False
    all_null: bool = False


UNKNOWN = Bounds(nan=True)
ALL_NULL = Bounds(all_null=True)


def from_log(low: Any, high: Any, kind: "pa.DataType") -> Bounds:
    """Bounds from a file's statistics in the Delta log, as loose as writers make them.

    Writers truncate text, round times to milliseconds and convert decimals to floats.
    """
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return Bounds(_shift(low, -_MILLISECOND), _shift(high, _MILLISECOND))
    if pa.types.is_decimal(kind) and kind.precision > 15:
        return Bounds(_shift(low, -_rounding_error(low)), _shift(high, _rounding_error(high)))
    return from_values(low, high, kind)


def from_values(low: Any, high: Any, kind: "pa.DataType") -> Bounds:
    """Bounds from statistics that hold the exact values, as a Parquet footer does, except for long text."""
    import pyarrow as pa

    if pa.types.is_floating(kind):
        return Bounds(_not_nan(low), _not_nan(high), nan=True)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    exact = not text or (isinstance(high, str) and len(high.encode()) < EXACT_TEXT_BYTES)
    return Bounds(low, high, constant=low is not None and low == high and exact, truncated=text)


def from_partition(value: Any, kind: "pa.DataType") -> Bounds:
    """Bounds from the one value that a partition column has in a file."""
    import pyarrow as pa

    if value is None:  # delta-rs writes the empty text as a partition of its own, and lists it as null
        return Bounds("", "") if pa.types.is_string(kind) else ALL_NULL
    if pa.types.is_floating(kind):
        return Bounds(value, value, nan=value != value)
    return Bounds(value, value, constant=True)


def may_match(condition: Condition, bounds: Bounds) -> bool:
    """Whether a row within these bounds can meet the condition."""
    if bounds.all_null:
        return False
    value = condition.values[0] if condition.values else None
    match condition.op:
        case "in":
            return any(_may_contain(bounds, v) for v in condition.values)
        case "=":
            return _may_contain(bounds, value)
        case "!=":
            return not (bounds.constant and bounds.low == value)
        case "<" | "<=":
            return _may_be_below(bounds, value, or_equal=condition.op == "<=")
        case _:
            return bounds.nan or _may_be_above(bounds, value, or_equal=condition.op == ">=")


def _may_contain(bounds: Bounds, value: Any) -> bool:
    return _may_be_below(bounds, value, or_equal=True) and _may_be_above(bounds, value, or_equal=True)


def _may_be_below(bounds: Bounds, value: Any, *, or_equal: bool) -> bool:
    """Whether there may be values below `value`."""
    if bounds.low is None:
        return True
    return bounds.low < value or (bounds.low == value and (or_equal or isinstance(value, float)))


def _may_be_above(bounds: Bounds, value: Any, *, or_equal: bool) -> bool:
    """Whether there may be values above `value`, ignoring NaN. For a float, -0.0 may sort below 0.0."""
    if bounds.high is None or (bounds.truncated and value.startswith(bounds.high)):
        return True
    return bounds.high > value or (bounds.high == value and (or_equal or isinstance(value, float)))


def _not_nan(value: Any) -> Any:
    return None if value is None or value != value else value


def _rounding_error(value: Decimal | None) -> Decimal:
    return Decimal(0) if value is None else abs(value) * Decimal("1e-14")


def _shift(value: Any, by: Any) -> Any:
    if value is None:
        return None
    try:
        return value + by
    except OverflowError:
        return None


def python_values(column: "pa.ChunkedArray | pa.Array") -> list[Any]:
    """The column as Python values; None for what Python cannot represent, such as years after 9999."""
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):
        return [_python_value(column[row]) for row in range(len(column))]


def _python_value(scalar: "pa.Scalar") -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return None


def typed_statistic(value: Any, kind: "pa.DataType") -> Any:
    """A statistic, if it has the Python type of conditions on such a column; None if it has another type."""
    import pyarrow as pa

    if pa.types.is_boolean(kind):
        expected: type = bool
    elif pa.types.is_integer(kind):
        expected = int
    elif pa.types.is_floating(kind):
        expected = float
    elif pa.types.is_decimal(kind):
        expected = Decimal
    elif pa.types.is_date(kind):
        expected = date
    elif pa.types.is_timestamp(kind):
        expected = datetime
    else:
        expected = str
    if type(value) is not expected:
        return None
    if expected is datetime and (value.tzinfo is None) is not (kind.tz is None):
        return None
    return value
