"""The work that is measured, the same code for all engines, and a process that runs one piece of it.

`python -m stagebook.calibrate.work` reads `{engine, kind, table, other, out, spark}` from stdin and prints
`{seconds, peak_bytes, start_seconds}`. The seconds run from Delta to Delta, on a started engine.
"""

import json
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from stagebook.delta.engine import Engine, WriteOrder
from stagebook.engines.open import open_engine
from stagebook.model.pipeline import SparkSettings
from stagebook.model.tables import Column, Kind, Layout, TableSchema

EVENTS = TableSchema(
    "events",
    "Input of every measurement: rows as wide as those of a fact table.",
    (
        Column("id", Kind.INT64, "number of the row"),
        Column("at", Kind.TIMESTAMP, "an instant, rising"),
        Column("day", Kind.DATE, "its day"),
        Column("who", Kind.STRING, "one of 200,000 names"),
        Column("place", Kind.STRING, "one of 300 names"),
        Column("amount", Kind.FLOAT64, "a number", nullable=True),
        Column("count", Kind.INT32, "a small whole number"),
        Column("code", Kind.INT16, "one of 1,000 codes"),
        Column("flag", Kind.BOOL, "yes or no"),
    ),
    layout=Layout(reason="In time order, as it is generated."),
)
PEOPLE = TableSchema(
    "people",
    "Joined to the events.",
    (
        Column("who", Kind.STRING, "name"),
        Column("age", Kind.INT32, "years"),
        Column("income", Kind.FLOAT64, "a number"),
    ),
    layout=Layout(reason="One file, always read completely."),
)


def main() -> int:
    """Run one piece of work and print its seconds and memory."""
    order = json.load(sys.stdin)
    import narwhals  # noqa: F401  - every stage imports these
    import pandas
    import pyarrow.compute  # noqa: F401

    started = time.perf_counter()
    engine = open_engine(order["engine"], SparkSettings(**order["spark"]))
    engine.count(engine.from_local(pandas.DataFrame({"a": [1]})))
    start_seconds = time.perf_counter() - started
    started = time.perf_counter()
    run_work(engine, order["kind"], Path(order["table"]), Path(order["other"]), Path(order["out"]))
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak_bytes": _peak_bytes(), "start_seconds": start_seconds}))
    return 0


def _peak_bytes() -> int:
    """Peak memory of this process. On Linux `ru_maxrss` includes the parent's memory before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run_work(engine: Engine, kind: str, events: Path, people: Path, out: Path) -> None:
    """Run one piece of work, from Delta to Delta (a scan and a fit end in this process)."""
    import narwhals as nw

    def read(path: Path, columns: list[str] | None = None) -> Any:
        version = engine.latest(path)
        assert version is not None, f"{path} is a table"
        return nw.from_native(engine.read(path, version=version, columns=columns, where=()))

    amount = nw.col("amount")
    match kind:
        case "scan":
            filtered = read(events, ["day", "amount", "code"]).filter(amount > 0.5)
            engine.to_arrow(filtered.select(amount.sum(), nw.col("code").max()).to_native())
        case "aggregate":
            grouped = read(events, ["place", "code", "amount", "count"]).group_by("place", "code")
            _write(engine, grouped.agg(nw.len().alias("rows"), amount.mean(), nw.col("count").sum()), out)
        case "join":
            joined = read(events).join(read(people), on="who", how="left")
            _write(engine, joined.with_columns(share=amount / nw.col("income")), out)
        case "window":
            frame = read(events)
            before = nw.col("count").cum_sum().over("who", order_by=["at", "id"])
            mean = amount.mean().over("place")
            _write(engine, frame.with_columns(before=before, mean=mean), out)
        case "fit":
            columns = ["amount", "count", "code"]
            frame = engine.to_arrow(read(events, columns).to_native()).to_pandas()
            frame.fillna(0).to_numpy(dtype="float64").cumsum()
        case _:
            raise ValueError(f"no such kind of work: {kind}")


def _write(engine: Engine, frame: Any, out: Path) -> None:
    """Write the result as a new table, as a stage does at its end."""
    names = frame.collect_schema()
    schema = TableSchema(
        "out", "", tuple(Column(name, _kind(str(kind)), "", nullable=True) for name, kind in names.items())
    )
    shutil.rmtree(out, ignore_errors=True)
    engine.write(out, engine.conform(frame.to_native(), schema), WriteOrder(schema, "calibrate"))
    engine.release()


def _kind(dtype: str) -> Kind:
    kinds = {"String": Kind.STRING, "Int16": Kind.INT16, "Int32": Kind.INT32, "Boolean": Kind.BOOL, "Date": Kind.DATE}
    if dtype.startswith("Datetime"):
        return Kind.TIMESTAMP
    return kinds.get(dtype) or (Kind.FLOAT64 if dtype.startswith("Float") else Kind.INT64)


if __name__ == "__main__":
    sys.exit(main())
