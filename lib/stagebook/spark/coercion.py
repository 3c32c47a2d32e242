"""Converts columns of Spark to their declared kinds where that is a choice: as `delta.coercion` does in memory.

A value that cannot be converted becomes null; the check of the casts finds it.
"""

from typing import TYPE_CHECKING

from stagebook.delta.coercion import FROM_TEXT, MICROSECONDS
from stagebook.model.kinds import FLOATS, INTEGERS, DecimalKind, Kind
from stagebook.model.tables import Coercion
from stagebook.model.tables import Column as TableColumn

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column

_SQL = {Kind.INT8: "tinyint", Kind.INT16: "smallint", Kind.INT32: "int", Kind.INT64: "bigint", Kind.BOOL: "boolean"}
_SQL |= {Kind.FLOAT32: "float", Kind.FLOAT64: "double", Kind.DATE: "date", Kind.TIMESTAMP_NTZ: "timestamp_ntz"}


def coerced(value: "Column", column: TableColumn, actual: "pa.DataType", coercion: Coercion) -> "Column":
    """The values of a column, converted where a rule for its type and kind fits; null where one cannot be."""
    from pyarrow import types
    from pyspark.sql import functions as F

    kind, zone = column.kind, coercion.zone
    if types.is_timestamp(actual) and actual.tz is None and kind is Kind.TIMESTAMP and zone:
        return F.convert_timezone(F.lit(zone), F.current_timezone(), value).cast("timestamp")
    if types.is_timestamp(actual) and actual.tz is not None and kind is Kind.TIMESTAMP_NTZ and zone:
        return F.convert_timezone(F.current_timezone(), F.lit(zone), value.cast("timestamp_ntz"))
    if types.is_duration(actual) and kind in INTEGERS | FLOATS and column.unit in MICROSECONDS:
        days, hours, minutes, seconds = (
            F.extract(F.lit(part), value).cast("decimal(38,6)") for part in ("DAY", "HOUR", "MINUTE", "SECOND")
        )
        microseconds = (((days * 24 + hours) * 60 + minutes) * 60 + seconds).cast("double") * 1_000_000
        return microseconds / MICROSECONDS[column.unit]
    if (types.is_integer(actual) or types.is_floating(actual)) and kind is Kind.BOOL:
        return F.when(value.isin(0, 1), value == 1)
    if types.is_float64(actual) and kind is Kind.FLOAT32:
        return value.cast("float")
    if types.is_string(actual) and isinstance(kind, DecimalKind):
        return value.try_cast(str(kind))
    if types.is_string(actual) and kind in FROM_TEXT:
        return value.try_cast(_SQL[Kind(str(kind))])
    return value
