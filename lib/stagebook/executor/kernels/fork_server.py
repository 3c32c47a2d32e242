"""The runner's side of the fork server: find or start it, let it fork processes, see what it does, stop it."""

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
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from stagebook import graph
from stagebook.executor.kernels import compatibility, fork_server_process, preload
from stagebook.executor.kernels.fork_server_process import PACKET_BYTES, ForkServerSetup
from stagebook.model.pipeline import Pipeline
from stagebook.notebooks.outline import outline
from stagebook.user_state import private_folder, state_folder

IDLE_SECONDS = 600.0
TIMEOUT_SECONDS = 15.0
"""How long a fork server may take to answer: to be started, or to end the import under way."""
SUPPORTED = sys.platform == "linux" and hasattr(os, "pidfd_open")
UNKNOWN_STATUS = -1000
"""Exit status of a process whose fork server has ended and cannot report it any more."""
_POLL_SECONDS = 0.05
_SUFFIX = ".socket"


class ForkServerUnavailable(Exception):
    """The fork server forks no process, for this reason; a fresh process does as well."""


class ForkedProcess:
    """A process that the fork server has forked, with the methods of `subprocess.Popen` that its users need.

    Args:
        descriptor: of the process.
        connection: to the fork server, its parent, which reports how it ended.
        timeout_seconds: for that report, since the server may be importing.
    """

    def __init__(self, pid: int, descriptor: int, connection: socket.socket, timeout_seconds: float) -> None:
        self.pid = pid
        self._descriptor, self._connection, self._timeout_seconds = descriptor, connection, timeout_seconds

    def poll(self) -> int | None:
        """None while it runs, else its exit status."""
        return self.returncode if self._has_ended(0) else None

    def wait(self, timeout: float | None = None) -> None:
        """Return when it has ended, or after so many seconds."""
        self._has_ended(timeout)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def close(self) -> None:
        """Close what this process has of it, after it has ended or to leave it to itself."""
        self._connection.close()
        os.close(self._descriptor)

    @cached_property
    def returncode(self) -> int:
        """How it ended; `UNKNOWN_STATUS` where the fork server does not report it."""
        self._connection.settimeout(self._timeout_seconds)
        with contextlib.suppress(OSError, ValueError):
            return json.loads(self._connection.recv(PACKET_BYTES))["exit_status"]
        return UNKNOWN_STATUS

    def _has_ended(self, seconds: float | None) -> bool:
        return bool(select.select([self._descriptor], [], [], seconds)[0])


@dataclass
class ForkServer:
    """The fork server that this process may use; `modules` are what it imports for the run."""

    name: str
    environment: dict[str, str]
    modules: list[str]
    idle_seconds: float
    timeout_seconds: float = TIMEOUT_SECONDS
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _failure: str | None = None  # why it is not asked again
    _process: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def find(cls, environment: dict[str, str]) -> Self | None:
        """The running fork server for this environment, or None."""
        if not SUPPORTED:
            return None
        server = cls(compatibility.key(environment), environment, [], IDLE_SECONDS)
        with contextlib.suppress(OSError), _connect(server.name):
            return server
        return None

    @classmethod
    def start(cls, environment: dict[str, str], modules: list[str], idle_seconds: float = IDLE_SECONDS) -> "ForkServer":
        """The fork server for this environment; if none runs, it is started, and nothing waits for that.

        Raises:
            ForkServerUnavailable: this system cannot have one.
        """
        if not SUPPORTED:
            raise ForkServerUnavailable("kernels are forked on Linux only")
        server = cls(compatibility.key(environment), environment, modules, idle_seconds)
        with contextlib.suppress(OSError), _connect(server.name) as connection:
            connection.send(json.dumps({"request": "preload", "modules": modules}).encode())
            return server
        server._launch()
        return server

    def fork(
        self,
        module: str,
        arguments: Sequence[str],
        streams: Sequence[int],
        environment: dict[str, str],
        stop: threading.Event,
        imports_seconds: float | None = None,
    ) -> ForkedProcess:
        """Fork a process that runs the `main` of a module of the kit and ends with the status that it returns.

        Args:
            streams: descriptors of its stdin, stdout and stderr.
            stop: when it is set, the waiting ends.
            imports_seconds: fork it when the server has nothing left to import, and wait so long for that.

        Raises:
            ForkServerUnavailable: the server does not start, does not answer, or may not be forked. It is not asked
                again in this run, unless `imports_seconds` was set.
        """
        process = {
            "module": module,
            "arguments": [*arguments],
            "environment": environment,
            "folder": str(Path.cwd()),
            "umask": _umask(),
        }
        message = {"request": "fork", "process": process, "after_imports": imports_seconds is not None}
        if imports_seconds is not None:
            return self._request_fork(message, streams, stop, imports_seconds)
        with self._lock:
            if self._failure:
                raise ForkServerUnavailable(self._failure)
            try:
                return self._request_fork(message, streams, stop, self.timeout_seconds)
            except ForkServerUnavailable as error:
                self._failure = str(error)
                raise

    def _request_fork(
        self, message: dict[str, Any], streams: Sequence[int], stop: threading.Event, seconds: float
    ) -> ForkedProcess:
        connection = None
        try:
            connection = self._connect_or_launch(stop)
            socket.send_fds(connection, [json.dumps(message).encode()], streams)
            packet, descriptors = _receive(connection, seconds, stop)
            if not packet:
                raise ForkServerUnavailable("the fork server has ended")
            answer = json.loads(packet)
            if "problem" in answer:
                raise ForkServerUnavailable(f"the fork server may not be forked: {answer['problem']}")
            return ForkedProcess(answer["pid"], descriptors[0], connection, self.timeout_seconds)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, OSError):
                raise ForkServerUnavailable(f"the fork server does not answer ({error})") from None
            raise

    def _connect_or_launch(self, stop: threading.Event) -> socket.socket:
        deadline, process = time.monotonic() + self.timeout_seconds, None
        while time.monotonic() < deadline and not stop.is_set():
            with contextlib.suppress(OSError):
                return _connect(self.name)
            if process is None:
                process = self._launch()
            elif process.poll() not in (None, fork_server_process.ALREADY_SERVED):
                raise ForkServerUnavailable(
                    f"the fork server does not start: exit status {process.returncode}, see {self.log}"
                )
            time.sleep(_POLL_SECONDS)
        raise ForkServerUnavailable("the fork server does not start in time")

    @property
    def log(self) -> Path:
        return socket_folder() / f"{self.name}.log"

    def _launch(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        private_folder(socket_folder())
        facts = {"python": sys.executable, "started_at": time.time(), "log": str(self.log)}
        setup = ForkServerSetup(f"{self.name}{_SUFFIX}", [*preload.BASE], self.modules, self.idle_seconds, facts)
        with self.log.open("ab") as log:
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "stagebook.executor.kernels.fork_server_process"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=socket_folder(),
                start_new_session=True,
            )
        assert process.stdin is not None
        with (
            contextlib.suppress(BrokenPipeError),
            process.stdin as stdin,
        ):  # `_connect_or_launch` sees its end
            stdin.write(json.dumps(asdict(setup)).encode())
        return process


def fork_server_for_run(pipeline: Pipeline, stages: Sequence[str]) -> ForkServer | None:
    """The fork server for these stages of a run, which is not waited for.

    Where no kernel is to be forked, it is one that runs already, or None.
    """
    order = graph.order({name: stage.depends_on for name, stage in pipeline.stages.items()})
    forked = [pipeline.stages[name] for name in order if name in stages and pipeline.stages[name].kernel == "auto"]
    if not forked:
        return ForkServer.find(dict(os.environ))
    outlines = [outline(path) for path in dict.fromkeys(stage.notebook for stage in forked)]
    modules = [*preload.modules_to_preload(outlines), *preload.BACKGROUND_WORKER]
    try:
        return ForkServer.start(dict(os.environ), modules)
    except ForkServerUnavailable:
        return None


def socket_folder() -> Path:
    """Where the fork servers of this user have their sockets."""
    return state_folder() / "fork-servers"


def running_servers() -> list[dict[str, Any]]:
    """What all fork servers of this user report of themselves; one that is busy importing answers after the import."""
    servers = []
    for path in _sockets():
        with contextlib.suppress(OSError), _connect(path.stem) as connection:
            pid = _server_pid(connection)
            connection.settimeout(TIMEOUT_SECONDS)
            try:
                connection.send(b'{"request": "status"}')
                servers.append(json.loads(connection.recv(PACKET_BYTES)))
            except TimeoutError:
                servers.append({"pid": pid, "problem": "it does not answer"})
    return servers


def stop() -> list[int]:
    """End all fork servers of this user; attempts that they forked go on. Returns their process ids."""
    stopped = []
    for path in _sockets():
        with contextlib.suppress(OSError), _connect(path.stem) as connection:
            pid = _server_pid(connection)
            descriptor = os.pidfd_open(pid)
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            if not select.select([descriptor], [], [], 5.0)[0]:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)
            stopped.append(pid)
        path.unlink(missing_ok=True)
    return stopped


def _sockets() -> list[Path]:
    return sorted(socket_folder().glob(f"*{_SUFFIX}"))


def _connect(name: str) -> socket.socket:
    """A connection to a server; through a descriptor of its folder, since a socket's path is at most 107 bytes long."""
    directory = os.open(socket_folder(), os.O_PATH | os.O_DIRECTORY)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(f"/proc/self/fd/{directory}/{name}{_SUFFIX}")
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(directory)
    return connection


def _receive(connection: socket.socket, seconds: float, stop: threading.Event) -> tuple[bytes, list[int]]:
    """A packet, empty at the connection's end, with its descriptors.

    Raises:
        ForkServerUnavailable: there was none within `seconds`, or before `stop` was set.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not stop.is_set():
        if select.select([connection], [], [], _POLL_SECONDS)[0]:
            packet, descriptors, _, _ = socket.recv_fds(connection, PACKET_BYTES, 1)
            return packet, descriptors
    raise ForkServerUnavailable(f"the fork server does not answer within {seconds:g} s")


def _server_pid(connection: socket.socket) -> int:
    """The process that listens at the other end."""
    return struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def _umask() -> int:
    """This process's umask, without changing it for a moment as `os.umask` would."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
