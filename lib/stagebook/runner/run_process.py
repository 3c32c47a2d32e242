"""One run in a process of its own, as `stagebook run` would do it: `python -m stagebook.runner.run_process JSON`.

It goes on with the run where that was begun before. The exit status is the run's, but for `MONTH_SPENT`.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from stagebook.config.request import RunRequest
from stagebook.errors import StagebookError
from stagebook.runner.budget import MonthlyBudgetSpent, is_monthly
from stagebook.runner.environment import RunEnvironment
from stagebook.runner.pipeline import run_pipeline
from stagebook.runner.progress import choose
from stagebook.runner.signals import StoppedBySignal
from stagebook.runs.folders import RunFolder

MONTH_SPENT = 76
"""Exit status of a run that was refused, or stopped, for what the month has spent: 3 for everybody else."""


ENVIRONMENT_PREFIXES = ("STAGEBOOK_PARAM_", "STAGEBOOK_RUNS_DIR", "STAGEBOOK_WAREHOUSE")
"""How variables begin by which an environment says what runs, and where."""


class RunProcess(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...


@dataclass(frozen=True)
class OrphanedRun:
    """A run that a process holds which this one has not started, such as one that outlived whoever did."""

    folder: RunFolder
    pid: int = 0

    def poll(self) -> int | None:
        """The run's exit status, once it is let go; the one of a run that was killed where it tells none."""
        if self.folder.is_held:
            return None
        record = self.folder.load_part()
        return 1 if record is None or record.exit_code is None else record.exit_code

    def terminate(self) -> None:
        """Nothing: it is not ours to end."""


def start(
    module: str, setup: dict[str, Any], *, cwd: Path, log: Path, environ: Mapping[str, str] | None = None
) -> RunProcess:
    """Start a module of this room as a process that outlives this one; what it says is added to `log`.

    Args: environ: environment variables, instead of this process's.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(setup)],
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,  # a Ctrl-C is for who has started it, and passed on
        )


def main() -> None:
    setup = json.loads(sys.argv[1])
    request, folder = RunRequest.from_json(setup["request"]), RunFolder(Path(setup["folder"]))
    request = replace(request, jobs=setup["jobs"], urgent_from=setup["urgent_from"])
    begun = folder.events.exists()
    request = replace(request, resume=folder.run_id) if begun else replace(request, run_id=folder.run_id)

    def warn(text: str) -> None:
        print(f"stagebook: {text}", file=sys.stderr)

    try:
        result = run_pipeline(request, RunEnvironment(choose(quiet=False, verbose=False, plain=True), warn))
    except StagebookError as error:
        warn(str(error))
        sys.exit(MONTH_SPENT if isinstance(error, MonthlyBudgetSpent) else error.exit_code)
    except StoppedBySignal as stopped:
        sys.exit(128 + stopped.number)
    print(result.summary)
    spent = any(map(is_monthly, result.record.over_budget.values()))
    sys.exit(MONTH_SPENT if spent else result.record.exit_code or 0)


if __name__ == "__main__":
    main()
