"""The runner's side of one attempt: start a worker, pass its progress on, know how it ended."""

import json
import os
import selectors
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from stagebook.execute import kernel
from stagebook.execute.host.client import Host, NoHost
from stagebook.execute.host.forked import UNKNOWN
from stagebook.execute.job import CellProgress, Job, Outcome
from stagebook.execute.piped import Pipes, Program, Started
from stagebook.model.record import AttemptStatus

MARK = "STAGEBOOK_ATTEMPT"
STOP_GRACE_SECONDS = 12.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Worker(Started):
    """A worker that waits for its job; `mark` is what all its processes carry."""

    mark: str


def run_attempt(
    job: Job,
    *,
    log: Path,
    stop: threading.Event,
    progress: Callable[[CellProgress], None],
    host: Host | None = None,
    ready: Worker | None = None,
) -> Outcome:
    """Execute one attempt in a worker process of its own; never raises for what happens inside.

    It is the `ready` one, where there is one; with a `host` it is forked from there, if that can be; why not is then
    in the log. Setting `stop` interrupts the cell under way, saves the notebook and ends all processes. What the
    worker and the kernel print outside of cells goes to `log`.
    """
    worker = ready or _started(host, log, stop)
    try:
        outcome = _converse(worker, job, stop, progress)
        if outcome is None:
            worker.process.kill()
            worker.process.wait()
            kernel.end(kernel.carrying(MARK, worker.mark))
            outcome = _lost(worker.process.returncode, log)
    finally:
        worker.let_go()
    return outcome


def forked(host: Host, log: BinaryIO, stop: threading.Event, at_leisure: float | None = None) -> Worker:
    """A worker from a host.

    Raises:
        NoHost: see `Host.fork`.
    """
    program, pipes, mark = Program("stagebook.execute.host.child"), Pipes(), _mark()
    try:
        process = program.forked(pipes, log.fileno(), {**os.environ, MARK: mark}, host, stop, at_leisure)
        return Worker(process, pipes, mark)
    except NoHost:
        pipes.handed_over()
        pipes.close()
        raise


def _started(host: Host | None, log: Path, stop: threading.Event) -> Worker:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab", buffering=0) as stream:
        if host is not None:
            try:
                return forked(host, stream, stop)
            except NoHost as why:
                stream.write(f"kernel: cold, {why}\n".encode())
        program, pipes, mark = Program("stagebook.execute.worker"), Pipes(), _mark()
        return Worker(program.afresh(pipes, stream.fileno(), {**os.environ, MARK: mark}), pipes, mark)


def _mark() -> str:
    return f"{os.getpid()}-{time.monotonic_ns()}"


def _converse(
    worker: Worker,
    job: Job,
    stop: threading.Event,
    progress: Callable[[CellProgress], None],
) -> Outcome | None:
    """Pass the job in and read answers until the worker ends; None if it ended without an outcome."""
    stdin, stdout = worker.pipes.stdin, worker.pipes.stdout
    asked_at: float | None = None
    outcome: Outcome | None = None
    buffer = b""
    try:
        stdin.write(job.to_line().encode())
        stdin.flush()
    except BrokenPipeError:
        return None
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while True:
            if selector.select(timeout=_POLL_SECONDS):
                chunk = os.read(stdout.fileno(), 65536)
                if not chunk:
                    break
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    outcome = _heard(json.loads(line), progress) or outcome
            if stop.is_set() and asked_at is None:
                asked_at = time.monotonic()
                stdin.close()
            if asked_at is not None and time.monotonic() - asked_at > STOP_GRACE_SECONDS:
                return outcome
    worker.process.wait()
    return outcome


def _heard(message: dict[str, Any], progress: Callable[[CellProgress], None]) -> Outcome | None:
    if "cell" in message:
        progress(CellProgress(**message["cell"]))
        return None
    return Outcome.from_json(message["outcome"])


def _lost(returncode: int | None, log: Path) -> Outcome:
    """The outcome of a worker that ended without a word."""
    if returncode is None or returncode == UNKNOWN:
        how = "how is not known: the kernel host that it came from has ended too"
    else:
        how = f"killed by {signal.Signals(-returncode).name}" if returncode < 0 else f"exit status {returncode}"
    tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] if log.exists() else []
    why = f"the worker process ended without a result ({how})" + (f": {tail[0]}" if tail else "")
    return Outcome.failed(AttemptStatus.KERNEL_DIED, "WorkerDied", why)
