"""The Spark Connect server of this machine: find, start and stop it. There is one for each interpreter and master.

It listens on loopback only and accepts only clients that know its token, which is in a file that only this
user can read. All stages and later runs share it, and it ends by itself when idle (`supervisor`).
"""

import contextlib
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from stagebook import atomic
from stagebook.errors import SparkUnavailable
from stagebook.model.pipeline import SparkSettings
from stagebook.spark import launch, supervisor
from stagebook.user_state import is_alive, private_folder, state_folder

STOP_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True)
class Server:
    """A server that runs. `remote` is what a client connects to, with `token` as its password."""

    pid: int
    supervisor_pid: int
    port: int
    token: str
    master: str
    log: Path
    idle_seconds: float
    driver_memory_bytes: int

    @property
    def remote(self) -> str:
        return f"sc://localhost:{self.port}"

    def describe(self) -> dict[str, Any]:
        """What users may see: everything but the token."""
        return {
            "pid": self.pid,
            "master": self.master,
            "address": self.remote,
            "driver_memory_bytes": self.driver_memory_bytes,
            "idle_minutes": self.idle_seconds / 60,
            "log": str(self.log),
        }


def folder() -> Path:
    """Where servers of this user keep their files, on this machine."""
    return state_folder() / "spark"


def running(settings: SparkSettings) -> Server | None:
    """The server for these settings, if it runs."""
    return _read_server(_server_file(settings))


def ensure(settings: SparkSettings) -> Server:
    """The server for these settings, started if need be (10 to 20 s; the first time Delta is fetched).

    Raises:
        JavaMissing: there is no Java that Spark runs on.
        SparkUnavailable: it does not start; with the end of its log.
    """
    server_file = _server_file(settings)
    if server := _read_server(server_file):
        with contextlib.suppress(FileNotFoundError):
            os.utime(server_file)  # it does not go idle between now and the first connection
        return server
    private_folder(server_file.parent)
    with FileLock(server_file.with_suffix(".lock")):
        return _read_server(server_file) or _start(settings, server_file)


def stop(settings: SparkSettings | None = None) -> list[Server]:
    """End the server for these settings, or all servers of this user, and wait for it; returns those that ran."""
    servers = running_servers(settings)
    for server in servers:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(server.supervisor_pid).terminate()
    pids = [pid for server in servers for pid in (server.pid, server.supervisor_pid)]
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return servers


def running_servers(settings: SparkSettings | None = None) -> list[Server]:
    """The servers of this user that run: all, or at most the one for these settings."""
    files = sorted(folder().glob("*.server")) if settings is None else [_server_file(settings)]
    return [server for file in files if (server := _read_server(file))]


def end_reason(settings: SparkSettings, pid: int) -> str | None:
    """Why the server with this process id has ended; None while it runs."""
    if (server := running(settings)) and server.pid == pid:
        return None
    end = atomic.read_json(supervisor.end_reason_file(_server_file(settings)))
    return end["why"] if end and end["pid"] == pid else "it is gone"


def _server_file(settings: SparkSettings) -> Path:
    """The file that describes the running server; its name is a digest of what must be equal to share the server."""
    shared_by = [sys.executable, version("pyspark"), version("delta-spark"), launch.master(settings)]
    shared_by += [f"{key}={value}" for key, value in sorted(settings.conf.items())]
    return folder() / f"{hashlib.sha256(chr(10).join(shared_by).encode()).hexdigest()[:12]}.server"


def _read_server(server_file: Path) -> Server | None:
    """The server that the file describes, if it runs."""
    description: dict[str, Any] | None = atomic.read_json(server_file)
    if description is None:
        return None
    if not is_alive(description["pid"], description["created"]) or not is_alive(description["supervisor_pid"]):
        return None
    return Server(
        pid=description["pid"],
        supervisor_pid=description["supervisor_pid"],
        port=description["port"],
        token=description["token"],
        master=description["master"],
        log=Path(description["log"]),
        idle_seconds=description["idle_seconds"],
        driver_memory_bytes=description["driver_memory_bytes"],
    )


def _start(settings: SparkSettings, server_file: Path) -> Server:
    log = server_file.with_suffix(".log")
    log.unlink(missing_ok=True)
    plan = launch.plan(
        settings, folder(), port=_free_port(), token=secrets.token_urlsafe(24), server_file=server_file, log=log
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "stagebook.spark.supervisor"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=server_file.parent,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(plan.to_json()).encode())
    process.stdin.close()
    while process.poll() is None:
        if server := _read_server(server_file):
            return server
        time.sleep(0.1)
    reason = _start_failure(server_file)
    raise SparkUnavailable.of("the Spark server of this machine does not start", reason, log=str(log))


def _start_failure(server_file: Path) -> str:
    """Why a server did not start, with Spark's first errors from its log."""
    end = atomic.read_json(supervisor.end_reason_file(server_file)) or {}
    log = server_file.with_suffix(".log")
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    errors = [line for line in lines if "Exception" in line or "Error" in line or "UNRESOLVED" in line]
    return "; ".join([end.get("why", "it ended"), *errors[:2]])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
