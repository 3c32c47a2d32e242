"""The clerk: a process beside the run for what must not hold it up.

It creates the tracking database, tells MLflow, renders notebooks and sends notices. The runner writes
a numbered word a line to its stdin and reads numbered JSON answers; whatever happens to the clerk, the run goes on.
"""

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from stagebook.model.pipeline import Pipeline
from stagebook.run.audience import Audience

READY_SECONDS = 120.0
RENDER_SECONDS = 60.0
FINISH_SECONDS = 60.0


class Clerk:
    """The runner's handle. Every wait is bounded, and no failure of the clerk is raised."""

    def __init__(self, pipeline: Pipeline, run_folder: Path) -> None:
        setup = {"run_folder": str(run_folder), "audience": Audience.of(pipeline).to_json()}
        self._log = run_folder / "clerk.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stagebook.run.clerk_process", json.dumps(setup)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._buffer = b""
        self._calls = 0
        self._alone = False

    def tell(self, word: str) -> int:
        """Ask for something without waiting, by the name of a method of its desk; gives the number of the call."""
        assert self._process.stdin
        self._calls += 1
        with suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(f"{self._calls} {word}\n".encode())
            self._process.stdin.flush()
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
        assert self._process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    return None
                chunk = os.read(self._process.stdout.fileno(), 65536)
                if not chunk:
                    return None
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def leave_alone(self, word: str) -> None:
        """Let the clerk do a last thing by itself, after this process has ended."""
        assert self._process.stdin
        self.tell(word)
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._alone = True

    def close(self) -> None:
        """Let the clerk go; it ends by itself when its stdin is closed."""
        if self._alone:
            return
        assert self._process.stdin and self._process.stdout
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


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
