"""Delta tables that only grow, and SQL over them: delta-rs without a declared schema in between.

Only the ledger needs it, and imports it when it has something to enter or to answer.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder, write_deltalake

from stagebook.engines.arrow import read_all

MANY_FILES = 50
_NAMED = re.compile(r"\b([A-Za-z_]\w*)\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)\b")
_WITH = re.compile(r"\s*with\b", re.IGNORECASE)


class Growing:
    """A Delta table that rows are only added to, by one writer at a time; opened once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table = DeltaTable(str(path)) if exists(path) else None

    def rows(self, where: str = "true") -> list[dict[str, Any]]:
        """All rows that meet an SQL condition, as plain values; none where there is no table."""
        if self._table is None:
            return []
        found = QueryBuilder().register("t", self._table).execute(f"SELECT * FROM t WHERE {where}")
        return read_all(found).to_pylist()

    def append(self, rows: pa.Table) -> None:
        """One commit that adds rows, and makes the table with their schema if need be.

        Many small files are put together, so that reading does not get slower with each commit.
        """
        if self._table is None:
            write_deltalake(str(self._path), rows, mode="error", configuration={"delta.checkpointInterval": "10"})
            self._table = DeltaTable(str(self._path))
        elif rows.num_rows:
            write_deltalake(self._table, rows, mode="append")
        if len(self._table.file_uris()) > MANY_FILES:
            self._table.optimize.compact()


def exists(path: Path) -> bool:
    """Whether there is a Delta table in the folder."""
    return DeltaTable.is_deltatable(str(path))


def query(sql: str, tables: Mapping[str, Path], views: Mapping[str, str] | None = None) -> pa.Table:
    """The rows of a SELECT by delta-rs' query engine (DataFusion).

    Args:
        sql: names tables as `catalog.schema.table`.
        tables: folder of each table by that name.
        views: a SELECT for a name, that reads the table of that name and stands in its place.
    """
    builder = QueryBuilder()
    for name, path in tables.items():
        builder = builder.register(_flat(name), DeltaTable(str(path)))
    text, stand_ins = _flattened(sql, tables), []
    for name, view in (views or {}).items():
        text = re.sub(rf"\b{_flat(name)}\b", f"{_flat(name)}_view", text)
        stand_ins.append(f"{_flat(name)}_view AS ({_flattened(view, tables)})")
    if stand_ins:
        rest, comma = (_WITH.sub("", text, count=1), ",") if _WITH.match(text) else (text, "")
        text = f"WITH {', '.join(stand_ins)}{comma} {rest}"
    return read_all(builder.execute(text))


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _flattened(sql: str, tables: Mapping[str, Path]) -> str:
    """Three-part names of known tables as one word: delta-rs registers tables in one schema only."""
    return _NAMED.sub(lambda found: _flat(found[0]) if found[0] in tables else found[0], sql)
