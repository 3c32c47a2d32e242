"""The kernel host itself: imports libraries one by one and, between two imports, forks workers that are asked for.

It only imports: what has been used (Delta's runtime, OpenMP, polars, gRPC) may not be forked, so where a thread or a
module has appeared since the last import, it refuses. Nothing of the project is imported, except this file's own needs,
which a child forgets before it imports them afresh.

Each message is one packet of JSON on a private socket. `fork` comes with three descriptors (stdin, stdout, stderr);
the answer is the process id with a descriptor for that process, and later how it ended. `at_leisure` it is forked
after all imports. `want` names modules to import, `status` asks for facts. It ends when idle, or by SIGTERM; what it
forked lives on.
"""

import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagebook.execute.host.imports import Imports

PACKET_BYTES = 160_000
ALREADY = 3
"""Exit status where another host serves the same socket."""
_LOOK_SECONDS = 2.0
_PAUSE_SECONDS = 0.02
_PR_SET_CHILD_SUBREAPER = 36
_OWN = "stagebook"
_LOOKED_AT_LATER = ("KMP_", "PYDEVD_")


@dataclass(frozen=True)
class Setup:
    """What a host is started with, as JSON on stdin; `socket` is a name in the folder that it is started in."""

    socket: str
    base: list[str]
    later: list[str]
    idle_seconds: float
    facts: dict[str, Any]


@dataclass(frozen=True)
class Fork:
    """A process to become: what the runner asked for, with its three descriptors."""

    module: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    umask: int
    streams: list[int]


class Host:
    """Serves one socket. `serve` returns twice: a `Fork` in each forked worker, None at the end of the host."""

    def __init__(self, setup: Setup, listener: socket.socket) -> None:
        self.setup = setup
        self.imports = Imports(list(setup.base))
        self.listener = listener
        self.workers: dict[int, tuple[int, socket.socket]] = {}  # process id → its descriptor, who asked for it
        self.selector = selectors.DefaultSelector()
        self.used = time.monotonic()
        self.inode = Path(setup.socket).stat().st_ino
        self.open: set[socket.socket] = {listener}
        self.at_leisure: list[tuple[socket.socket, dict[str, Any], list[int]]] = []  # workers that can wait

    def serve(self) -> Fork | None:
        while self.imports.todo:
            self.imports.step()
        self.imports.want(self.setup.later)
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.used = time.monotonic()
        while self._wanted():
            heard = self.selector.select(_PAUSE_SECONDS if self.imports.todo or self.at_leisure else _LOOK_SECONDS)
            for key, _ in heard:
                self.used = time.monotonic()
                if (fork := key.data(key.fileobj)) is not None:
                    return fork
            if heard:
                continue  # who asks comes seldom alone, and an import keeps all others waiting
            if self.imports.todo:
                self.imports.step()
            elif self.at_leisure and (fork := self._fork(*self.at_leisure.pop(0))) is not None:
                return fork
        return None

    def _wanted(self) -> bool:
        """Whether it is used or was lately, and can be found by its socket."""
        with contextlib.suppress(FileNotFoundError):
            idle = time.monotonic() - self.used
            return bool(self.workers or idle < self.setup.idle_seconds) and self._is_found()
        return False

    def _is_found(self) -> bool:
        return Path(self.setup.socket).stat().st_ino == self.inode

    def _accept(self, _: Any) -> None:
        connection, _address = self.listener.accept()
        self.open.add(connection)
        self.selector.register(connection, selectors.EVENT_READ, self._hear)

    def _hear(self, connection: socket.socket) -> Fork | None:
        try:
            packet, streams, _, _ = socket.recv_fds(connection, PACKET_BYTES, 3)
        except OSError:
            packet, streams = b"", []
        if not packet:
            self._hang_up(connection)
            return None
        message = json.loads(packet)
        match message["ask"]:
            case "fork" if message["at_leisure"]:
                self.at_leisure.append((connection, message, streams))
            case "fork":
                return self._fork(connection, message, streams)
            case "want":
                self.imports.want(message["modules"])
                self._answer(connection, {})
            case "status":
                self._answer(connection, self._facts())
        return None

    def _fork(self, connection: socket.socket, message: dict[str, Any], streams: list[int]) -> Fork | None:
        if why := self.imports.refusal():
            self._answer(connection, {"refused": why})
        else:
            gc.freeze()
            sys.stdout.flush()
            sys.stderr.flush()
            if (pid := os.fork()) == 0:
                self._forget()
                del message["ask"], message["at_leisure"]
                return Fork(**message, streams=streams)
            descriptor = os.pidfd_open(pid)
            self.workers[pid] = descriptor, connection
            self.selector.register(descriptor, selectors.EVENT_READ, lambda _: self._bury(pid))
            with contextlib.suppress(OSError):
                socket.send_fds(connection, [json.dumps({"pid": pid}).encode()], [descriptor])
        for stream in streams:
            os.close(stream)
        return None

    def _bury(self, pid: int) -> None:
        """Tell how a worker ended, and end what it left: a worker that was killed could not do so itself."""
        descriptor, connection = self.workers.pop(pid)
        _, status = os.waitpid(pid, 0)
        self.selector.unregister(descriptor)
        os.close(descriptor)
        self._answer(connection, {"ended": os.waitstatus_to_exitcode(status)})
        for _ in range(100):
            orphans = [child for child in _children(os.getpid()) if child not in self.workers]
            if not orphans:
                break
            for orphan in orphans:
                os.kill(orphan, signal.SIGKILL)
                os.waitpid(orphan, 0)  # and its own children are this process's from now on

    def _facts(self) -> dict[str, Any]:
        imports = self.imports
        told = {"imported": len(imports.done), "to_import": len(imports.todo), "refuses": imports.refusal()}
        rss = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        facts = self.setup.facts | {"pid": os.getpid(), "rss_bytes": rss, "workers": sorted(self.workers)}
        return facts | told | {"skipped": imports.skipped, "idle_minutes": self.setup.idle_seconds / 60}

    def _answer(self, connection: socket.socket, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            connection.send(json.dumps(message).encode())

    def _hang_up(self, connection: socket.socket) -> None:
        for asked in [asked for asked in self.at_leisure if asked[0] is connection]:
            self.at_leisure.remove(asked)
            for stream in asked[2]:
                os.close(stream)
        self.selector.unregister(connection)
        self.open.discard(connection)
        connection.close()

    def _forget(self) -> None:
        """In a forked worker: close all that is the host's."""
        self.selector.close()
        for connection in self.open:
            connection.close()
        for descriptor, _ in self.workers.values():
            os.close(descriptor)
        for stream in (stream for _, _, streams in self.at_leisure for stream in streams):
            os.close(stream)


def _children(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                status = (folder / "stat").read_text(encoding="utf-8", errors="replace")
                if int(status.rpartition(")")[2].split()[1]) == pid:
                    found.append(int(folder.name))
    return found


def _become(fork: Fork) -> None:
    """Turn this forked process into what a fresh interpreter would be, libraries imported.

    Of the variables that imports have set, those stay that are looked at when the library is used.
    """
    os.setsid()
    for number, stream in enumerate(fork.streams):
        os.dup2(stream, number)
        os.close(stream)
    os.umask(fork.umask)
    os.chdir(fork.folder)
    added = {name: value for name, value in os.environ.items() if name.startswith(_LOOKED_AT_LATER)}
    os.environ.clear()
    os.environ.update(added | fork.environment)
    gc.enable()
    sys.argv = [fork.module, *fork.arguments]
    for name in [name for name in sys.modules if name == _OWN or name.startswith(f"{_OWN}.")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def main() -> int:
    """Serve until idle; in a forked worker, be that worker."""
    setup = Setup(**json.load(sys.stdin))
    lock = os.open(f"{setup.socket}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return ALREADY
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
    fork = Host(setup, listener).serve()
    if fork is None:
        with contextlib.suppress(FileNotFoundError):
            Path(setup.socket).unlink()
        return 0
    os.close(lock)
    _become(fork)
    status = importlib.import_module(fork.module).main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a reader of stdin may still be blocked, and to take libraries down takes a second


if __name__ == "__main__":
    sys.exit(main())
