"""What statistics tell of the values of one column in one file or row group, and what they rule out.

Sound for every reader: a condition is ruled out only if no row can meet it, whichever engine compares.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from stagebook.engines.predicates import Condition

if TYPE_CHECKING:
    import pyarrow as pa

CUT = 32
"""Writers keep at least this many bytes of a text; a shorter one is a value that occurs."""

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Bounds:
    """All values but nulls and NaN lie between `low` and `high`; None where nothing is known.

    `constant` says that they are one and the same value. `cut` says that `high` may be the beginning of
    longer texts. `nan` says that there may be NaN, which statistics leave out and which Spark and
    DataFusion sort above all numbers. `all_null` says that there is nothing but nulls.
    """

    low: Any = None
    high: Any = None
    constant: bool = False
    cut: bool = False
    nan: bool = False
    all_null: bool = False


UNKNOWN = Bounds(nan=True)
ALL_NULL = Bounds(all_null=True)


def from_log(low: Any, high: Any, kind: "pa.DataType") -> Bounds:
    """Bounds from a file's statistics in the Delta log, as loose as writers make them.

    Text is cut off, times are cut to milliseconds, decimals go through a float.
    """
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return Bounds(_shifted(low, -_MILLISECOND), _shifted(high, _MILLISECOND))
    if pa.types.is_decimal(kind) and kind.precision > 15:
        return Bounds(_shifted(low, -_rounding(low)), _shifted(high, _rounding(high)))
    return from_values(low, high, kind)


def from_values(low: Any, high: Any, kind: "pa.DataType") -> Bounds:
    """Bounds from statistics that hold the values themselves, as a Parquet footer does, but for long text."""
    import pyarrow as pa

    if pa.types.is_floating(kind):
        return Bounds(_number(low), _number(high), nan=True)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    whole = not text or (isinstance(high, str) and len(high.encode()) < CUT)
    return Bounds(low, high, constant=low is not None and low == high and whole, cut=text)


def from_partition(value: Any, kind: "pa.DataType") -> Bounds:
    """Bounds from the one value that a partition column has in a file."""
    import pyarrow as pa

    if value is None:  # delta-rs writes the empty text as a partition of its own, and lists it as null
        return Bounds("", "") if pa.types.is_string(kind) else ALL_NULL
    if pa.types.is_floating(kind):
        return Bounds(value, value, nan=value != value)
    return Bounds(value, value, constant=True)


def may_hold(condition: Condition, bounds: Bounds) -> bool:
    """Whether a row within these bounds can meet the condition."""
    if bounds.all_null:
        return False
    value = condition.values[0] if condition.values else None
    match condition.op:
        case "in":
            return any(_holds(bounds, v) for v in condition.values)
        case "=":
            return _holds(bounds, value)
        case "!=":
            return not (bounds.constant and bounds.low == value)
        case "<" | "<=":
            return _starts(bounds, value, or_equal=condition.op == "<=")
        case _:
            return bounds.nan or _reaches(bounds, value, or_equal=condition.op == ">=")


def _holds(bounds: Bounds, value: Any) -> bool:
    return _starts(bounds, value, or_equal=True) and _reaches(bounds, value, or_equal=True)


def _starts(bounds: Bounds, value: Any, *, or_equal: bool) -> bool:
    """Whether there may be values below `value`."""
    if bounds.low is None:
        return True
    return bounds.low < value or (bounds.low == value and (or_equal or isinstance(value, float)))


def _reaches(bounds: Bounds, value: Any, *, or_equal: bool) -> bool:
    """Whether there may be values above `value`, NaN left out. For a float, -0.0 may sort below 0.0."""
    if bounds.high is None or (bounds.cut and value.startswith(bounds.high)):
        return True
    return bounds.high > value or (bounds.high == value and (or_equal or isinstance(value, float)))


def _number(value: Any) -> Any:
    return None if value is None or value != value else value


def _rounding(value: Decimal | None) -> Decimal:
    return Decimal(0) if value is None else abs(value) * Decimal("1e-14")


def _shifted(value: Any, by: Any) -> Any:
    if value is None:
        return None
    try:
        return value + by
    except OverflowError:
        return None


def values(column: "pa.ChunkedArray | pa.Array") -> list[Any]:
    """The column as Python values; None for what Python cannot hold, such as years after 9999."""
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):
        return [_value(column[row]) for row in range(len(column))]


def _value(scalar: "pa.Scalar") -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return None


def fitting(value: Any, kind: "pa.DataType") -> Any:
    """A statistic as the Python type that conditions on such a column have, or None where it is another."""
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
