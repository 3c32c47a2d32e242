"""Append-only Delta tables, and SQL over them: delta-rs without a declared schema.

Only `system_tables` needs it, and imports it when it appends or queries.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder, write_deltalake

from stagebook.delta.arrow import read_all

MANY_FILES = 50
_THREE_PART_NAME = re.compile(r"\b([A-Za-z_]\w*)\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)\b")
_WITH = re.compile(r"\s*with\b", re.IGNORECASE)


class AppendOnlyTable:
    """A Delta table to which one writer at a time appends rows; opened once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table = DeltaTable(str(path)) if exists(path) else None

    def rows(self, where: str = "true") -> list[dict[str, Any]]:
        """All rows that meet an SQL condition, as plain values; empty where there is no table."""
        if self._table is None:
            return []
        stream = QueryBuilder().register("t", self._table).execute(f"SELECT * FROM t WHERE {where}")
        return read_all(stream).to_pylist()

    def append(self, rows: pa.Table) -> None:
        """Append rows in one commit; create the table with their schema if it does not exist.

        Compacts the table once it has many small files, so that reads do not slow down with each commit.
        """
        if self._table is None:
            write_deltalake(str(self._path), rows, mode="error", configuration={"delta.checkpointInterval": "10"})
            self._table = DeltaTable(str(self._path))
        elif rows.num_rows:
            write_deltalake(self._table, rows, mode="append")
        if len(self._table.file_uris()) > MANY_FILES:
            self._table.optimize.compact()


def exists(path: Path) -> bool:
    """Whether the folder holds a Delta table."""
    return DeltaTable.is_deltatable(str(path))


def query(sql: str, tables: Mapping[str, Path], views: Mapping[str, str] | None = None) -> pa.Table:
    """The rows of a SELECT by delta-rs' query engine (DataFusion).

    Args:
        sql: names tables as `catalog.schema.table`.
        tables: folder of each table by that name.
        views: by table name, a SELECT from that table which replaces it in `sql`.
    """
    builder = QueryBuilder()
    for name, path in tables.items():
        builder = builder.register(_flat_name(name), DeltaTable(str(path)))
    statement, expressions = _with_flat_names(sql, tables), []
    for name, view in (views or {}).items():
        flat = _flat_name(name)
        statement = re.sub(rf"\b{flat}\b", f"{flat}_view", statement)
        expressions.append(f"{flat}_view AS ({_with_flat_names(view, tables)})")
    if expressions:
        body, comma = (_WITH.sub("", statement, count=1), ",") if _WITH.match(statement) else (statement, "")
        statement = f"WITH {', '.join(expressions)}{comma} {body}"
    return read_all(builder.execute(statement))


def _flat_name(name: str) -> str:
    return name.replace(".", "_")


def _with_flat_names(sql: str, tables: Mapping[str, Path]) -> str:
    """The SQL with registered three-part names as one word: delta-rs registers tables in one schema only."""
    return _THREE_PART_NAME.sub(lambda match: _flat_name(match[0]) if match[0] in tables else match[0], sql)
