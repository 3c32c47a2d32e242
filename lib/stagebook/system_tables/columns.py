"""The columns of the system tables as Databricks documents them (`system_tables.csv`), with Arrow types.

Source: an `information_schema` of 2025-12, prashsub/databricks-health-monitor.
"""

import csv
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = Path(__file__).with_name("system_tables.csv")


@cache
def schema(table: str) -> "pa.Schema":
    """The Arrow schema of a table such as `billing.usage`."""
    import pyarrow as pa

    with SOURCE.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if f"{row['schema']}.{row['table']}" == table]
    return pa.schema([(row["column"], arrow_type(row["type"])) for row in rows])


def arrow_type(text: str) -> "pa.DataType":
    """The Arrow type of an SQL type such as `struct<a:decimal(38,18)>`.

    Raises:
        ValueError: no system table has this type.
    """
    import pyarrow as pa

    simple_types = {
        "string": pa.string(),
        "boolean": pa.bool_(),
        "bigint": pa.int64(),
        "double": pa.float64(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", "UTC"),
        "decimal(38,18)": pa.decimal128(38, 18),
    }
    if text in simple_types:
        return simple_types[text]
    kind, _, inner = text.removesuffix(">").partition("<")
    parts = _split(inner)
    match kind:
        case "struct":
            fields = (part.partition(":") for part in parts)
            return pa.struct([(name, arrow_type(field_type)) for name, _, field_type in fields])
        case "map":
            return pa.map_(arrow_type(parts[0]), arrow_type(parts[1]))
        case "array":
            return pa.list_(arrow_type(parts[0]))
    raise ValueError(f"'{text}' is no type of a system table")


def _split(text: str) -> list[str]:
    """Split at the commas outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
