"""Runs races of writers in processes of their own: forked once everything is imported, they start at the same moment.

Each writes one or several months by its engine, and may be killed right after its last commit. Prints, per race and
writer, its commits as `[version, repeated]`, or the signal that ended it.
"""

import json
import multiprocessing
import os
import signal
import sys
from multiprocessing.synchronize import Barrier
from pathlib import Path
from zlib import crc32

import deltalake  # noqa: F401 - imported, never used before the fork
import pandas as pd
import pandera.pandas  # noqa: F401
from fixtures.processes import HANG_SECONDS
from fixtures.spark_sessions import suit_tiny_tables

from stagebook.engines.open import open_engine
from stagebook.model.pipeline import SparkSettings
from stagebook.model.tables import Column, Kind, TableSchema
from stagebook.spark.engine import SparkEngine
from stagebook.tables.warehouse import Warehouse, Writer

SCHEMA = TableSchema(
    "t", "raced for", (Column("month", Kind.INT32, "month"), Column("writer", Kind.INT64, "who wrote"))
)


def write(root: Path, start: Barrier, run_id: str, attempt: int, months: list, ending: str, engine: str) -> list:
    warehouse = Warehouse(root / "tables", open_engine(engine, SparkSettings()))
    if isinstance(warehouse.engine, SparkEngine):
        suit_tiny_tables(warehouse.engine.session)
    start.wait()
    commits = []
    for month in months:
        replace = None if month is None else [("month", "=", month)]
        commit = warehouse.write(frame(run_id, month), SCHEMA, writer=Writer(run_id, "s", attempt), replace=replace)
        commits.append([commit.version, commit.repeated])
    if ending == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return commits


def frame(run_id: str, month: int | None) -> pd.DataFrame:
    return pd.DataFrame({"month": [month or 1] * 5, "writer": [crc32(run_id.encode())] * 5})


def race(root: Path, writers: list) -> list:
    """Writers are `[run id, months, ending]` on pandas, or `[run id, months, ending, engine]`."""
    start, children = multiprocessing.Barrier(len(writers), timeout=HANG_SECONDS), []
    for number, (run_id, months, ending, *engine) in enumerate(writers, start=1):
        child = os.fork()
        if child == 0:
            commits = write(root, start, run_id, number, months, ending, *(engine or ["pandas"]))
            (root / f"commits-{number}").write_text(json.dumps(commits))
            os._exit(0)
        children.append(child)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return [code or json.loads((root / f"commits-{number}").read_text()) for number, code in enumerate(ended, start=1)]


def main(root: Path, races: list) -> list:
    """Run one race after the other."""
    if any("spark" in writer for writers in races for writer in writers):
        import pyspark.sql.connect.session  # noqa: F401 - may be forked once it is imported
    return [race(root, writers) for writers in races]


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), json.loads(sys.argv[2]))))
