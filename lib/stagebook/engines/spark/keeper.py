"""The keeper of a Spark Connect server: starts it, tells where it is, ends it when nobody needs it any more.

A process of its own, so that the server outlives the run that started it. It reads its `Launch` from
stdin, writes the file `told` once the server listens, and removes it before the server ends; why it ends
is then in `<told>.ended`. In use is a server to which a connection is open; its clients say nothing.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from stagebook.engines.spark.archive import Archive
from stagebook.engines.spark.launch import Launch
from stagebook.storage import atomic

START_SECONDS = 180.0
STOP_SECONDS = 15.0
ARCHIVE_SECONDS = 120.0
"""How long an idle server may take to write its class archive at its end."""
ARCHIVE_IN_VAIN_SECONDS = 3.0
"""How long one that was stopped may: somebody waits for it, and Spark itself has ended before."""
_POLL_SECONDS = 0.5
_LOOK_SECONDS = 3.0
"""How often the server's connections are looked at, which costs more than to ask whether it lives."""
_PR_SET_PDEATHSIG = 1
_STOPPED = "it was stopped"
_IDLE = "it was idle"


@dataclass
class Use:
    """When the server was last in use (seconds since 1970), and for how long in all."""

    last: float = field(default_factory=time.time)
    seconds: float = 0.0

    def look(self, connected: bool, told: Path, pid: int, since: float) -> None:
        """Note a look at the server; to have found it by its file is a use, since a client will come."""
        now = time.time()
        if connected:
            self.last = now
            self.seconds += since
        with contextlib.suppress(FileNotFoundError):
            if _tells_of(told, pid):
                self.last = max(self.last, min(now, told.stat().st_mtime))


def main() -> int:
    """Keep one server from its start to its end; 0 where it was ended on purpose."""
    launch = Launch.from_json(json.load(sys.stdin))
    told = Path(launch.told)
    archive = Archive.of(Path(launch.archive), os.getpid()) if launch.archive else None
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda caught, _: asked.append(caught))
    with Path(launch.log).open("ab") as log:
        server = subprocess.Popen(
            launch.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **launch.environment, **_options(archive)},
            preexec_fn=_die_with_the_keeper if sys.platform == "linux" else None,
        )
    use, why = Use(), "its keeper failed"
    try:
        why = _keep(server, launch, asked, use)
    finally:
        atomic.write_json(ended_file(told), {"pid": server.pid, "why": why, "at": time.time()})
        _forget(told, server.pid)
        server.terminate()
    _await_end(server, _grace(why, archive))
    if archive:
        archive.keep(use.seconds, whole=server.returncode != -signal.SIGKILL)
    return 0 if asked or why == _IDLE else 1


def ended_file(told: Path) -> Path:
    """Where a keeper says why its server has ended."""
    return told.with_suffix(".ended")


def _keep(server: "subprocess.Popen[bytes]", launch: Launch, asked: list[int], use: Use) -> str:
    """Wait until the server has ended, or is to end; returns why."""
    told, deadline = Path(launch.told), time.monotonic() + START_SECONDS
    while not _connections(server.pid, launch.port, psutil.CONN_LISTEN):
        if server.poll() is not None:
            return _how(server.returncode)
        if asked or time.monotonic() > deadline:
            return _STOPPED if asked else f"it did not listen within {START_SECONDS:.0f} s"
        time.sleep(0.1)
    known = {"pid": server.pid, "created": psutil.Process(server.pid).create_time(), "keeper": os.getpid()}
    address = {"port": launch.port, "token": launch.token, "log": launch.log}
    atomic.write_json(told, known | address | {"idle_seconds": launch.idle_seconds, **launch.facts}, 0o600)
    looked, every = 0.0, min(_LOOK_SECONDS, launch.idle_seconds / 4)
    while server.poll() is None:
        if asked:
            return _STOPPED
        if time.monotonic() - looked >= every:
            looked = time.monotonic()
            use.look(bool(_connections(server.pid, launch.port, psutil.CONN_ESTABLISHED)), told, server.pid, every)
        if time.time() - use.last > launch.idle_seconds:
            return _IDLE
        time.sleep(_POLL_SECONDS)
    return _how(server.returncode)


def _forget(told: Path, pid: int) -> None:
    """Remove the file that tells of this server; one that tells of a later server stays."""
    if _tells_of(told, pid):
        told.unlink(missing_ok=True)


def _tells_of(told: Path, pid: int) -> bool:
    value = atomic.read_json(told)
    return value is not None and value["pid"] == pid


def _options(archive: Archive | None) -> dict[str, str]:
    """Options for the server's JVM alone: `JAVA_TOOL_OPTIONS` would reach the JVM that starts it too."""
    if archive is None:
        return {}
    return {"SPARK_SUBMIT_OPTS": " ".join(filter(None, [os.environ.get("SPARK_SUBMIT_OPTS"), archive.option]))}


def _connections(pid: int, port: int, status: str) -> list[Any]:
    with contextlib.suppress(psutil.Error):
        found = psutil.Process(pid).net_connections(kind="tcp")
        return [c for c in found if c.laddr and c.laddr.port == port and c.status == status]
    return []


def _how(returncode: int) -> str:
    if returncode >= 0:
        return f"it ended by itself with exit status {returncode}"
    name = signal.Signals(-returncode).name
    hint = "; often this is the system running out of memory" if name == "SIGKILL" else ""
    return f"it was killed by {name}{hint}"


def _grace(why: str, archive: Archive | None) -> float:
    """Seconds for the server to end in, before it is killed."""
    if archive is None or archive.part is None:
        return STOP_SECONDS
    return ARCHIVE_SECONDS if why == _IDLE else ARCHIVE_IN_VAIN_SECONDS


def _await_end(server: "subprocess.Popen[bytes]", seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(seconds)
    if server.poll() is None:
        server.kill()
        server.wait()


def _die_with_the_keeper() -> None:
    """The server gets SIGTERM when its keeper dies, however (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
