"""What becomes of a frame before it is written: rows that do not belong are refused, the others laid out in files."""

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from stagebook.engines import predicates
from stagebook.engines.arrow import arrow_schema
from stagebook.engines.base import WriteOrder
from stagebook.engines.estimate import row_bytes
from stagebook.errors import SchemaViolation
from stagebook.model.tables import TableSchema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

COMPRESSED = 0.4
"""Bytes in a file for each byte of a row in memory, roughly: what decides how many files a write makes."""


def refuse_rows_outside(data: "DataFrame", conditions: Sequence[predicates.Condition], order: WriteOrder) -> None:
    """Refuse rows that do not meet the conditions of the rows which they replace.

    Raises:
        SchemaViolation: with their number.
    """
    if not conditions:
        return
    rows = data.count()
    inside = predicates.select(data, data.columns, conditions).count()
    if inside < rows:
        sql = predicates.to_sql(conditions)
        raise SchemaViolation.rows_outside(order.schema.name, rows - inside, rows, sql)


def laid_out(data: "DataFrame", schema: TableSchema) -> "DataFrame":
    """Rows in ranges of the layout's columns, in as many files as their bytes ask for."""
    layout = schema.layout
    by = [*layout.partition_by, *layout.z_order]
    size = data.count() * row_bytes(arrow_schema(schema).types) * COMPRESSED
    files = max(1, ceil(size / layout.target_file_bytes))
    ranged = data.repartitionByRange(files, *by) if by and files > 1 else data.coalesce(files)
    return ranged.sortWithinPartitions(*by) if by else ranged
