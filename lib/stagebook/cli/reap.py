"""`stagebook reap`: close what a killed runner left open."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def reap(
    *,
    params: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    runs_dir: Path | None = None,
    warehouse: Path | None = None,
) -> int:
    """Close the runs whose runner was killed: record, report, MLflow and system tables say so. They can be resumed.

    Parameters
    ----------
    params:
        Parameter file of the pipeline (default: dev.yaml).
    runs_dir:
        Folder of the run records.
    warehouse:
        Folder of tables, files and tracking data.
    """
    from datetime import UTC, datetime

    from stagebook.cli.places import pipeline
    from stagebook.run.reap import reap as close

    def warn(text: str) -> None:
        print(f"stagebook: {text}", file=sys.stderr)

    closed = close(pipeline(params, warehouse, runs_dir), "stagebook run", lambda: datetime.now(UTC), warn)
    for run_id in closed:
        print(f"{run_id}  closed as interrupted: its runner was killed")
    if not closed:
        print("no run was left open")
    return 0
