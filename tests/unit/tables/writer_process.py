"""A writer in a process of its own: waits for a start file, writes, and may be killed right after its commit."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pandas as pd

from stagebook.engines.local import LocalEngine
from stagebook.model.tables import Column, Kind, TableSchema
from stagebook.tables.warehouse import Warehouse, Writer

SCHEMA = TableSchema(
    "t", "raced for", (Column("month", Kind.INT32, "month"), Column("writer", Kind.INT64, "who wrote"))
)


def main(root: str, run_id: str, attempt: str, months: str, then: str) -> None:
    warehouse = Warehouse(Path(root) / "tables", LocalEngine())
    warehouse.names()
    (Path(root) / f"ready-{os.getpid()}").touch()
    while not (Path(root) / "go").exists():
        time.sleep(0.002)
    commits = []
    for month in json.loads(months):
        frame = pd.DataFrame({"month": [month or 1] * 5, "writer": [len(run_id)] * 5})
        replace = None if month is None else [("month", "=", month)]
        commit = warehouse.write(frame, SCHEMA, writer=Writer(run_id, "s", int(attempt)), replace=replace)
        commits.append([commit.version, commit.repeated])
    if then == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    print(json.dumps(commits))


if __name__ == "__main__":
    main(*sys.argv[1:])
