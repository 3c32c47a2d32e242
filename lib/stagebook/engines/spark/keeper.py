"""The keeper of a Spark Connect server: starts it, tells where it is, ends it when nobody needs it any more.

A process of its own, so that the server outlives the run that started it. It reads its `Launch` from
stdin, writes the file `told` once the server listens, and removes it when the server has ended; why it
ended is then in `<told>.ended`. In use is a server to which a connection is open; its clients say nothing.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from stagebook.engines.spark.launch import Launch
from stagebook.storage import atomic

START_SECONDS = 180.0
STOP_SECONDS = 15.0
_POLL_SECONDS = 3.0
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Keep one server from its start to its end; 0 where it was ended on purpose."""
    launch = Launch.from_json(json.load(sys.stdin))
    told = Path(launch.told)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda caught, _: asked.append(caught))
    with Path(launch.log).open("ab") as log:
        server = subprocess.Popen(
            launch.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **launch.environment},
            preexec_fn=_die_with_the_keeper if sys.platform == "linux" else None,
        )
    try:
        why = _keep(server, launch, asked)
    finally:
        _end(server)
        told.unlink(missing_ok=True)
    atomic.write_json(ended_file(told), {"pid": server.pid, "why": why, "at": time.time()})
    return 0 if asked or why == "idle" else 1


def ended_file(told: Path) -> Path:
    """Where a keeper says why its server has ended."""
    return told.with_suffix(".ended")


def _keep(server: "subprocess.Popen[bytes]", launch: Launch, asked: list[int]) -> str:
    """Wait for the server's end, or end it; returns why it ended."""
    deadline = time.monotonic() + START_SECONDS
    while not _connections(server.pid, launch.port, psutil.CONN_LISTEN):
        if server.poll() is not None:
            return _how(server.returncode)
        if asked or time.monotonic() > deadline:
            return "stopped" if asked else f"it did not listen within {START_SECONDS:.0f} s"
        time.sleep(0.1)
    known = {"pid": server.pid, "created": psutil.Process(server.pid).create_time(), "keeper": os.getpid()}
    address = {"port": launch.port, "token": launch.token, "log": launch.log}
    atomic.write_json(Path(launch.told), known | address | {"idle_seconds": launch.idle_seconds, **launch.facts}, 0o600)
    used = time.monotonic()
    while server.poll() is None:
        if asked:
            return "stopped"
        if _connections(server.pid, launch.port, psutil.CONN_ESTABLISHED):
            used = time.monotonic()
        elif time.monotonic() - used > launch.idle_seconds:
            return "idle"
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_POLL_SECONDS)
    return _how(server.returncode)


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


def _end(server: "subprocess.Popen[bytes]") -> None:
    if server.poll() is None:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
    if server.poll() is None:
        server.kill()
        server.wait()


def _die_with_the_keeper() -> None:
    """The server gets SIGTERM when its keeper dies, however (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
