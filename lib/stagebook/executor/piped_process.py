"""A process of the kit that the runner talks to through pipes: forked from the fork server, or started afresh."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from stagebook.executor.kernels.fork_server import ForkedProcess, ForkServer

Process = subprocess.Popen[bytes] | ForkedProcess


class Pipes:
    """To the stdin and from the stdout of a process that need not be there yet."""

    def __init__(self) -> None:
        self._child_stdin, stdin = os.pipe()
        self.stdin = os.fdopen(stdin, "wb")
        stdout, self._child_stdout = os.pipe()
        self.stdout = os.fdopen(stdout, "rb")

    @property
    def child_ends(self) -> tuple[int, int]:
        """Descriptors of the process's stdin and stdout."""
        return self._child_stdin, self._child_stdout

    def close_child_ends(self) -> None:
        """Close the process's ends here: it has them by now, or will never have them."""
        for descriptor in self.child_ends:
            os.close(descriptor)

    def close(self) -> None:
        for stream in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):  # what it did not read any more
                stream.close()


@dataclass(frozen=True)
class KitProgram:
    """A module of the kit, run as a program: it has a `main` that returns an exit status."""

    module: str
    arguments: tuple[str, ...] = ()

    def fork(
        self,
        pipes: Pipes,
        stderr: int,
        environment: dict[str, str],
        fork_server: ForkServer,
        stop: threading.Event,
        imports_seconds: float | None = None,
    ) -> ForkedProcess:
        """Fork it from the fork server; see `ForkServer.fork`. `stderr` is a descriptor.

        Raises:
            ForkServerUnavailable: see `ForkServer.fork`. The pipes are as they were.
        """
        streams = (*pipes.child_ends, stderr)
        process = fork_server.fork(self.module, self.arguments, streams, environment, stop, imports_seconds)
        pipes.close_child_ends()
        return process

    def start(self, pipes: Pipes, stderr: int, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        """Start it afresh: in a new interpreter, and a session of its own."""
        child_stdin, child_stdout = pipes.child_ends
        process = subprocess.Popen(
            [sys.executable, "-m", self.module, *self.arguments],
            stdin=child_stdin,
            stdout=child_stdout,
            stderr=stderr,
            start_new_session=True,
            env=environment,
        )
        pipes.close_child_ends()
        return process


@dataclass(frozen=True)
class PipedProcess:
    """A process, and the pipes to it."""

    process: Process
    pipes: Pipes

    def end(self, grace_seconds: float = 0.0) -> None:
        """Close its stdin, give it `grace_seconds` to end by itself, then kill it."""
        with contextlib.suppress(OSError):
            self.pipes.stdin.close()
        deadline = time.monotonic() + grace_seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        self.process.kill()
        self.process.wait()
        self.detach()

    def detach(self) -> None:
        """Close what this process has of it; it may go on."""
        self.pipes.close()
        if isinstance(self.process, ForkedProcess):
            self.process.close()
