"""`stagebook queue`: runs and sweeps that start when they may: at night, before a deadline, within the budget."""

import json as jsonlib
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number

from stagebook.cli import threads
from stagebook.cli.options import Flag, JsonFlag, RunOptions, Selection, quiet_environment

if TYPE_CHECKING:
    from stagebook.queue.store import Queue, QueueEntry

app = App(name="queue", help="Runs and sweeps that start when they may: within hours, by priority, before a deadline.")


def _queue() -> "Queue":
    from stagebook.queue.store import Queue
    from stagebook.user_state import state_folder

    return Queue(state_folder() / "queue.sqlite")


@app.command
def add(
    *,
    options: RunOptions = RunOptions(),
    selection: Selection = Selection(),
    sweep: str | None = None,
    priority: int = 0,
    not_before: str | None = None,
    window: str | None = None,
    deadline: str | None = None,
    json: JsonFlag = False,
) -> int:
    """Put a run, or with --sweep a sweep, into the queue. Everything is checked now.

    Parameters
    ----------
    sweep:
        Sweep file, as in `stagebook sweep`; its configurations are settled now, and it names its own stages.
    priority:
        A larger number starts first.
    not_before:
        Do not start before this time, such as 2026-11-26T22:00 (in the zone of the window, or here).
    window:
        Start only within these hours, such as "22:00-06:00 Europe/Berlin".
    deadline:
        Start at this time in any case, outside the window too.
    json:
        Print the entry as JSON.
    """
    from stagebook.queue.enqueue import enqueue
    from stagebook.sweeps.prepare import SweepRequest

    environment = quiet_environment()
    request = SweepRequest(sweep, options.request(selection), options.job_count)
    entry = enqueue(request, priority, (not_before, window, deadline), _queue(), environment)
    print(jsonlib.dumps(_to_json(entry, environment.clock()), indent=2) if json else _line(entry, environment.clock()))
    return 0


@app.command(name="list")
def list_entries(
    *,
    everything: Annotated[bool, Parameter(name="--all", negative=(), show_default=False)] = False,
    json: JsonFlag = False,
) -> int:
    """Show what waits and runs, with when it may start.

    Parameters
    ----------
    everything:
        Also what has ended or was cancelled.
    json:
        Print a list of JSON objects.
    """
    from stagebook.queue.store import EntryState

    now, closed = datetime.now(UTC), (EntryState.ENDED, EntryState.CANCELLED)
    entries = [entry for entry in _queue().entries() if everything or entry.state not in closed]
    if json:
        print(jsonlib.dumps([_to_json(entry, now) for entry in entries], indent=2))
    else:
        print("\n".join(_line(entry, now) for entry in entries) or "nothing waits")
    return 0


@app.command
def cancel(number: int, /) -> int:
    """Take an entry out of the queue; one that runs is stopped, and can be resumed by its run id.

    Parameters
    ----------
    number:
        The entry, as `stagebook queue list` shows it.
    """
    print(_line(_queue().cancel(number), datetime.now(UTC)))
    return 0


@app.command
def run(
    *,
    jobs: Annotated[int, Parameter(name=("--jobs", "-j"), validator=Number(gte=1))] = 1,
    watch: Flag = False,
) -> int:
    """Work on the queue until nothing is left that may start now.

    Exit status: 0 all that ended did so with 0, 1 something did not, 129 hung up, 130 interrupted, 143 terminated; what
    was interrupted waits again, and is resumed.

    Parameters
    ----------
    jobs:
        Entries that may run at once.
    watch:
        Stay, and start entries when their time comes.
    """
    from stagebook.queue.worker import QueueWorker, launch, look, work
    from stagebook.runner.signals import stop_on_signals

    threads.share(jobs)
    queue = _queue()
    logs = queue.file.parent / "queue"
    worker = QueueWorker(
        queue,
        launch=lambda entry: launch(entry, logs / f"entry-{entry.id}.log"),
        look=look,
        show=lambda text: print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True),
    )
    with stop_on_signals(worker.stop) as signals:
        succeeded = work(worker, jobs, watch=watch)
    return 128 + signals[-1] if signals else 0 if succeeded else 1


def _to_json(entry: "QueueEntry", now: datetime) -> dict[str, Any]:
    waits = entry.state.value == "waiting"
    return {
        "id": entry.id,
        "state": entry.state.value,
        "kind": entry.kind,
        "what": entry.command,
        "priority": entry.priority,
        **entry.times.to_json(),
        "next_start": entry.times.next_start(now).isoformat() if waits else None,
        "folder": str(entry.folder),
        "exit_code": entry.exit_code,
        "why": entry.reason,
    }


def _line(entry: "QueueEntry", now: datetime) -> str:
    """`3  waiting    from 2026-11-25 22:00 CET  stagebook run --params dev.yaml`."""
    match entry.state.value:
        case "waiting" if entry.times.may_start(now):
            status = "may start"
        case "waiting":
            zone = None if entry.times.window is None else entry.times.window.zone
            status = f"from {entry.times.next_start(now).astimezone(zone):%Y-%m-%d %H:%M %Z}"
        case "ended":
            status = f"exit status {entry.exit_code}"
        case _:
            status = ""
    rank = f" (priority {entry.priority})" if entry.priority else ""
    reason = f"; {entry.reason}" if entry.reason else ""
    return f"{entry.id:>4}  {entry.state.value:10}  {status:28}  {entry.folder.name}: {entry.command}{rank}{reason}"
