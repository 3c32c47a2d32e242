"""A process of ours that is spoken to through pipes: forked from the kernel host, or started afresh."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from stagebook.execute.host.client import Host
from stagebook.execute.host.forked import Forked

Process = subprocess.Popen[bytes] | Forked


class Pipes:
    """To the stdin and from the stdout of a process that need not be there yet."""

    def __init__(self) -> None:
        self._their_stdin, ours = os.pipe()
        self.stdin = os.fdopen(ours, "wb")
        ours, self._their_stdout = os.pipe()
        self.stdout = os.fdopen(ours, "rb")

    @property
    def theirs(self) -> tuple[int, int]:
        """The process's stdin and stdout."""
        return self._their_stdin, self._their_stdout

    def handed_over(self) -> None:
        """Close the process's ends, which it has now or will never have."""
        for descriptor in self.theirs:
            os.close(descriptor)

    def close(self) -> None:
        for stream in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):  # what it did not read any more
                stream.close()


@dataclass(frozen=True)
class Program:
    """A module of the kit, run as a program: it has a `main` that returns an exit status."""

    module: str
    arguments: tuple[str, ...] = ()

    def forked(
        self,
        pipes: Pipes,
        errors: int,
        environment: dict[str, str],
        host: Host,
        stop: threading.Event,
        at_leisure: float | None = None,
    ) -> Forked:
        """It, forked from the host; see `Host.fork`. `errors` is the descriptor of its stderr.

        Raises:
            NoHost: see `Host.fork`. The pipes are as they were.
        """
        process = host.fork(self.module, self.arguments, (*pipes.theirs, errors), environment, stop, at_leisure)
        pipes.handed_over()
        return process

    def afresh(self, pipes: Pipes, errors: int, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        """It, in a new interpreter and a session of its own."""
        stdin, stdout = pipes.theirs
        process = subprocess.Popen(
            [sys.executable, "-m", self.module, *self.arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=errors,
            start_new_session=True,
            env=environment,
        )
        pipes.handed_over()
        return process


@dataclass(frozen=True)
class Started:
    """A process, and the pipes to it."""

    process: Process
    pipes: Pipes

    def let_go(self, seconds: float = 0.0) -> None:
        """End it: it has `seconds` to end by itself once its stdin is closed."""
        with contextlib.suppress(OSError):
            self.pipes.stdin.close()
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        self.process.kill()
        self.process.wait()
        self.leave()

    def leave(self) -> None:
        """Close what this process has of it; it may go on."""
        self.pipes.close()
        if isinstance(self.process, Forked):
            self.process.close()
