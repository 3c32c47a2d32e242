"""Kernels that are started for the stages that come next, while the stages before them run.

A kernel waits in a worker of its own, as every attempt has one, and is used for the attempt that it was started for or
for none. So a stage begins after a few hundredths of a second instead of a third of one, and nothing else changes.
"""

import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from stagebook.executor.job import UpcomingAttempt
from stagebook.executor.kernels.fork_server import ForkServer, ForkServerUnavailable
from stagebook.executor.supervise import Worker, fork_worker

_GRACE_SECONDS = 2.0


@dataclass
class Prestarter:
    """Up to `limit` kernels that wait for their stages; none without a `fork_server` to fork them."""

    fork_server: ForkServer | None = None
    limit: int = 1
    _prestarts: dict[str, "_Prestart"] = field(default_factory=dict)  # by stage
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the kernels that were not taken, with all that they started."""
        with self._lock:
            unused, self._prestarts = list(self._prestarts.values()), {}
        for prestart in unused:
            prestart.discard()

    def start(self, stage: str, upcoming: UpcomingAttempt, log: Path) -> None:
        """Start the kernel of a stage's next attempt, unless there is one or the limit is met; nothing waits for it."""
        with self._lock:
            if self.fork_server is not None and stage not in self._prestarts and len(self._prestarts) < self.limit:
                self._prestarts[stage] = _Prestart(self.fork_server, upcoming, log)

    def take(self, stage: str, upcoming: UpcomingAttempt) -> Worker | None:
        """The worker whose kernel was started for exactly this attempt; else None."""
        with self._lock:
            prestart = self._prestarts.pop(stage, None)
        if prestart is None:
            return None
        if prestart.upcoming == upcoming and (worker := prestart.take()):
            return worker
        prestart.discard()
        return None


class _Prestart:
    """One worker that a thread asks for: the fork server answers when it has imported what it is to import."""

    def __init__(self, fork_server: ForkServer, upcoming: UpcomingAttempt, log: Path) -> None:
        self.upcoming, self._log = upcoming, log
        self._worker: Worker | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._start, args=(fork_server,), name="prestart", daemon=True)
        self._thread.start()

    def _start(self, fork_server: ForkServer) -> None:
        # If it fails, the attempt starts a worker in its turn and reports why.
        with contextlib.suppress(ForkServerUnavailable, OSError):
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("ab", buffering=0) as log:
                self._worker = fork_worker(fork_server, log, self._stop, imports_seconds=float("inf"))
            self._worker.pipes.stdin.write(self.upcoming.to_line().encode())
            self._worker.pipes.stdin.flush()

    def take(self) -> Worker | None:
        """The worker, if there is one by now and it lives."""
        self._stop.set()
        self._thread.join()
        return self._worker if self._worker and self._worker.process.poll() is None else None

    def discard(self) -> None:
        """End the worker by closing its stdin before a job; its log belongs to no attempt."""
        self._stop.set()
        self._thread.join()
        if self._worker is not None:
            self._worker.end(_GRACE_SECONDS)
        with contextlib.suppress(OSError):
            self._log.unlink()
