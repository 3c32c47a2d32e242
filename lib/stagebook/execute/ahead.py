"""Kernels that are started for the stages that come next, while the ones before them run.

A kernel waits in a worker of its own, as every attempt has, and is used for the attempt that it was started for or for
none. So to begin a stage takes a few hundredths of a second instead of a third of one, and nothing else changes.
"""

import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from stagebook.execute.host.client import Host, NoHost
from stagebook.execute.job import Coming
from stagebook.execute.supervise import Worker, forked

_GRACE_SECONDS = 2.0


@dataclass
class Ahead:
    """Up to `limit` kernels that wait for their stages; none without a `host` to fork them."""

    host: Host | None = None
    limit: int = 1
    _waiting: dict[str, "_Preparation"] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End those that nobody has taken, with all that they hold."""
        with self._lock:
            left, self._waiting = list(self._waiting.values()), {}
        for preparation in left:
            preparation.discard()

    def start(self, stage: str, coming: Coming, log: Path) -> None:
        """Start the kernel of a stage's coming attempt, unless there are enough or it has been; holds nobody up."""
        with self._lock:
            if self.host is not None and stage not in self._waiting and len(self._waiting) < self.limit:
                self._waiting[stage] = _Preparation(self.host, coming, log)

    def take(self, stage: str, coming: Coming) -> Worker | None:
        """The worker whose kernel is ready, or will be in a moment, for exactly this attempt; else None."""
        with self._lock:
            preparation = self._waiting.pop(stage, None)
        if preparation is None:
            return None
        if preparation.coming == coming and (worker := preparation.taken()):
            return worker
        preparation.discard()
        return None


class _Preparation:
    """One worker on its way, in a thread of its own: the host answers when it has imported what it is to import."""

    def __init__(self, host: Host, coming: Coming, log: Path) -> None:
        self.coming, self.log = coming, log
        self.worker: Worker | None = None
        self.given_up = threading.Event()
        self._thread = threading.Thread(target=self._start, args=(host,), name="ahead", daemon=True)
        self._thread.start()

    def _start(self, host: Host) -> None:
        with contextlib.suppress(NoHost, OSError):  # then it is started when its turn comes, which tells why
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab", buffering=0) as log:
                self.worker = forked(host, log, self.given_up, at_leisure=float("inf"))
            self.worker.pipes.stdin.write(self.coming.to_line().encode())
            self.worker.pipes.stdin.flush()

    def taken(self) -> Worker | None:
        """The worker, if there is one by now that lives."""
        self.given_up.set()
        self._thread.join()
        return self.worker if self.worker and self.worker.process.poll() is None else None

    def discard(self) -> None:
        """End the worker by telling it that no job comes; what it wrote belongs to no attempt."""
        self.given_up.set()
        self._thread.join()
        if self.worker is not None:
            self.worker.let_go(_GRACE_SECONDS)
        with contextlib.suppress(OSError):
            self.log.unlink()
