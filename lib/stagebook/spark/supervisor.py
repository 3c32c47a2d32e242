"""The supervisor of a Spark Connect server: starts it, publishes its address, and ends it when it is idle.

A process of its own, so that the server outlives the run that started it. It reads its `Launch` from
stdin, writes the launch's `server_file` once the server listens, and removes it before the server ends; the
reason for the end is then in `<server_file>.ended`. A server is in use while a connection to it is open.
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

from stagebook import atomic
from stagebook.spark.class_archive import ClassArchive
from stagebook.spark.launch import Launch

START_SECONDS = 180.0
STOP_SECONDS = 15.0
ARCHIVE_SECONDS = 120.0
"""How long an idle server may take to write its class archive at its end."""
ABANDONED_ARCHIVE_SECONDS = 3.0
"""How long a stopped server may take for it: somebody waits for the end, and Spark itself has ended before."""
_POLL_SECONDS = 0.5
_CONNECTION_CHECK_SECONDS = 3.0
"""How often the server's connections are listed, which costs more than to check that its process lives."""
_PR_SET_PDEATHSIG = 1
_STOPPED = "it was stopped"
_IDLE = "it was idle"


@dataclass
class ServerUse:
    """When the server was last in use (seconds since 1970), and for how long in all."""

    last: float = field(default_factory=time.time)
    seconds: float = 0.0

    def observe(self, connected: bool, server_file: Path, pid: int, interval_seconds: float) -> None:
        """Note whether the server is in use now: a client is connected, or has touched its file and will connect."""
        now = time.time()
        if connected:
            self.last = now
            self.seconds += interval_seconds
        with contextlib.suppress(FileNotFoundError):
            if _describes(server_file, pid):
                self.last = max(self.last, min(now, server_file.stat().st_mtime))


def main() -> int:
    """Supervise one server from its start to its end; 0 where it was ended on purpose."""
    launch = Launch.from_json(json.load(sys.stdin))
    server_file = Path(launch.server_file)
    archive = ClassArchive.claim(Path(launch.archive), os.getpid()) if launch.archive else None
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: signals.append(received))
    with Path(launch.log).open("ab") as log:
        server = subprocess.Popen(
            launch.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **launch.environment, **_submit_options(archive)},
            preexec_fn=_die_with_the_supervisor if sys.platform == "linux" else None,
        )
    use, reason = ServerUse(), "its supervisor failed"
    try:
        reason = _supervise(server, launch, signals, use)
    finally:
        atomic.write_json(end_reason_file(server_file), {"pid": server.pid, "why": reason, "at": time.time()})
        _remove_server_file(server_file, server.pid)
        server.terminate()
    _wait_or_kill(server, _stop_timeout(reason, archive))
    if archive:
        archive.publish(use.seconds, complete=server.returncode != -signal.SIGKILL)
    return 0 if signals or reason == _IDLE else 1


def end_reason_file(server_file: Path) -> Path:
    """Where a supervisor writes why its server has ended."""
    return server_file.with_suffix(".ended")


def _supervise(server: "subprocess.Popen[bytes]", launch: Launch, signals: list[int], use: ServerUse) -> str:
    """Wait until the server has ended, or is to end; returns the reason."""
    deadline = time.monotonic() + START_SECONDS
    while not _connections(server.pid, launch.port, psutil.CONN_LISTEN):
        if server.poll() is not None:
            return _exit_reason(server.returncode)
        if signals or time.monotonic() > deadline:
            return _STOPPED if signals else f"it did not listen within {START_SECONDS:.0f} s"
        time.sleep(0.1)
    _write_server_file(server.pid, launch)
    checked_at, interval_seconds = 0.0, min(_CONNECTION_CHECK_SECONDS, launch.idle_seconds / 4)
    while server.poll() is None:
        if signals:
            return _STOPPED
        if time.monotonic() - checked_at >= interval_seconds:
            checked_at = time.monotonic()
            connected = bool(_connections(server.pid, launch.port, psutil.CONN_ESTABLISHED))
            use.observe(connected, Path(launch.server_file), server.pid, interval_seconds)
        if time.time() - use.last > launch.idle_seconds:
            return _IDLE
        time.sleep(_POLL_SECONDS)
    return _exit_reason(server.returncode)


def _write_server_file(pid: int, launch: Launch) -> None:
    """Publish the server's address and token, in a file that only this user can read."""
    processes = {"pid": pid, "created": psutil.Process(pid).create_time(), "supervisor_pid": os.getpid()}
    address = {"port": launch.port, "token": launch.token, "log": launch.log}
    description = processes | address | {"idle_seconds": launch.idle_seconds, **launch.facts}
    atomic.write_json(Path(launch.server_file), description, 0o600)


def _remove_server_file(server_file: Path, pid: int) -> None:
    """Remove the file that describes this server; one that describes a later server stays."""
    if _describes(server_file, pid):
        server_file.unlink(missing_ok=True)


def _describes(server_file: Path, pid: int) -> bool:
    description = atomic.read_json(server_file)
    return description is not None and description["pid"] == pid


def _submit_options(archive: ClassArchive | None) -> dict[str, str]:
    """Options for the server's JVM alone: `JAVA_TOOL_OPTIONS` would reach the JVM that starts it too."""
    if archive is None:
        return {}
    return {"SPARK_SUBMIT_OPTS": " ".join(filter(None, [os.environ.get("SPARK_SUBMIT_OPTS"), archive.jvm_option]))}


def _connections(pid: int, port: int, status: str) -> list[Any]:
    with contextlib.suppress(psutil.Error):
        connections = psutil.Process(pid).net_connections(kind="tcp")
        return [c for c in connections if c.laddr and c.laddr.port == port and c.status == status]
    return []


def _exit_reason(returncode: int) -> str:
    if returncode >= 0:
        return f"it ended by itself with exit status {returncode}"
    name = signal.Signals(-returncode).name
    hint = "; often this is the system running out of memory" if name == "SIGKILL" else ""
    return f"it was killed by {name}{hint}"


def _stop_timeout(reason: str, archive: ClassArchive | None) -> float:
    """Seconds for the server to end in, before it is killed."""
    if archive is None or archive.partial is None:
        return STOP_SECONDS
    return ARCHIVE_SECONDS if reason == _IDLE else ABANDONED_ARCHIVE_SECONDS


def _wait_or_kill(server: "subprocess.Popen[bytes]", seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(seconds)
    if server.poll() is None:
        server.kill()
        server.wait()


def _die_with_the_supervisor() -> None:
    """The server gets SIGTERM when its supervisor dies, however (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
