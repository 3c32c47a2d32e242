"""Writers in processes of their own: forked once everything is imported, they start at the same moment.

Each writes one or several months, and may be killed right after its last commit. Prints, per writer, its
commits as `[version, repeated]`, or the signal that ended it.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from zlib import crc32

import deltalake  # noqa: F401 - imported, never used before the fork
import pandas as pd
import pandera.pandas  # noqa: F401

from stagebook.engines.local import LocalEngine
from stagebook.model.tables import Column, Kind, TableSchema
from stagebook.tables.warehouse import Warehouse, Writer

SCHEMA = TableSchema(
    "t", "raced for", (Column("month", Kind.INT32, "month"), Column("writer", Kind.INT64, "who wrote"))
)


def write(root: Path, start: float, run_id: str, attempt: int, months: list, then: str) -> list:
    warehouse = Warehouse(root / "tables", LocalEngine())
    time.sleep(max(0.0, start - time.monotonic()))
    commits = []
    for month in months:
        frame = pd.DataFrame({"month": [month or 1] * 5, "writer": [crc32(run_id.encode())] * 5})
        replace = None if month is None else [("month", "=", month)]
        commit = warehouse.write(frame, SCHEMA, writer=Writer(run_id, "s", attempt), replace=replace)
        commits.append([commit.version, commit.repeated])
    if then == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return commits


def main(root: Path, writers: list) -> list:
    start, children = time.monotonic() + 0.3, []
    for number, (run_id, months, then) in enumerate(writers, start=1):
        child = os.fork()
        if child == 0:
            commits = write(root, start, run_id, number, months, then)
            (root / f"commits-{number}").write_text(json.dumps(commits))
            os._exit(0)
        children.append(child)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return [code or json.loads((root / f"commits-{number}").read_text()) for number, code in enumerate(ended, start=1)]


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), json.loads(sys.argv[2]))))
