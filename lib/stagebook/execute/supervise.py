"""The runner's side of one attempt: start a worker, pass its progress on, know how it ended."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from stagebook.execute import kernel
from stagebook.execute.host.client import UNKNOWN, ForkedWorker, Host, NoHost
from stagebook.execute.job import CellProgress, Job, Outcome
from stagebook.model.record import AttemptStatus

Worker = subprocess.Popen[bytes] | ForkedWorker

MARK = "STAGEBOOK_ATTEMPT"
STOP_GRACE_SECONDS = 12.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Started:
    """A worker that waits for its job, and the mark that its processes carry."""

    worker: Worker
    mark: str

    def let_go(self, seconds: float = 0.0) -> None:
        """End the worker, which has `seconds` to do so itself once it hears that no job comes, and its streams."""
        with contextlib.suppress(OSError):
            assert self.worker.stdin
            self.worker.stdin.close()
        deadline = time.monotonic() + seconds
        while self.worker.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        self.worker.kill()
        self.worker.wait()
        with contextlib.suppress(OSError):  # what it did not read any more
            assert self.worker.stdout
            self.worker.stdout.close()
        if isinstance(self.worker, ForkedWorker):
            self.worker.close()


def run_attempt(
    job: Job,
    *,
    log: Path,
    stop: threading.Event,
    progress: Callable[[CellProgress], None],
    host: Host | None = None,
    ready: Started | None = None,
) -> Outcome:
    """Execute one attempt in a worker process of its own; never raises for what happens inside.

    It is the `ready` one, where there is one; with a `host` it is forked from there, if that can be; why not is then
    in the log. Setting `stop` interrupts the cell under way, saves the notebook and ends all processes. What the
    worker and the kernel print outside of cells goes to `log`.
    """
    started = ready or _started(host, log, stop)
    worker = started.worker
    try:
        outcome = _converse(worker, job, stop, progress)
        if outcome is None:
            worker.kill()
            worker.wait()
            kernel.end(kernel.carrying(MARK, started.mark))
            outcome = _lost(worker.returncode, log)
    finally:
        started.let_go()
    return outcome


def forked(host: Host, log: BinaryIO, stop: threading.Event, *, at_leisure: bool = False) -> Started:
    """A worker from a host; `at_leisure`: when the host has imported all that it is to import.

    Raises:
        NoHost: see `Host.fork`.
    """
    mark = _mark()
    return Started(host.fork(log.fileno(), {**os.environ, MARK: mark}, stop, at_leisure=at_leisure), mark)


def _started(host: Host | None, log: Path, stop: threading.Event) -> Started:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab", buffering=0) as stream:
        if host is not None:
            try:
                return forked(host, stream, stop)
            except NoHost as why:
                stream.write(f"kernel: cold, {why}\n".encode())
        mark = _mark()
        worker = subprocess.Popen(
            [sys.executable, "-m", "stagebook.execute.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            start_new_session=True,
            env={**os.environ, MARK: mark},
        )
    return Started(worker, mark)


def _mark() -> str:
    return f"{os.getpid()}-{time.monotonic_ns()}"


def _converse(
    worker: Worker,
    job: Job,
    stop: threading.Event,
    progress: Callable[[CellProgress], None],
) -> Outcome | None:
    """Pass the job in and read answers until the worker ends; None if it ended without an outcome."""
    assert worker.stdin and worker.stdout
    asked_at: float | None = None
    outcome: Outcome | None = None
    buffer = b""
    try:
        worker.stdin.write(job.to_line().encode())
        worker.stdin.flush()
    except BrokenPipeError:
        return None
    with selectors.DefaultSelector() as selector:
        selector.register(worker.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(timeout=_POLL_SECONDS):
                chunk = os.read(worker.stdout.fileno(), 65536)
                if not chunk:
                    break
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    outcome = _heard(json.loads(line), progress) or outcome
            if stop.is_set() and asked_at is None:
                asked_at = time.monotonic()
                worker.stdin.close()
            if asked_at is not None and time.monotonic() - asked_at > STOP_GRACE_SECONDS:
                return outcome
    worker.wait()
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
