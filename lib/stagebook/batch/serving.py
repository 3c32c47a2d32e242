"""Working on the queue: entries start when they may, so many at once, each in a process of its own."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from stagebook.batch import batch_child, child
from stagebook.batch.child import NEXT_MONTH, SAID, Child
from stagebook.batch.prepare import BATCH
from stagebook.batch.sweeping import LATER
from stagebook.errors import ConfigError
from stagebook.model.record import RunStatus
from stagebook.run.ending import OVER_BUDGET
from stagebook.schedule.when import next_month
from stagebook.storage import atomic
from stagebook.storage.queue import Entry, Left, Queue, State
from stagebook.storage.runs import RunFolder


@dataclass(frozen=True)
class Desk:
    """What is needed to work on a queue.

    `launch` starts an entry, `look` says what its run has left, `tell` takes lines for whoever looks on. `stop` is set
    to end early.
    """

    queue: Queue
    launch: Callable[[Entry], Child]
    look: Callable[[Entry], Left]
    tell: Callable[[str], None]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    pause: Callable[[], None] = lambda: time.sleep(1)
    stop: threading.Event = field(default_factory=threading.Event)


def serve(desk: Desk, jobs: int, *, watch: bool = False) -> bool:
    """Work until nothing is left that could start now, or with `watch` until `stop` is set.

    When it is stopped, what runs is interrupted and waits again, to be gone on with.

    Args: jobs: entries that run at once.
    Returns:
        Whether all that ended did so with exit status 0.
    """
    running: dict[int, tuple[Entry, Child]] = {}
    fine, stopping = True, False
    while True:
        for entry, code in _ended(running):
            fine &= _settle(desk, entry, code, stopping=stopping)
        if desk.stop.is_set() and not stopping:
            stopping = True
            for _, process in running.values():
                process.terminate()
        if not stopping:
            fine &= _start(desk, jobs, running)
            _stop_cancelled(desk, running)
        if not running and (stopping or not watch):
            return fine
        desk.pause()


def _ended(running: dict[int, tuple[Entry, Child]]) -> list[tuple[Entry, int]]:
    codes = {number: process.poll() for number, (_, process) in running.items()}
    return [(running.pop(number)[0], code) for number, code in codes.items() if code is not None]


def _start(desk: Desk, jobs: int, running: dict[int, tuple[Entry, Child]]) -> bool:
    """Start what may start now; whether all of it could be."""
    fine = True
    while len(running) < jobs and (entry := desk.queue.take(desk.clock(), desk.look)) is not None:
        late = ", as its deadline has come" if entry.times.is_overdue(desk.clock()) else ""
        desk.tell(f"entry {entry.id} starts{late}: {entry.what}")
        try:
            process = desk.launch(entry)
        except OSError as error:  # such as a folder that is gone
            desk.queue.end(entry.id, ConfigError.exit_code, str(error))
            desk.tell(f"entry {entry.id} could not be started: {error}")
            fine = False
            continue
        desk.queue.own(entry.id, process.pid)
        running[entry.id] = (entry, process)
    return fine


def _stop_cancelled(desk: Desk, running: dict[int, tuple[Entry, Child]]) -> None:
    for entry in desk.queue.entries() if running else ():
        if entry.state is State.CANCELLING and entry.id in running:
            running[entry.id][1].terminate()


def _settle(desk: Desk, entry: Entry, code: int, *, stopping: bool) -> bool:
    """Close an entry whose process has ended, or let it wait again; whether that is fine."""
    if code == NEXT_MONTH:
        until = next_month(desk.clock())
        why = f"the month's budget is spent; it waits until {until:%Y-%m-%d}"
        desk.queue.put_back(entry.id, why, held_until=until)
    elif code == LATER:
        why = "it goes on when it may start again"
        desk.queue.put_back(entry.id, why)
    elif stopping and code:
        why = "interrupted; it is gone on with"
        desk.queue.put_back(entry.id, why)
    else:
        status = code if code >= 0 else 128 - code
        why = "" if code >= 0 else "its process was killed"
        desk.queue.end(entry.id, status, why)
        desk.tell(f"entry {entry.id} ended with exit status {status}{f': {why}' if why else ''}")
        return status == 0
    desk.tell(f"entry {entry.id} waits again: {why}")
    return True


def launch(entry: Entry, log: Path) -> Child:
    """Start an entry's run or batch as a process that outlives this one, in the environment of who has added it.

    At the pools it gives way to others until its deadline.
    """
    deadline = entry.times.deadline
    setup = {**entry.setup, "urgent_from": float("inf") if deadline is None else deadline.timestamp()}
    other = {name: value for name, value in os.environ.items() if not name.startswith(SAID)}
    if entry.kind == "batch":
        module, setup = batch_child, {**setup, "batch": entry.folder.name, "times": entry.times.to_json()}
    else:
        module, setup = child, {**setup, "folder": str(entry.folder)}
    environ = {**other, **entry.setup["environ"]}
    return child.start(module.__name__, setup, cwd=entry.cwd, log=log, environ=environ)


def look(entry: Entry) -> Left:
    """What an entry's run or batch has left. One that was interrupted, or lacked money, has not ended."""
    folder = RunFolder(entry.folder)
    if not folder.path.is_dir():
        return Left()
    if folder.is_held:
        return Left(held=True)
    if entry.kind == "batch":
        code = (atomic.read_json(folder.path / BATCH) or {}).get("exit_code")
        final = code is not None and code not in (LATER, OVER_BUDGET) and code < 128
        return Left(exit_code=code if final else None)
    record = folder.load()
    if record is None or record.status not in (RunStatus.SUCCEEDED, RunStatus.FAILED):
        return Left()
    return Left(exit_code=None if record.exit_code == OVER_BUDGET else record.exit_code)
