"""Pools: resources that all runs on this machine share, such as Spark or memory, each with a size.

Claims are rows of a sqlite file, granted in the order in which they came: a claim waits while an earlier one waits for
any of the same pools, so that small claims do not pass a large one for ever. Claims of batch work give way to all
others until their deadline, when they become urgent too. The next process that looks removes claims of processes that
have ended.
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

from stagebook.user_state import is_alive

_POLL_SECONDS = 0.2
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
_ADD_URGENT_FROM = "ALTER TABLE claims ADD COLUMN urgent_from REAL NOT NULL DEFAULT 0"


@dataclass(frozen=True)
class PoolClaim:
    """The amounts of pools that a process has or waits for, by pool.

    It gives way to others until `urgent_from`, in seconds since the epoch: 0 never, infinity always.
    """

    id: int
    amounts: Mapping[str, float]
    granted: bool
    urgent_from: float = 0.0


def can_grant(claim: PoolClaim, rivals: Sequence[PoolClaim], sizes: Mapping[str, float], now: float) -> bool:
    """Whether a claim can be granted.

    Args:
        rivals: all other claims of living processes.
        sizes: of each pool of the claim.
        now: in seconds since the epoch.
    """

    def rank(claim: PoolClaim) -> tuple[bool, int]:
        return claim.urgent_from > now, claim.id

    for pool, amount in claim.amounts.items():
        in_pool = [rival for rival in rivals if pool in rival.amounts]
        if any(rank(rival) < rank(claim) and not rival.granted for rival in in_pool):
            return False
        if amount + sum(rival.amounts[pool] for rival in in_pool if rival.granted) > sizes[pool]:
            return False
    return True


@dataclass(frozen=True)
class Pools:
    """The pools of this machine, as large as a pipeline says.

    Args:
        file: of the claims of all processes that share the pools; created when it is first needed.
        urgent_from: of this object's claims.
        clock: seconds since the epoch.
    """

    file: Path
    sizes: Mapping[str, float]
    urgent_from: float = 0.0
    clock: Callable[[], float] = time.time

    @contextmanager
    def claimed(self, amounts: Mapping[str, float], label: str, stop: threading.Event) -> Iterator[float | None]:
        """Wait for these amounts of the pools, and give them back at the end.

        Args: label: says in the file for whom they are.

        Yields:
            The seconds of waiting; None where `stop` was set before the claim was granted.
        """
        if not amounts:
            yield 0.0
            return
        started = time.monotonic()
        claim_id = self._insert(amounts, label)
        try:
            granted = self._try_grant(claim_id)
            while not granted and not stop.wait(_POLL_SECONDS):
                granted = self._try_grant(claim_id)
            yield time.monotonic() - started if granted else None
        finally:
            with self._locked() as database:
                database.execute("DELETE FROM claims WHERE id = ?", [claim_id])

    def _insert(self, amounts: Mapping[str, float], label: str) -> int:
        process = psutil.Process()
        with self._locked() as database:
            row = [process.pid, process.create_time(), label, json.dumps(dict(amounts)), self.urgent_from]
            columns = "pid, process_started, what, wants, urgent_from"
            cursor = database.execute(f"INSERT INTO claims ({columns}) VALUES (?, ?, ?, ?, ?)", row)
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _try_grant(self, claim_id: int) -> bool:
        with self._locked() as database:
            claims = _living(database)
            own = next(claim for claim in claims if claim.id == claim_id)
            rivals = [claim for claim in claims if claim.id != claim_id]
            if granted := can_grant(own, rivals, self.sizes, self.clock()):
                database.execute("UPDATE claims SET granted = 1 WHERE id = ?", [claim_id])
        return granted

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        """The file of claims, locked until the end of the block."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.file, timeout=_BUSY_SECONDS, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute(_TABLE)
            if not any(column[1] == "urgent_from" for column in database.execute("PRAGMA table_info(claims)")):
                database.execute(_ADD_URGENT_FROM)  # an older version made the file
            yield database
            database.execute("COMMIT")


def _living(database: sqlite3.Connection) -> list[PoolClaim]:
    """The claims of living processes; claims of ended ones are removed."""
    claims = []
    for claim_id, pid, process_started, amounts, granted, urgent_from in database.execute(
        "SELECT id, pid, process_started, wants, granted, urgent_from FROM claims"
    ).fetchall():
        if is_alive(pid, process_started):
            claims.append(PoolClaim(claim_id, json.loads(amounts), bool(granted), urgent_from))
        else:
            database.execute("DELETE FROM claims WHERE id = ?", [claim_id])
    return claims
