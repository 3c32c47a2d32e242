"""One batch of the queue in a process of its own: `python -m stagebook.batch.batch_child JSON`.

No configuration starts outside of the entry's times; where none may start any more, the batch ends with `LATER`.
"""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime

from stagebook.batch.child import NEXT_MONTH
from stagebook.batch.prepare import BatchRequest
from stagebook.batch.sweeping import run_batch
from stagebook.errors import StagebookError
from stagebook.report.comparison import to_text
from stagebook.run.display import Silent
from stagebook.run.pipeline import Surface
from stagebook.run.request import RunRequest
from stagebook.schedule.when import Times


def main() -> None:
    setup = json.loads(sys.argv[1])
    times = Times.from_json(setup["times"])
    run = replace(RunRequest.from_json(setup["request"]), urgent_from=setup["urgent_from"])
    request = BatchRequest(None, run, setup["jobs"], resume=setup["batch"])

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    surface = Surface(Silent(), warn=lambda text: say(f"stagebook: {text}"))
    try:
        result = run_batch(request, surface, say, may_start=lambda: times.may_start(datetime.now(UTC)))
    except StagebookError as error:
        surface.warn(str(error))
        sys.exit(error.exit_code)
    print(to_text(result.comparison))
    sys.exit(NEXT_MONTH if result.month_is_spent else result.exit_code)


if __name__ == "__main__":
    main()
