"""The process of the fork server: imports libraries one by one and, between two imports, forks what it is asked for.

It only imports, for libraries that have been used (Delta's runtime, OpenMP, polars, gRPC) may not be forked: where a
thread or a module has appeared since the last import, it forks no more. This file itself needs the standard library
only. A forked process forgets the kit and imports it anew.

Each message is one packet of JSON on a private socket; `request` says which:

- `fork`: comes with three descriptors (stdin, stdout, stderr). The answer is the process id with a descriptor of that
  process and, once it has ended, its exit status. With `after_imports` it is forked when nothing is left to import.
- `preload`: names modules to import.
- `status`: asks for facts.

The server ends when it is idle, or by SIGTERM; what it forked lives on.
"""

import contextlib
import ctypes
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import selectors
import signal
import socket
import sys
import sysconfig
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PACKET_BYTES = 160_000
ALREADY_SERVED = 3
"""Exit status where another fork server serves the same socket."""
_CHECK_SECONDS = 2.0
_PAUSE_SECONDS = 0.02
_PR_SET_CHILD_SUBREAPER = 36
_KIT = "stagebook"
_USED_AFTER_IMPORT = ("KMP_", "PYDEVD_")
"""Beginnings of variables that imports set and libraries look at later."""


@dataclass
class Preloader:
    """Imports modules, and notices whatever else has happened in this process.

    `imported` has the seconds that each import took; `skipped` the reasons for those that were not imported.
    """

    pending: list[str]
    imported: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    _problem: str | None = field(default=None, init=False)
    _threads: int = field(default=0, init=False)  # after the last import
    _modules: set[str] = field(default_factory=set, init=False)  # after the last import

    def __post_init__(self) -> None:
        folders = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
        self._roots = tuple(str(Path(folder).resolve()) + os.sep for folder in folders)

    def add(self, modules: list[str]) -> None:
        """Import these too, those that are new, after what is pending."""
        handled = {*self.pending, *self.imported, *self.skipped}
        self.pending += [name for name in dict.fromkeys(modules) if name not in handled]

    def import_next(self) -> None:
        """Import one module; one that is not an installed package is skipped."""
        name, before, started = self.pending.pop(0), set(sys.modules), time.monotonic()
        try:
            spec = importlib.util.find_spec(name.partition(".")[0])
            if spec is None or not self._is_installed(spec.origin):
                self.skipped[name] = "not an installed package"
            else:
                importlib.import_module(name)
                self.imported[name] = round(time.monotonic() - started, 3)
        except Exception as error:
            self.skipped[name] = f"{type(error).__name__}: {error}"
        self._inspect(before)

    def _inspect(self, before: set[str]) -> None:
        """Note what an import left behind; a module from elsewhere, or a thread of Python's, is a problem for good."""
        added = {name: sys.modules[name] for name in set(sys.modules) - before}
        added = {name: module for name, module in added.items() if module is not sys.modules["__main__"]}
        foreign = [name for name, module in added.items() if not self._is_installed(getattr(module, "__file__", None))]
        if foreign:
            self._problem = f"{foreign[0]} was imported from outside the installed packages"
        if threading.active_count() > 1:
            self._problem = f"a thread was started by an import: {threading.enumerate()[-1].name}"
        self._modules = set(sys.modules)
        self._threads = _count_threads()

    def problem(self) -> str | None:
        """Why this process may not be forked; None if it may."""
        if unexpected := set(sys.modules) - self._modules:
            self._problem = f"{min(unexpected)} was imported by something that was executed in it"
        if _count_threads() > self._threads:
            self._problem = "a thread was started by something that was executed in it"
        self._threads = min(self._threads, _count_threads())  # libraries end their threads before a fork
        return self._problem

    def _is_installed(self, file: str | None) -> bool:
        return file in (None, "built-in", "frozen") or str(Path(str(file)).resolve()).startswith(self._roots)


def _count_threads() -> int:
    """Threads of this process, those of native code too."""
    return len(list(Path("/proc/self/task").iterdir()))


@dataclass(frozen=True)
class ForkServerSetup:
    """What a fork server is started with, as JSON on stdin; `socket` is a name in the folder it is started in.

    It serves after the imports of `base`, and imports `later` while it serves.
    """

    socket: str
    base: list[str]
    later: list[str]
    idle_seconds: float
    facts: dict[str, Any]


@dataclass(frozen=True)
class ForkRequest:
    """What a forked process is to become: a module of the kit to run, and the three descriptors of its streams."""

    module: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    umask: int
    streams: list[int]

    def close_streams(self) -> None:
        for stream in self.streams:
            os.close(stream)


class ForkServerProcess:
    """Serves one socket. `serve` returns a `ForkRequest` in each forked process, None at the end of the server."""

    def __init__(self, setup: ForkServerSetup, listener: socket.socket) -> None:
        self._setup = setup
        self._preloader = Preloader(list(setup.base))
        self._listener = listener
        self._inode = Path(setup.socket).stat().st_ino
        self._selector = selectors.DefaultSelector()
        self._sockets: set[socket.socket] = {listener}
        self._workers: dict[int, tuple[int, socket.socket]] = {}  # process id → its descriptor, the client's connection
        self._deferred: list[tuple[socket.socket, ForkRequest]] = []  # to be forked when nothing is left to import
        self._last_used = time.monotonic()

    def serve(self) -> ForkRequest | None:
        while self._preloader.pending:
            self._preloader.import_next()
        self._preloader.add(self._setup.later)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._last_used = time.monotonic()
        while self._is_needed():
            has_work = self._preloader.pending or self._deferred
            events = self._selector.select(_PAUSE_SECONDS if has_work else _CHECK_SECONDS)
            for key, _ in events:
                self._last_used = time.monotonic()
                if (request := key.data(key.fileobj)) is not None:
                    return request
            if events:
                continue  # requests seldom come alone, and an import keeps all others waiting
            if self._preloader.pending:
                self._preloader.import_next()
            elif self._deferred and (request := self._fork(*self._deferred.pop(0))) is not None:
                return request
        return None

    def _is_needed(self) -> bool:
        """Whether it is in use or was lately, and clients can find its socket."""
        with contextlib.suppress(FileNotFoundError):
            is_idle = not self._workers and time.monotonic() - self._last_used >= self._setup.idle_seconds
            return not is_idle and Path(self._setup.socket).stat().st_ino == self._inode
        return False

    def _accept(self, _: Any) -> None:
        connection, _address = self._listener.accept()
        self._sockets.add(connection)
        self._selector.register(connection, selectors.EVENT_READ, self._receive)

    def _receive(self, connection: socket.socket) -> ForkRequest | None:
        try:
            packet, streams, _, _ = socket.recv_fds(connection, PACKET_BYTES, 3)
        except OSError:
            packet, streams = b"", []
        if not packet:
            self._disconnect(connection)
            return None
        message = json.loads(packet)
        match message["request"]:
            case "fork":
                request = ForkRequest(**message["process"], streams=streams)
                if not message["after_imports"]:
                    return self._fork(connection, request)
                self._deferred.append((connection, request))
            case "preload":
                self._preloader.add(message["modules"])
                _send(connection, {})
            case "status":
                _send(connection, self._facts())
        return None

    def _fork(self, connection: socket.socket, request: ForkRequest) -> ForkRequest | None:
        """Fork; returns the request in the forked process, None in the server."""
        if problem := self._preloader.problem():
            _send(connection, {"problem": problem})
        else:
            gc.freeze()
            sys.stdout.flush()
            sys.stderr.flush()
            if (pid := os.fork()) == 0:
                self._close_in_child()
                return request
            descriptor = os.pidfd_open(pid)
            self._workers[pid] = descriptor, connection
            self._selector.register(descriptor, selectors.EVENT_READ, lambda _: self._reap(pid))
            with contextlib.suppress(OSError):
                socket.send_fds(connection, [json.dumps({"pid": pid}).encode()], [descriptor])
        request.close_streams()
        return None

    def _reap(self, pid: int) -> None:
        """Report how a worker ended, and kill what it left behind: a worker that was killed could not do so itself."""
        descriptor, connection = self._workers.pop(pid)
        _, status = os.waitpid(pid, 0)
        self._selector.unregister(descriptor)
        os.close(descriptor)
        _send(connection, {"exit_status": os.waitstatus_to_exitcode(status)})
        for _ in range(100):
            orphans = [child for child in _children(os.getpid()) if child not in self._workers]
            if not orphans:
                break
            for orphan in orphans:
                os.kill(orphan, signal.SIGKILL)
                os.waitpid(orphan, 0)  # from now on its own children are this process's

    def _facts(self) -> dict[str, Any]:
        preloader = self._preloader
        rss_bytes = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return self._setup.facts | {
            "pid": os.getpid(),
            "rss_bytes": rss_bytes,
            "workers": sorted(self._workers),
            "imported": len(preloader.imported),
            "to_import": len(preloader.pending),
            "skipped": preloader.skipped,
            "problem": preloader.problem(),
            "idle_minutes": self._setup.idle_seconds / 60,
        }

    def _disconnect(self, connection: socket.socket) -> None:
        for entry in [entry for entry in self._deferred if entry[0] is connection]:
            self._deferred.remove(entry)
            entry[1].close_streams()
        self._selector.unregister(connection)
        self._sockets.discard(connection)
        connection.close()

    def _close_in_child(self) -> None:
        """In a forked process: close all that is the server's."""
        self._selector.close()
        for connection in self._sockets:
            connection.close()
        for descriptor, _ in self._workers.values():
            os.close(descriptor)
        for _, request in self._deferred:
            request.close_streams()


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        connection.send(json.dumps(message).encode())


def _children(pid: int) -> list[int]:
    children = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                status = (folder / "stat").read_text(encoding="utf-8", errors="replace")
                if int(status.rpartition(")")[2].split()[1]) == pid:
                    children.append(int(folder.name))
    return children


def _become(request: ForkRequest) -> None:
    """Make this forked process what a fresh interpreter would be, but with the libraries imported.

    Of the variables that imports have set, those stay that libraries look at when they are used.
    """
    os.setsid()
    for number, stream in enumerate(request.streams):
        os.dup2(stream, number)
        os.close(stream)
    os.umask(request.umask)
    os.chdir(request.folder)
    set_by_imports = {name: value for name, value in os.environ.items() if name.startswith(_USED_AFTER_IMPORT)}
    os.environ.clear()
    os.environ.update(set_by_imports | request.environment)
    gc.enable()
    sys.argv = [request.module, *request.arguments]
    for name in [name for name in sys.modules if name == _KIT or name.startswith(f"{_KIT}.")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def main() -> int:
    """Serve until idle; in a forked process, run the module that was asked for."""
    setup = ForkServerSetup(**json.load(sys.stdin))
    lock = os.open(f"{setup.socket}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return ALREADY_SERVED
    if sys.path[0] in ("", str(Path.cwd())):  # `-m` puts it there
        del sys.path[0]
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    gc.disable()
    os.umask(0o077)
    if not os.environ.get("MPLBACKEND"):  # as a kernel does before its first import
        os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    Path(setup.socket).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(setup.socket)
    listener.listen(64)
    request = ForkServerProcess(setup, listener).serve()
    if request is None:
        with contextlib.suppress(FileNotFoundError):
            Path(setup.socket).unlink()
        return 0
    os.close(lock)
    _become(request)
    status = importlib.import_module(request.module).main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a reader of stdin may still be blocked, and to take libraries down takes a second


if __name__ == "__main__":
    sys.exit(main())
