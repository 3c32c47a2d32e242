"""The runner's side of one attempt: start a worker, pass its progress on, find out how it ended."""

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

from stagebook.executor.job import CellProgress, Job, Outcome
from stagebook.executor.kernels import lifecycle
from stagebook.executor.kernels.fork_server import UNKNOWN_STATUS, ForkServer, ForkServerUnavailable
from stagebook.executor.piped_process import KitProgram, PipedProcess, Pipes
from stagebook.formatting import first_line
from stagebook.model.record import AttemptStatus

MARK = "STAGEBOOK_ATTEMPT"
STOP_GRACE_SECONDS = 12.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Worker(PipedProcess):
    """A worker that waits for its job; all its processes have `mark` as the value of the variable `MARK`."""

    mark: str


def run_attempt(
    job: Job,
    *,
    log: Path,
    stop: threading.Event,
    progress: Callable[[CellProgress], None],
    fork_server: ForkServer | None = None,
    prestarted: Worker | None = None,
) -> Outcome:
    """Execute one attempt in a worker process of its own; never raises for what happens inside.

    The worker is the `prestarted` one, else it is forked from the `fork_server`, else started afresh; why it was not
    forked is in the log. Setting `stop` interrupts the cell under way, saves the notebook and ends all processes.
    What the worker and the kernel print outside of cells goes to `log`.
    """
    worker = prestarted or _start_worker(fork_server, log, stop)
    try:
        outcome = _exchange(worker, job, stop, progress)
        if outcome is None:
            worker.process.kill()
            worker.process.wait()
            lifecycle.end(lifecycle.processes_with(MARK, worker.mark))
            outcome = _without_result(worker.process.returncode, log)
    finally:
        worker.end()
    return outcome


def fork_worker(
    fork_server: ForkServer, log: BinaryIO, stop: threading.Event, imports_seconds: float | None = None
) -> Worker:
    """Fork a worker, which has prespawned its kernel.

    Raises:
        ForkServerUnavailable: see `ForkServer.fork`.
    """
    program, pipes, mark = KitProgram("stagebook.executor.kernels.prespawned"), Pipes(), _new_mark()
    try:
        process = program.fork(pipes, log.fileno(), {**os.environ, MARK: mark}, fork_server, stop, imports_seconds)
        return Worker(process, pipes, mark)
    except ForkServerUnavailable:
        pipes.close_child_ends()
        pipes.close()
        raise


def _start_worker(fork_server: ForkServer | None, log: Path, stop: threading.Event) -> Worker:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab", buffering=0) as stream:
        if fork_server is not None:
            try:
                return fork_worker(fork_server, stream, stop)
            except ForkServerUnavailable as error:
                stream.write(f"kernel: cold, {error}\n".encode())
        program, pipes, mark = KitProgram("stagebook.executor.worker"), Pipes(), _new_mark()
        return Worker(program.start(pipes, stream.fileno(), {**os.environ, MARK: mark}), pipes, mark)


def _new_mark() -> str:
    return f"{os.getpid()}-{time.monotonic_ns()}"


def _exchange(
    worker: Worker, job: Job, stop: threading.Event, progress: Callable[[CellProgress], None]
) -> Outcome | None:
    """Send the job and read answers until the worker ends; None if it ended without an outcome."""
    stdin, stdout = worker.pipes.stdin, worker.pipes.stdout
    stopped_at: float | None = None
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
                    outcome = _handle(json.loads(line), progress) or outcome
            if stop.is_set() and stopped_at is None:
                stopped_at = time.monotonic()
                stdin.close()
            if stopped_at is not None and time.monotonic() - stopped_at > STOP_GRACE_SECONDS:
                return outcome
    worker.process.wait()
    return outcome


def _handle(message: dict[str, Any], progress: Callable[[CellProgress], None]) -> Outcome | None:
    """Pass a cell on; an outcome is returned."""
    if "cell" in message:
        progress(CellProgress(**message["cell"]))
        return None
    return Outcome.from_json(message["outcome"])


def _without_result(returncode: int | None, log: Path) -> Outcome:
    """The outcome of a worker that ended without reporting one; the message quotes the log's last line."""
    if returncode is None or returncode == UNKNOWN_STATUS:
        ending = "its exit status is not known: the fork server that it came from has ended too"
    else:
        ending = f"killed by {signal.Signals(-returncode).name}" if returncode < 0 else f"exit status {returncode}"
    last_line = first_line(_last_line(log))
    message = f"the worker process ended without a result ({ending})" + (f": {last_line}" if last_line else "")
    return Outcome.failed(AttemptStatus.KERNEL_DIED, "WorkerDied", message)


def _last_line(log: Path) -> str:
    """The last line of a log with something in it; a log may be of any size."""
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 65536))
        lines = stream.read().decode(errors="replace").splitlines()
    return next((line for line in reversed(lines) if line.strip()), "")
