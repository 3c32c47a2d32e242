"""The clerk: a process beside the run for what must not hold it up.

It creates the tracking database, tells MLflow, renders notebooks and sends notices. The runner writes
a numbered word a line to its stdin and reads numbered JSON answers; whatever happens to the clerk, the run goes on.
"""

import json
import os
import selectors
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from stagebook.execute.host.client import Host, NoHost
from stagebook.execute.piped import Pipes, Process, Program, Started
from stagebook.model.pipeline import Pipeline
from stagebook.run.audience import Audience

READY_SECONDS = 120.0
RENDER_SECONDS = 60.0
FINISH_SECONDS = 60.0
END_SECONDS = 5.0
HOST_SECONDS = 20.0
"""How long the kernel host may take to import, before a clerk is started that imports by itself."""


class Clerk:
    """The runner's handle. Every wait is bounded, and no failure of the clerk is raised."""

    def __init__(self, pipeline: Pipeline, run_folder: Path, host: Host | None = None) -> None:
        """Args: host: where it is forked as soon as that has imported what stages need; without, it starts afresh."""
        setup = {"run_folder": str(run_folder), "audience": Audience.of(pipeline).to_json()}
        self._program = Program("stagebook.run.clerk_process", (json.dumps(setup),))
        self._log = run_folder / "clerk.log"
        self._pipes = Pipes()  # what is told before it has started waits in them
        self._hurry = threading.Event()
        self._process: Process | None = None
        self._starting = threading.Thread(target=self._start, args=(host,), name="clerk", daemon=True)
        self._starting.start()
        self._buffer = b""
        self._calls = 0
        self._alone = False

    def _start(self, host: Host | None) -> None:
        with self._log.open("ab") as log:
            if host is not None:
                with suppress(NoHost):
                    self._process = self._program.forked(
                        self._pipes, log.fileno(), dict(os.environ), host, self._hurry, HOST_SECONDS
                    )
                    return
            self._process = self._program.afresh(self._pipes, log.fileno(), dict(os.environ))

    def _started(self) -> Started:
        """It, there by now at the latest."""
        self._hurry.set()
        self._starting.join()
        assert self._process is not None
        return Started(self._process, self._pipes)

    def tell(self, word: str) -> int:
        """Ask for something without waiting, by the name of a method of its desk; gives the number of the call."""
        self._calls += 1
        with suppress(BrokenPipeError, ValueError):
            self._pipes.stdin.write(f"{self._calls} {word}\n".encode())
            self._pipes.stdin.flush()
        return self._calls

    def ask(self, word: str, seconds: float) -> dict[str, Any] | None:
        """Ask for something and wait for its answer; None if it fails or does not come in time."""
        return self.wait_for(self.tell(word), seconds)

    def wait_for(self, call: int, seconds: float) -> dict[str, Any] | None:
        """The answer to an earlier call; answers to calls before it are passed over."""
        deadline = time.monotonic() + seconds
        while (line := self._line(deadline)) is not None:
            number, _, text = line.decode().partition(" ")
            if int(number) == call:
                answer = json.loads(text)
                return None if "problem" in answer else answer
        return None

    def _line(self, deadline: float) -> bytes | None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipes.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    return None
                chunk = os.read(self._pipes.stdout.fileno(), 65536)
                if not chunk:
                    return None
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def leave_alone(self, word: str) -> None:
        """Let the clerk do a last thing by itself, after this process has ended."""
        self.tell(word)
        self._started().leave()
        self._alone = True

    def close(self) -> None:
        """Let the clerk go; it ends by itself when its stdin is closed."""
        if not self._alone:
            self._started().let_go(END_SECONDS)


class Prepared:
    """The tracking database, which the clerk makes while the first stages run; any thread may wait for it."""

    def __init__(self, clerk: Clerk, warn: Callable[[str], None], *, wanted: bool) -> None:
        """Args: wanted: whether anything runs that may need it; if not, there is nothing to wait for."""
        self._clerk, self._warn, self._lock = clerk, warn, threading.Lock()
        self._call = clerk.tell("prepare") if wanted else None

    def wait(self) -> None:
        """Come back when it is there, or will not be: then a warning says so, once."""
        with self._lock:
            call, self._call = self._call, None
            if call is not None and self._clerk.wait_for(call, READY_SECONDS) is None:
                self._warn("tracking is not available; the run goes on, and what it has to tell is kept")
