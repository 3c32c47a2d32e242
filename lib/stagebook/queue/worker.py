"""Working on the queue: entries start when they may, so many at once, each in a process of its own."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from stagebook import atomic
from stagebook.errors import ConfigError
from stagebook.model.record import RunStatus
from stagebook.queue import sweep_process
from stagebook.queue.store import EntryState, Queue, QueueEntry, RunOutcome
from stagebook.runner import run_process
from stagebook.runner.outcome import OVER_BUDGET
from stagebook.runner.run_process import ENVIRONMENT_PREFIXES, MONTH_SPENT, RunProcess
from stagebook.runs.folders import SWEEP_FILE, RunFolder
from stagebook.schedule.start_times import next_month_start
from stagebook.sweeps.run import CONTINUE_LATER

PAUSE_SECONDS = 0.25
"""Between two looks at the queue and at what runs."""


@dataclass(frozen=True)
class QueueWorker:
    """What is needed to work on a queue.

    `launch` starts an entry, `look` gives how its run ended so far, `show` takes lines about the progress. `stop` is
    set to end early.
    """

    queue: Queue
    launch: Callable[[QueueEntry], RunProcess]
    look: Callable[[QueueEntry], RunOutcome]
    show: Callable[[str], None]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    pause: Callable[[], None] = lambda: time.sleep(PAUSE_SECONDS)
    stop: threading.Event = field(default_factory=threading.Event)


Running = dict[int, tuple[QueueEntry, RunProcess]]


def work(worker: QueueWorker, jobs: int, *, watch: bool = False) -> bool:
    """Work until nothing is left that could start now, or with `watch` until `stop` is set.

    When it is stopped, what runs is interrupted and waits again, to be resumed.

    Args: jobs: entries that run at once.
    Returns:
        Whether all that ended did so with exit status 0.
    """
    running: Running = {}
    succeeded, stopping = True, False
    while True:
        for entry, code in _pop_ended(running):
            succeeded &= _close(worker, entry, code, stopping=stopping)
        if worker.stop.is_set() and not stopping:
            stopping = True
            for _, process in running.values():
                process.terminate()
        if not stopping:
            succeeded &= _start(worker, jobs, running)
            _stop_cancelled(worker, running)
        if not running and (stopping or not watch):
            return succeeded
        worker.pause()


def _pop_ended(running: Running) -> list[tuple[QueueEntry, int]]:
    codes = {number: process.poll() for number, (_, process) in running.items()}
    return [(running.pop(number)[0], code) for number, code in codes.items() if code is not None]


def _start(worker: QueueWorker, jobs: int, running: Running) -> bool:
    """Start what may start now; whether all of it could be."""
    succeeded = True
    while len(running) < jobs and (entry := worker.queue.take(worker.clock(), worker.look)) is not None:
        overdue = ", as its deadline has come" if entry.times.is_overdue(worker.clock()) else ""
        worker.show(f"entry {entry.id} starts{overdue}: {entry.command}")
        try:
            process = worker.launch(entry)
        except OSError as error:  # such as a folder that is gone
            worker.queue.end(entry.id, ConfigError.exit_code, str(error))
            worker.show(f"entry {entry.id} could not be started: {error}")
            succeeded = False
            continue
        worker.queue.own(entry.id, process.pid)
        running[entry.id] = (entry, process)
    return succeeded


def _stop_cancelled(worker: QueueWorker, running: Running) -> None:
    for entry in worker.queue.entries() if running else ():
        if entry.state is EntryState.CANCELLING and entry.id in running:
            running[entry.id][1].terminate()


def _close(worker: QueueWorker, entry: QueueEntry, code: int, *, stopping: bool) -> bool:
    """Close an entry whose process has ended, or let it wait again; false where it failed."""
    if code == MONTH_SPENT:
        until = next_month_start(worker.clock())
        reason = f"the month's budget is spent; it waits until {until:%Y-%m-%d}"
        worker.queue.put_back(entry.id, reason, held_until=until)
    elif code == CONTINUE_LATER:
        reason = "it goes on when it may start again"
        worker.queue.put_back(entry.id, reason)
    elif stopping and code:
        reason = "interrupted; it will be resumed"
        worker.queue.put_back(entry.id, reason)
    else:
        status = code if code >= 0 else 128 - code
        reason = "" if code >= 0 else "its process was killed"
        worker.queue.end(entry.id, status, reason)
        worker.show(f"entry {entry.id} ended with exit status {status}{f': {reason}' if reason else ''}")
        return status == 0
    worker.show(f"entry {entry.id} waits again: {reason}")
    return True


def launch(entry: QueueEntry, log: Path) -> RunProcess:
    """Start an entry's run or sweep as a process that outlives this one, in the environment that it was added in.

    At the pools it gives way to other runs until its deadline.
    """
    deadline = entry.times.deadline
    setup = {**entry.setup, "urgent_from": float("inf") if deadline is None else deadline.timestamp()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIXES)}
    if entry.kind == "sweep":
        module, setup = sweep_process, {**setup, "sweep": entry.folder.name, "times": entry.times.to_json()}
    else:
        module, setup = run_process, {**setup, "folder": str(entry.folder)}
    environ = {**inherited, **entry.setup["environ"]}
    return run_process.start(module.__name__, setup, cwd=entry.cwd, log=log, environ=environ)


def look(entry: QueueEntry) -> RunOutcome:
    """How an entry's run or sweep ended so far. One that was interrupted, or over budget, has not ended."""
    folder = RunFolder(entry.folder)
    if not folder.path.is_dir():
        return RunOutcome()
    if folder.is_held:
        return RunOutcome(held=True)
    if entry.kind == "sweep":
        sweep_run = atomic.readable_json(folder.path / SWEEP_FILE)
        code = sweep_run.get("exit_code") if isinstance(sweep_run, dict) else None
        is_final = code is not None and code not in (CONTINUE_LATER, OVER_BUDGET) and code < 128
        return RunOutcome(exit_code=code if is_final else None)
    record = folder.load_part()  # a damaged run is started, and refused with a sentence
    if record is None or record.status not in (RunStatus.SUCCEEDED, RunStatus.FAILED):
        return RunOutcome()
    return RunOutcome(exit_code=None if record.exit_code == OVER_BUDGET else record.exit_code)
