"""A process that the host has forked, as who asked for it sees it."""

import contextlib
import json
import os
import select
import signal
import socket
from functools import cached_property

from stagebook.execute.host.process import PACKET_BYTES

UNKNOWN = -1000
"""Exit status of a process whose host cannot tell it any more."""


class Forked:
    """A forked process, with what `subprocess.Popen` gives of one that was started."""

    def __init__(self, pid: int, descriptor: int, host: socket.socket, patience_seconds: float) -> None:
        """Args: patience_seconds: how long the host may take to tell how it ended, as it may be at an import."""
        self.pid = pid
        self._descriptor, self._host, self._patience_seconds = descriptor, host, patience_seconds

    def poll(self) -> int | None:
        """None while it runs, else its exit status."""
        return self.returncode if self._has_ended(0) else None

    def wait(self, timeout: float | None = None) -> None:
        """Come back when it has ended, or after so many seconds."""
        self._has_ended(timeout)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it, after it has ended or to leave it to itself."""
        self._host.close()
        os.close(self._descriptor)

    @cached_property
    def returncode(self) -> int:
        """How it ended, as the host, its parent, tells."""
        self._host.settimeout(self._patience_seconds)
        with contextlib.suppress(OSError, ValueError):
            return json.loads(self._host.recv(PACKET_BYTES))["ended"]
        return UNKNOWN

    def _has_ended(self, seconds: float | None) -> bool:
        return bool(select.select([self._descriptor], [], [], seconds)[0])
