"""The Spark Connect server of this machine: found, started, stopped. One for each interpreter and master.

It listens on loopback only and takes only clients that know its token, which is in a file that only this
user can read. It is shared by all stages and later runs, and ends by itself when idle (`keeper`).
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
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from stagebook.engines.spark import keeper, launch
from stagebook.errors import SparkUnavailable
from stagebook.model.pipeline import SparkSettings
from stagebook.storage import atomic
from stagebook.storage.machine import lives, private_folder, state_folder

GONE_SECONDS = 20.0


@dataclass(frozen=True)
class Server:
    """A server that runs. `remote` is what a client connects to, with `token` as its password."""

    pid: int
    keeper: int
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
    return _read(_told(settings))


def ensure(settings: SparkSettings) -> Server:
    """The server for these settings, started if need be (10 to 20 s; the first time Delta is fetched).

    Raises:
        JavaMissing: there is no Java that Spark runs on.
        SparkUnavailable: it does not start; with the end of its log.
    """
    told = _told(settings)
    if found := _read(told):
        with contextlib.suppress(FileNotFoundError):
            os.utime(told)  # it does not go idle between now and the first connection
        return found
    private_folder(told.parent)
    with FileLock(told.with_suffix(".lock")):
        return _read(told) or _start(settings, told)


def stop(settings: SparkSettings | None = None) -> list[Server]:
    """End the server for these settings, or all servers of this user, and wait for it; returns those that ran."""
    found = [server for server in [running(settings)] if server] if settings else list(everyone())
    for server in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(server.keeper).terminate()
    deadline = time.monotonic() + GONE_SECONDS
    while any(lives(server.pid) or lives(server.keeper) for server in found) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def everyone() -> Iterator[Server]:
    """All servers of this user that run."""
    yield from filter(None, map(_read, sorted(folder().glob("*.server"))))


def ended(settings: SparkSettings, pid: int) -> str | None:
    """Why the server with this process id has ended; None while it runs."""
    if (server := running(settings)) and server.pid == pid:
        return None
    told = atomic.read_json(keeper.ended_file(_told(settings)))
    return told["why"] if told and told["pid"] == pid else "it is gone"


def _told(settings: SparkSettings) -> Path:
    """The file that tells of the server; its name stands for all that must be equal to share it."""
    same = [sys.executable, version("pyspark"), version("delta-spark"), launch.master(settings)]
    same += [f"{key}={value}" for key, value in sorted(settings.conf.items())]
    return folder() / f"{hashlib.sha256(chr(10).join(same).encode()).hexdigest()[:12]}.server"


def _read(told: Path) -> Server | None:
    value: dict[str, Any] | None = atomic.read_json(told)
    if value is None:
        return None
    if not lives(value["pid"], value["created"]) or not lives(value["keeper"]):
        return None
    return Server(
        pid=value["pid"],
        keeper=value["keeper"],
        port=value["port"],
        token=value["token"],
        master=value["master"],
        log=Path(value["log"]),
        idle_seconds=value["idle_seconds"],
        driver_memory_bytes=value["driver_memory_bytes"],
    )


def _start(settings: SparkSettings, told: Path) -> Server:
    log = told.with_suffix(".log")
    log.unlink(missing_ok=True)
    plan = launch.plan(settings, folder(), port=_free_port(), token=secrets.token_urlsafe(24), told=told, log=log)
    process = subprocess.Popen(
        [sys.executable, "-m", "stagebook.engines.spark.keeper"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=told.parent,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(plan.to_json()).encode())
    process.stdin.close()
    while process.poll() is None:
        if found := _read(told):
            return found
        time.sleep(0.1)
    raise SparkUnavailable.of("the Spark server of this machine does not start", _why(told), log=str(log))


def _why(told: Path) -> str:
    """The last words of a server that did not start: Spark's error if there is one."""
    ended = atomic.read_json(keeper.ended_file(told)) or {}
    log = told.with_suffix(".log")
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    errors = [line for line in lines if "Exception" in line or "Error" in line or "UNRESOLVED" in line]
    return "; ".join([ended.get("why", "it ended"), *errors[:2]])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
