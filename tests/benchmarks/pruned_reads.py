"""A month, or a destination, of a large table as pandas: through the kit, through deltalake's query engine, in full.

The table is the real year many times over, in five layouts: as it comes by time, shuffled, Z-ordered, partitioned by
month. Bytes are those that the process really read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from side_by_side import Line, compare, read_bytes

from flightdelay import scale
from stagebook.delta import predicates
from stagebook.delta.polars_engine import PolarsEngine
from stagebook.tables.warehouse import Warehouse

COLUMNS = ["month", "dest", "carrier", "dep_delay", "distance"]
CASES = {"one month": [("month", "=", 6)], "one destination": [("dest", "=", "SAN")]}
ROWS = 10_000_000


def run(folder: Path, *, quick: bool) -> Iterator[Line]:
    """Lines for each layout and condition."""
    rows = 1_000_000 if quick else ROWS
    warehouse = Warehouse(folder / f"reads-{rows}", PolarsEngine())
    for layout in ("unordered", "z_ordered", "partitioned"):
        if not warehouse.exists(layout):
            _make(warehouse.path(layout), layout, rows)
        for case, where in CASES.items():
            yield from _compare(warehouse, layout, case, where)


def _compare(warehouse: Warehouse, layout: str, case: str, where: list[Any]) -> list[Line]:
    size = warehouse.size(layout, warehouse.latest(layout) or 0, columns=COLUMNS, where=where)
    sql = predicates.to_sql(predicates.check(where, pa.schema(DeltaTable(warehouse.path(layout)).schema().to_arrow())))

    def kit() -> Any:
        return warehouse.to_pandas(warehouse.read(layout, version=None, columns=COLUMNS, where=where))

    def query() -> Any:
        table = QueryBuilder().register("t", DeltaTable(warehouse.path(layout)))
        rows = pa.table(table.execute(f"SELECT {', '.join(COLUMNS)} FROM t WHERE {sql}").read_all())
        import pandas as pd

        return rows.to_pandas(types_mapper=pd.ArrowDtype)

    def full() -> Any:
        frame = warehouse.to_pandas(warehouse.read(layout, version=None, columns=COLUMNS), limit=2**40)
        return frame[(frame[where[0][0]] == where[0][2])]

    variants = {"query engine": query, "kit": kit, "full scan": full}
    details = {name: {"read_mb": round(_read(run) / 1e6, 1), "rows": len(run())} for name, run in variants.items()}
    assert len({measured["rows"] for measured in details.values()}) == 1, details
    details["kit"] |= {"files": f"{size.files} of {size.all_files}"}
    return compare("pruned read", f"{layout}, {case}", variants, rounds=7, details=details)


def _read(run: Any) -> int:
    start = read_bytes()
    run()
    return read_bytes() - start


def _make(path: Path, layout: str, rows: int) -> None:
    table = pa.concat_tables(scale.flights(rows, seed=13))
    shuffled = table.take(pa.array(np.random.default_rng(13).permutation(rows)))
    target = 32 * 1024 * 1024
    by = ["month"] if layout == "partitioned" else None
    write_deltalake(path, shuffled, partition_by=by, target_file_size=target)
    if layout == "z_ordered":
        DeltaTable(path).optimize.z_order(["month", "dest"], target_size=target)
    assert pc.sum(table["month"]).as_py(), "the table is not empty"
