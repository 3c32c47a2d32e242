"""The runner's side of the background worker: a process beside the run for what must not hold it up.

It creates the tracking database, sends records to MLflow, renders notebooks and sends notices. The runner writes
a numbered task a line to its stdin and reads numbered JSON answers; whatever happens to the worker, the run goes on.
"""

import json
import os
import selectors
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from stagebook.executor.kernels.fork_server import ForkServer, ForkServerUnavailable
from stagebook.executor.piped_process import KitProgram, PipedProcess, Pipes, Process
from stagebook.model.pipeline import Pipeline
from stagebook.model.record import RunRecord
from stagebook.runner.event_sinks import EventSinks
from stagebook.runner.signals import StopSignals
from stagebook.runs.events import Event

READY_SECONDS = 120.0
RENDER_SECONDS = 60.0
FINISH_SECONDS = 60.0
END_SECONDS = 5.0
SLICE_SECONDS = 0.1
FORK_SECONDS = 20.0
"""How long the fork server may take to import, before a worker is started that imports by itself."""


class BackgroundWorker:
    """The runner's handle of the worker. Every wait is bounded, and no failure of the worker is raised.

    Args:
        fork_server: forks the worker as soon as it has imported what stages need; without it, it starts afresh.
        signals: of the run; when one hurries it up, no answer is waited for any more.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        run_folder: Path,
        fork_server: ForkServer | None = None,
        signals: StopSignals | None = None,
    ) -> None:
        setup = {"run_folder": str(run_folder), "sinks": EventSinks.of(pipeline).to_json()}
        self._program = KitProgram("stagebook.runner.background_process", (json.dumps(setup),))
        self._signals = signals or StopSignals()
        self._log = run_folder / "background.log"
        self._pipes = Pipes()  # tasks that are posted before it has started wait in them
        self._hurry = threading.Event()
        self._process: Process | None = None
        self._starting = threading.Thread(target=self._start, args=(fork_server,), name="background", daemon=True)
        self._starting.start()
        self._buffer = b""
        self._calls = 0
        self._detached = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let the worker go; it ends by itself when its stdin is closed."""
        if not self._detached:
            self._started().end(END_SECONDS)

    def on_event(self, event: Event, record: RunRecord) -> None:
        """Post work that can be done while the next stage runs: MLflow and the notebook's page."""
        if event["event"] == "attempt_finished":
            self.post("sync")
            self.post("render")

    def post(self, task: str) -> int:
        """Ask for a task without waiting, by the name of a `BackgroundTasks` method; gives the number of the call."""
        self._calls += 1
        with suppress(BrokenPipeError, ValueError):
            self._pipes.stdin.write(f"{self._calls} {task}\n".encode())
            self._pipes.stdin.flush()
        return self._calls

    def call(self, task: str, seconds: float) -> dict[str, Any] | None:
        """Ask for a task and wait for its answer; None if it fails or does not come in time."""
        return self.wait_for(self.post(task), seconds)

    def wait_for(self, call: int, seconds: float) -> dict[str, Any] | None:
        """The answer to an earlier call; answers to calls before it are passed over."""
        deadline = time.monotonic() + seconds
        while (line := self._line(deadline)) is not None:
            number, _, text = line.decode().partition(" ")
            if int(number) == call:
                answer = json.loads(text)
                return None if "problem" in answer else answer
        return None

    def detach(self, task: str) -> None:
        """Let the worker do a last task by itself, after this process has ended."""
        self.post(task)
        self._started().detach()
        self._detached = True

    @property
    def is_hurried(self) -> bool:
        """Whether nothing is to be waited for any more."""
        return self._signals.is_hurried

    def _start(self, fork_server: ForkServer | None) -> None:
        path = self._log
        try:
            path.touch()
        except OSError:  # such as a full disk: the worker works without
            path = Path(os.devnull)
        with path.open("ab") as log:
            if fork_server is not None:
                with suppress(ForkServerUnavailable):
                    self._process = self._program.fork(
                        self._pipes, log.fileno(), dict(os.environ), fork_server, self._hurry, FORK_SECONDS
                    )
                    return
            self._process = self._program.start(self._pipes, log.fileno(), dict(os.environ))

    def _started(self) -> PipedProcess:
        """The process, which has started by now at the latest."""
        self._hurry.set()
        self._starting.join()
        assert self._process is not None
        return PipedProcess(self._process, self._pipes)

    def _line(self, deadline: float) -> bytes | None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipes.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if self.is_hurried or (remaining := deadline - time.monotonic()) <= 0:
                    return None
                if not selector.select(min(remaining, SLICE_SECONDS)):
                    continue
                chunk = os.read(self._pipes.stdout.fileno(), 65536)
                if not chunk:
                    return None
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


class TrackingDatabase:
    """The tracking database, which the worker makes while the first stages run; any thread may wait for it.

    Args:
        is_needed: whether anything runs that may need it; if not, there is nothing to wait for.
    """

    def __init__(self, worker: BackgroundWorker, warn: Callable[[str], None], *, is_needed: bool) -> None:
        self._worker, self._warn, self._lock = worker, warn, threading.Lock()
        self._call = worker.post("prepare") if is_needed else None

    def wait(self, seconds: float = READY_SECONDS) -> None:
        """Come back when it is there, or will not be: then a warning says so, once."""
        with self._lock:
            call, self._call = self._call, None
            is_there = call is None or self._worker.wait_for(call, seconds) is not None
            if not is_there and not self._worker.is_hurried:
                self._warn("tracking is not available; the run goes on, and its record is sent later")
