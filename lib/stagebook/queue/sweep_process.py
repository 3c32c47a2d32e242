"""One sweep of the queue in a process of its own: `python -m stagebook.queue.sweep_process JSON`.

No configuration starts outside of the entry's times; where none may start any more, it ends with `CONTINUE_LATER`.
"""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime

from stagebook.config.request import RunRequest
from stagebook.errors import StagebookError
from stagebook.report.sweep_comparison import to_text
from stagebook.runner.environment import RunEnvironment
from stagebook.runner.progress import SilentProgress
from stagebook.runner.run_process import MONTH_SPENT
from stagebook.schedule.start_times import StartTimes
from stagebook.sweeps.prepare import SweepRequest
from stagebook.sweeps.run import run_sweep


def main() -> None:
    """Run the sweep, and exit with its status."""
    setup = json.loads(sys.argv[1])
    times = StartTimes.from_json(setup["times"])
    run = replace(RunRequest.from_json(setup["request"]), urgent_from=setup["urgent_from"])
    request = SweepRequest(None, run, setup["jobs"], resume=setup["sweep"])

    def show(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    environment = RunEnvironment(SilentProgress(), warn=lambda text: show(f"stagebook: {text}"))
    try:
        result = run_sweep(request, environment, show, may_start=lambda: times.may_start(datetime.now(UTC)))
    except StagebookError as error:
        environment.warn(str(error))
        sys.exit(error.exit_code)
    print(to_text(result.comparison))
    sys.exit(MONTH_SPENT if result.is_month_spent else result.exit_code)


if __name__ == "__main__":
    main()
