"""Prepare a frame for a write: refuse rows outside the replaced ones, and lay the rows out in files."""

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from stagebook.delta import predicates
from stagebook.delta.arrow import arrow_schema
from stagebook.delta.engine import WriteOrder
from stagebook.delta.estimate import row_bytes
from stagebook.errors import SchemaViolation
from stagebook.model.tables import TableSchema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FILE_BYTES_PER_MEMORY_BYTE = 0.4
"""Roughly, after compression; it decides how many files a write makes."""


def refuse_rows_outside(data: "DataFrame", conditions: Sequence[predicates.Condition], order: WriteOrder) -> None:
    """Refuse rows that do not meet the conditions of the rows that they replace.

    Raises:
        SchemaViolation: with the number of such rows.
    """
    if not conditions:
        return
    rows = data.count()
    inside = predicates.select(data, data.columns, conditions).count()
    if inside < rows:
        sql = predicates.to_sql(conditions)
        raise SchemaViolation.rows_outside(order.schema.name, rows - inside, rows, sql)


def lay_out(data: "DataFrame", schema: TableSchema) -> "DataFrame":
    """The rows in ranges of the layout's columns, in as many files as their bytes need."""
    layout = schema.layout
    by = [*layout.partition_by, *layout.z_order]
    file_bytes = data.count() * row_bytes(arrow_schema(schema).types) * FILE_BYTES_PER_MEMORY_BYTE
    files = max(1, ceil(file_bytes / layout.target_file_bytes))
    ranged = data.repartitionByRange(files, *by) if by and files > 1 else data.coalesce(files)
    return ranged.sortWithinPartitions(*by) if by else ranged
