"""Conditions on a table, checked against its columns, as SQL text and as an Arrow expression.

Values never reach SQL unchecked: each is first converted to the type of its column, then rendered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from math import isfinite
from operator import index
from typing import TYPE_CHECKING, Any

from stagebook.errors import BadPredicate, UnknownColumn
from stagebook.model.tables import Predicates

if TYPE_CHECKING:
    import narwhals as nw
    import pyarrow as pa
    import pyarrow.compute as pc

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in")


@dataclass(frozen=True)
class Condition:
    """One checked condition: `values` are of the column's own type; only `in` may have several or none."""

    column: str
    op: str
    values: tuple[Any, ...]
    type: "pa.DataType"


def check(where: Predicates, schema: "pa.Schema") -> tuple[Condition, ...]:
    """The conditions with their values converted to the types of the columns.

    Raises:
        UnknownColumn: a column that the table does not have.
        BadPredicate: an unknown operator, a value that does not fit its column, or a null.
    """
    return tuple(_condition(*_parts(condition), schema) for condition in where)


def _parts(condition: Any) -> tuple[Any, Any, Any]:
    if isinstance(condition, str) or not isinstance(condition, Sequence) or len(condition) != 3:
        raise BadPredicate.malformed(condition)
    return condition[0], condition[1], condition[2]


def to_sql(conditions: Sequence[Condition]) -> str:
    """The conditions joined by AND, in DataFusion's SQL; TRUE where there are none."""
    return " AND ".join(_sql(condition) for condition in conditions) or "TRUE"


def to_spark_sql(conditions: Sequence[Condition]) -> str:
    """The conditions joined by AND, in Spark's SQL; TRUE where there are none."""
    return " AND ".join(_spark_sql(condition) for condition in conditions) or "TRUE"


def quoted(identifier: str) -> str:
    """A column name as SQL text."""
    return '"' + identifier.replace('"', '""') + '"'


def to_expression(conditions: Sequence[Condition]) -> "pc.Expression":
    """The conditions as an Arrow filter; true where there are none."""
    import pyarrow.compute as pc

    expression = pc.scalar(True)
    for condition in conditions:
        expression = expression & _expression(condition)
    return expression


def select(frame: Any, columns: Sequence[str], conditions: Sequence[Condition]) -> Any:
    """These columns of the rows that meet the conditions; `frame` is any native frame that narwhals supports."""
    import narwhals as nw

    rows = nw.from_native(frame)
    if conditions:
        rows = rows.filter(*(_narwhals(condition) for condition in conditions))
    return rows.select(*columns).to_native()


def _condition(column: str, op: str, value: Any, schema: "pa.Schema") -> Condition:
    names = schema.names
    if column not in names:
        raise UnknownColumn.of(str(column), columns=names)
    if op not in OPERATORS:
        raise BadPredicate.of(column, op, value, f"the operator must be one of {' '.join(OPERATORS)}")
    if op != "in":
        values = (value,)
    elif isinstance(value, list | tuple | set | frozenset):
        values = tuple(value)
    else:
        raise BadPredicate.of(column, op, value, "'in' takes a list of values")
    kind = schema.field(column).type
    try:
        typed = tuple(_typed(v, kind) for v in values)
    except (TypeError, ValueError, InvalidOperation) as fault:
        raise BadPredicate.of(column, op, value, f"column '{column}' is {kind}: {fault}") from None
    return Condition(column, op, tuple(sorted(set(typed))) if op == "in" else typed, kind)


def _typed(value: Any, kind: "pa.DataType") -> Any:
    import pyarrow as pa

    if value is None or value != value:
        raise TypeError("a condition is never true for a null")
    if pa.types.is_boolean(kind):
        return _bool(value)
    if pa.types.is_integer(kind):
        return pa.scalar(_integer(value), kind).as_py()
    if pa.types.is_floating(kind):
        # The nearest value that the column can hold: engines differ in the width in which they compare.
        return pa.scalar(_float(value), kind).as_py()
    if pa.types.is_decimal(kind):
        return pa.scalar(_decimal(value), kind).as_py()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _string(value)
    if pa.types.is_date(kind):
        return _date(value)
    if pa.types.is_timestamp(kind):
        return _instant(value) if kind.tz else _wall_clock(value)
    raise TypeError("conditions on this type are not supported")


def _bool(value: Any) -> bool:
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError("give true or false")
    return bool(value)


def _integer(value: Any) -> int:
    if type(value).__name__ in ("bool", "bool_"):
        raise TypeError("give a whole number")
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError("give a whole number")
        return int(value)
    if not hasattr(value, "__index__"):
        raise TypeError("give a whole number")
    return index(value)


def _float(value: Any) -> float:
    if type(value).__name__ in ("bool", "bool_") or isinstance(value, str | bytes):
        raise TypeError("give a number")
    number = float(value)
    if not isfinite(number) or number != value:
        raise ValueError("give a finite number that a float64 can hold")
    return number


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool | float):
        raise TypeError("give a decimal or a whole number")
    return Decimal(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("give a string")
    if "\0" in value:
        raise ValueError("a string must not hold a NUL character")
    return str(value)


def _date(value: Any) -> date:
    if isinstance(value, str):
        return date.fromisoformat(value)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError("give a date")
    return value


def _instant(value: Any) -> datetime:
    moment = _moment(value)
    if moment.tzinfo is None:
        raise ValueError("give a time with a time zone")
    return moment.astimezone(UTC)


def _wall_clock(value: Any) -> datetime:
    moment = _moment(value)
    if moment.tzinfo is not None:
        raise ValueError("give a time without a time zone")
    return moment


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise TypeError("give a point in time")
    if getattr(moment, "nanosecond", 0):
        raise ValueError("give a time in whole microseconds")
    return datetime.fromisoformat(moment.isoformat())


def _sql(condition: Condition) -> str:
    column, values = quoted(condition.column), [_literal(v, condition.type) for v in condition.values]
    if condition.op == "in":
        return f"{column} IN ({', '.join(values)})" if values else "FALSE"
    return f"{column} {condition.op} {values[0]}"


def _spark_sql(condition: Condition) -> str:
    column = "`" + condition.column.replace("`", "``") + "`"
    values = [_spark_literal(value, condition.type) for value in condition.values]
    if condition.op == "in":
        return f"{column} IN ({', '.join(values)})" if values else "FALSE"
    return f"{column} {condition.op} {values[0]}"


def _spark_literal(value: Any, kind: "pa.DataType") -> str:
    match value:
        case str():
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        case datetime():
            name = "TIMESTAMP" if value.tzinfo else "TIMESTAMP_NTZ"
            return f"{name} '{value.isoformat(sep=' ', timespec='microseconds')}'"
        case bool() | int() | Decimal() | date():
            return _literal(value, kind)
        case _:
            return f"CAST({value!r} AS DOUBLE)"


def _literal(value: Any, kind: "pa.DataType") -> str:
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return repr(value)
        case Decimal():
            return f"CAST('{value:f}' AS DECIMAL({kind.precision}, {kind.scale}))"
        case datetime():
            zone = 'Some("UTC")' if value.tzinfo else "None"
            text = value.replace(tzinfo=None).isoformat(timespec="microseconds")
            return f"arrow_cast('{text}', 'Timestamp(Microsecond, {zone})')"
        case date():
            return f"DATE '{value.isoformat()}'"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case _:
            raise TypeError(f"no SQL for {type(value).__name__}")


def _narwhals(condition: Condition) -> "nw.Expr":
    import narwhals as nw

    column = nw.col(condition.column)
    if condition.op == "in":
        return column.is_in(list(condition.values))
    return _compare(column, condition.op, nw.lit(condition.values[0]))


def _expression(condition: Condition) -> "pc.Expression":
    import pyarrow as pa
    import pyarrow.compute as pc

    field = pc.field(condition.column)
    if condition.op == "in":
        return field.isin(pa.array(condition.values, condition.type))
    return _compare(field, condition.op, pa.scalar(condition.values[0], condition.type))


def _compare(column: Any, op: str, value: Any) -> Any:
    match op:
        case "=":
            return column == value
        case "!=":
            return column != value
        case "<":
            return column < value
        case "<=":
            return column <= value
        case ">":
            return column > value
        case _:
            return column >= value
