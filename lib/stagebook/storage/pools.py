"""Pools: what all runs on this machine share, such as Spark or memory, and take no more of than there is.

Claims stand in a sqlite file. They are served in the order in which they came: one waits while an earlier one waits
for any of the same pools, so that a large claim is not passed by small ones for ever. Those of batch work give way to
all others until they become urgent too, at their deadline. Claims of processes that have ended are taken back by
whoever looks next.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from stagebook.storage.machine import lives

_LOOK_AGAIN_SECONDS = 0.2
_BUSY_SECONDS = 60.0

_TABLE = """
CREATE TABLE IF NOT EXISTS claims (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pid INTEGER NOT NULL,
    process_started REAL NOT NULL,
    what TEXT NOT NULL,
    wants TEXT NOT NULL,
    granted INTEGER NOT NULL DEFAULT 0,
    urgent_from REAL NOT NULL DEFAULT 0
)
"""
_ADDED = "ALTER TABLE claims ADD COLUMN urgent_from REAL NOT NULL DEFAULT 0"


@dataclass(frozen=True)
class Claim:
    """What somebody wants of pools, or has.

    It gives way to others until `urgent_from`, in seconds since the epoch: 0 never, infinity always.
    """

    id: int
    wants: Mapping[str, float]
    granted: bool
    urgent_from: float = 0.0


def may_have(claim: Claim, others: Sequence[Claim], sizes: Mapping[str, float], now: float) -> bool:
    """Whether a claim can be granted now.

    Args:
        others: all other claims of living processes.
        sizes: of each pool that the claim wants of.
        now: in seconds since the epoch.
    """

    def place(one: Claim) -> tuple[bool, int]:
        return one.urgent_from > now, one.id

    for pool, amount in claim.wants.items():
        rivals = [other for other in others if pool in other.wants]
        if any(place(other) < place(claim) and not other.granted for other in rivals):
            return False
        if amount + sum(other.wants[pool] for other in rivals if other.granted) > sizes[pool]:
            return False
    return True


@dataclass(frozen=True)
class Pools:
    """The pools of this machine, as large as a pipeline says.

    Args:
        file: where all processes that share the pools keep their claims; made when it is first needed.
        urgent_from: of the claims that are made here.
        clock: seconds since the epoch.
    """

    file: Path
    sizes: Mapping[str, float]
    urgent_from: float = 0.0
    clock: Callable[[], float] = time.time

    @contextmanager
    def held(self, wants: Mapping[str, float], what: str, stop: threading.Event) -> Iterator[float | None]:
        """Wait for a share of the pools, and give it back at the end.

        Yields:
            The seconds of waiting; None where `stop` was set before the claim was granted.
        """
        if not wants:
            yield 0.0
            return
        began = time.monotonic()
        number = self._claim(wants, what)
        try:
            granted = self._granted(number)
            while not granted and not stop.wait(_LOOK_AGAIN_SECONDS):
                granted = self._granted(number)
            yield time.monotonic() - began if granted else None
        finally:
            with self._opened() as database:
                database.execute("DELETE FROM claims WHERE id = ?", [number])

    def _claim(self, wants: Mapping[str, float], what: str) -> int:
        own = psutil.Process()
        with self._opened() as database:
            row = [own.pid, own.create_time(), what, json.dumps(dict(wants)), self.urgent_from]
            columns = "pid, process_started, what, wants, urgent_from"
            told = database.execute(f"INSERT INTO claims ({columns}) VALUES (?, ?, ?, ?, ?)", row)
        assert told.lastrowid is not None
        return told.lastrowid

    def _granted(self, number: int) -> bool:
        with self._opened() as database:
            claims = _living(database)
            own = next(claim for claim in claims if claim.id == number)
            others = [claim for claim in claims if claim.id != number]
            if granted := may_have(own, others, self.sizes, self.clock()):
                database.execute("UPDATE claims SET granted = 1 WHERE id = ?", [number])
        return granted

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The claims, for this process alone until the end of the block."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.file, timeout=_BUSY_SECONDS, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute(_TABLE)
            if not any(column[1] == "urgent_from" for column in database.execute("PRAGMA table_info(claims)")):
                database.execute(_ADDED)  # a file of before there was batch work
            yield database
            database.execute("COMMIT")


def _living(database: sqlite3.Connection) -> list[Claim]:
    """The claims of living processes; those of others are removed."""
    alive = []
    for number, pid, started, wants, granted, urgent_from in database.execute(
        "SELECT id, pid, process_started, wants, granted, urgent_from FROM claims"
    ).fetchall():
        if lives(pid, started):
            alive.append(Claim(number, json.loads(wants), bool(granted), urgent_from))
        else:
            database.execute("DELETE FROM claims WHERE id = ?", [number])
    return alive
