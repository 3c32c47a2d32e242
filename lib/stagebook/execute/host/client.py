"""The runner's side of the kernel host: start one, ask it for processes, see it, stop it."""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from stagebook.execute.host import preload, process, sameness
from stagebook.execute.host.forked import Forked
from stagebook.execute.host.process import PACKET_BYTES, Setup
from stagebook.storage.machine import private_folder, state_folder

IDLE_SECONDS = 600.0
PATIENCE_SECONDS = 15.0
"""How long a host may take to answer: to be started, or to end the import that it is at."""
SUPPORTED = sys.platform == "linux" and hasattr(os, "pidfd_open")
_POLL_SECONDS = 0.05
_SUFFIX = ".socket"


class NoHost(Exception):
    """There is no worker from a host, for this reason; a fresh one does as well."""


@dataclass
class Host:
    """The host that this process may use. `modules` are what the run will want of it."""

    name: str
    environment: dict[str, str]
    modules: list[str]
    idle_seconds: float
    patience_seconds: float = PATIENCE_SECONDS
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _broken: str | None = None
    _started: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def there(cls, environment: dict[str, str]) -> Self | None:
        """The host for this environment, where there is one."""
        if not SUPPORTED:
            return None
        host = cls(sameness.key(environment), environment, [], IDLE_SECONDS)
        with contextlib.suppress(OSError), _connect(host.name):
            return host
        return None

    @classmethod
    def of(cls, environment: dict[str, str], modules: list[str], idle_seconds: float = IDLE_SECONDS) -> "Host":
        """The host for this environment; started in the background where there is none.

        Raises:
            NoHost: there are none on this system.
        """
        if not SUPPORTED:
            raise NoHost("kernels are forked on Linux only")
        host = cls(sameness.key(environment), environment, modules, idle_seconds)
        with contextlib.suppress(OSError), _connect(host.name) as connection:
            connection.send(json.dumps({"ask": "want", "modules": modules}).encode())
            return host
        host._start()
        return host

    def fork(
        self,
        module: str,
        arguments: Sequence[str],
        streams: Sequence[int],
        environment: dict[str, str],
        stop: threading.Event,
        at_leisure: float | None = None,
    ) -> Forked:
        """A forked process that runs the `main` of a module of the kit, and ends with the status that it returns.

        Args:
            streams: descriptors of its stdin, stdout and stderr.
            stop: set to wait no longer.
            at_leisure: it is to be forked when the host has nothing more to import, for which it may wait so many
                seconds.

        Raises:
            NoHost: the host does not start, does not answer, or may not be forked. It is not asked again in this run,
                unless that was at leisure.
        """
        request = {
            "ask": "fork",
            "module": module,
            "arguments": [*arguments],
            "environment": environment,
            "folder": str(Path.cwd()),
            "umask": _umask(),
            "at_leisure": at_leisure is not None,
        }
        if at_leisure is not None:
            return self._forked(request, streams, stop, at_leisure)
        with self._lock:
            if self._broken:
                raise NoHost(self._broken)
            try:
                return self._forked(request, streams, stop, self.patience_seconds)
            except NoHost as why:
                self._broken = str(why)
                raise

    def _forked(self, request: dict[str, Any], streams: Sequence[int], stop: threading.Event, seconds: float) -> Forked:
        connection = None
        try:
            connection = self._connect_or_start(stop)
            socket.send_fds(connection, [json.dumps(request).encode()], streams)
            answer, descriptors, _, _ = _received(connection, seconds, stop)
            if not answer:
                raise NoHost("the kernel host has ended")
            told = json.loads(answer)
            if "refused" in told:
                raise NoHost(f"the kernel host may not be forked: {told['refused']}")
            return Forked(told["pid"], descriptors[0], connection, self.patience_seconds)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, OSError):
                raise NoHost(f"the kernel host does not answer ({error})") from None
            raise

    def _connect_or_start(self, stop: threading.Event) -> socket.socket:
        deadline, started = time.monotonic() + self.patience_seconds, None
        while time.monotonic() < deadline and not stop.is_set():
            with contextlib.suppress(OSError):
                return _connect(self.name)
            if started is None:
                started = self._start()
            elif started.poll() not in (None, process.ALREADY):
                raise NoHost(f"the kernel host does not start: exit status {started.returncode}, see {self.log}")
            time.sleep(_POLL_SECONDS)
        raise NoHost("the kernel host does not start in time")

    @property
    def log(self) -> Path:
        return folder() / f"{self.name}.log"

    def _start(self) -> "subprocess.Popen[bytes]":
        if self._started is not None and self._started.poll() is None:
            return self._started
        private_folder(folder())
        facts = {"python": sys.executable, "started_at": time.time(), "log": str(self.log)}
        setup = Setup(f"{self.name}{_SUFFIX}", [*preload.BASE], self.modules, self.idle_seconds, facts)
        with self.log.open("ab") as log:
            self._started = started = subprocess.Popen(
                [sys.executable, "-m", "stagebook.execute.host.process"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=folder(),
                start_new_session=True,
            )
        assert started.stdin is not None
        with contextlib.suppress(BrokenPipeError), started.stdin as stdin:  # who waits for it sees that it has ended
            stdin.write(json.dumps(asdict(setup)).encode())
        return started


def folder() -> Path:
    """Where the hosts of this user have their sockets."""
    return state_folder() / "hosts"


def everyone() -> list[dict[str, Any]]:
    """What all hosts of this user say of themselves; one that is busy importing answers in a moment."""
    found = []
    for path in sorted(folder().glob(f"*{_SUFFIX}")):
        with contextlib.suppress(OSError), _connect(path.name.removesuffix(_SUFFIX)) as connection:
            pid = _listener(connection)
            connection.settimeout(PATIENCE_SECONDS)
            try:
                connection.send(b'{"ask": "status"}')
                found.append(json.loads(connection.recv(PACKET_BYTES)))
            except TimeoutError:
                found.append({"pid": pid, "refuses": "it does not answer"})
    return found


def stop() -> list[int]:
    """End all hosts of this user; attempts that they forked go on. Returns their process ids."""
    stopped = []
    for path in sorted(folder().glob(f"*{_SUFFIX}")):
        with contextlib.suppress(OSError), _connect(path.name.removesuffix(_SUFFIX)) as connection:
            pid = _listener(connection)
            descriptor = os.pidfd_open(pid)
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            if not select.select([descriptor], [], [], 5.0)[0]:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)
            stopped.append(pid)
        path.unlink(missing_ok=True)
    return stopped


def _connect(name: str) -> socket.socket:
    """A connection to a host; through a descriptor of its folder, since a socket's path may have 107 bytes only."""
    directory = os.open(folder(), os.O_PATH | os.O_DIRECTORY)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(f"/proc/self/fd/{directory}/{name}{_SUFFIX}")
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(directory)
    return connection


def _received(connection: socket.socket, seconds: float, stop: threading.Event) -> tuple[bytes, list[int], int, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not stop.is_set():
        if select.select([connection], [], [], _POLL_SECONDS)[0]:
            return socket.recv_fds(connection, PACKET_BYTES, 1)
    raise NoHost(f"the kernel host does not answer within {seconds:g} s")


def _listener(connection: socket.socket) -> int:
    """The process that listens at the other end."""
    return struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def _umask() -> int:
    """This process's umask; to ask the system itself would mean to change it for a moment."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
