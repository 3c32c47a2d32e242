"""The runner's side of one attempt: start a worker, pass its progress on, know how it ended."""

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stagebook.execute import kernel
from stagebook.execute.job import CellProgress, Job, Outcome
from stagebook.model.record import AttemptStatus

MARK = "STAGEBOOK_ATTEMPT"
STOP_GRACE_SECONDS = 12.0
_POLL_SECONDS = 0.1


def run_attempt(
    job: Job,
    *,
    log: Path,
    stop: threading.Event,
    progress: Callable[[CellProgress], None],
) -> Outcome:
    """Execute one attempt in a worker process of its own; never raises for what happens inside.

    Setting `stop` interrupts the cell under way, saves the notebook and ends all processes. What the
    worker and the kernel print outside of cells goes to `log`.
    """
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        worker = subprocess.Popen(
            [sys.executable, "-m", "stagebook.execute.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            start_new_session=True,
            env={**os.environ, MARK: mark},
        )
    try:
        outcome = _converse(worker, job, stop, progress)
    finally:
        if worker.poll() is None:
            worker.kill()
        worker.wait()
    if outcome is None:
        kernel.end(kernel.carrying(MARK, mark))
        return _lost(worker.returncode, log)
    return outcome


def _converse(
    worker: subprocess.Popen[bytes], job: Job, stop: threading.Event, progress: Callable[[CellProgress], None]
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


def _lost(returncode: int, log: Path) -> Outcome:
    """The outcome of a worker that ended without a word."""
    how = f"killed by {signal.Signals(-returncode).name}" if returncode < 0 else f"exit status {returncode}"
    tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] if log.exists() else []
    why = f"the worker process ended without a result ({how})" + (f": {tail[0]}" if tail else "")
    return Outcome.failed(AttemptStatus.KERNEL_DIED, "WorkerDied", why)
