"""The queue's entries: runs and sweeps that start when they may, kept in a sqlite file until they have ended.

A worker takes an entry in one transaction and notes its own process, and the one that it starts. Where both have died,
the next worker that takes an entry settles theirs by how their run ended.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import psutil

from stagebook.errors import ConfigError
from stagebook.schedule.start_times import StartTimes, start_order
from stagebook.user_state import is_alive

MAX_DEATHS = 3
"""An entry whose process dies so often is given up: it may be what kills it."""

FORMAT = 2
"""Of the queue's file; one of another format is refused."""

_BUSY_SECONDS = 60.0
_TABLE = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    command TEXT NOT NULL,
    setup TEXT NOT NULL,
    folder TEXT NOT NULL,
    cwd TEXT NOT NULL,
    priority INTEGER NOT NULL,
    not_before TEXT,
    window TEXT,
    deadline TEXT,
    held_until TEXT,
    state TEXT NOT NULL DEFAULT 'waiting',
    taker INTEGER,
    taker_started REAL,
    process INTEGER,
    process_started REAL,
    deaths INTEGER NOT NULL DEFAULT 0,
    exit_code INTEGER,
    reason TEXT NOT NULL DEFAULT ''
)
"""


class EntryState(StrEnum):
    """Where an entry is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    CANCELLING = "cancelling"
    ENDED = "ended"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class QueueEntry:
    """A run or sweep that is to start when it may.

    `folder` is where its run or sweep run is, or will be; `setup` is what its process is started with, in `cwd`.
    `owners` are the process that took it and the one that runs it, with when they began.
    """

    id: int
    kind: str
    command: str
    setup: Mapping[str, Any]
    folder: Path
    cwd: Path
    priority: int = 0
    times: StartTimes = field(default_factory=StartTimes)
    state: EntryState = EntryState.WAITING
    owners: tuple[tuple[int, float], ...] = ()
    deaths: int = 0
    exit_code: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class RunOutcome:
    """How an entry's run or sweep ended so far: whether a process holds it, and its exit status where it has ended."""

    held: bool = False
    exit_code: int | None = None


class NoSuchEntry(ConfigError):
    """The queue has no such entry, or it has ended already."""


class UnreadableQueue(ConfigError):
    """The queue's file is none, or was written by another version of Stagebook."""

    @classmethod
    def of(cls, file: Path, reason: str) -> Self:
        return cls(
            f"the queue in {file} cannot be read: {reason}.\n  Move the file away; runs that it had started go on."
        )


@dataclass(frozen=True)
class Queue:
    """The queue of this user on this machine.

    Args:
        file: made when it is first needed.
    """

    file: Path

    def add(self, entry: QueueEntry) -> QueueEntry:
        """Put an entry in; its `id` is given anew."""
        values = {
            "kind": entry.kind,
            "command": entry.command,
            "setup": json.dumps(dict(entry.setup)),
            "folder": str(entry.folder),
            "cwd": str(entry.cwd),
            "priority": entry.priority,
            **entry.times.to_json(),
        }
        with self._opened() as database:
            marks = ", ".join("?" * len(values))
            inserted = database.execute(
                f"INSERT INTO entries ({', '.join(values)}) VALUES ({marks})", [*values.values()]
            )
        assert inserted.lastrowid is not None
        return replace(entry, id=inserted.lastrowid)

    def entries(self) -> list[QueueEntry]:
        """All entries, in the order in which they came."""
        with self._opened() as database:
            return _entries(database)

    def take(self, now: datetime, look: Callable[[QueueEntry], RunOutcome]) -> QueueEntry | None:
        """The next entry that may start now, owned by this process from now on; None where there is none.

        Entries whose owners have died wait again, or have ended; those whose run another process holds are left to it.

        Args: look: how an entry's run ended so far.
        """
        own_process = psutil.Process()
        with self._opened() as database:
            for entry in _entries(database):
                if entry.state in (EntryState.RUNNING, EntryState.CANCELLING) and not _owned(entry):
                    _recover(database, entry, look(entry))
            waiting = [entry for entry in _entries(database) if entry.state is EntryState.WAITING]
            for entry in start_order(waiting, now):
                outcome = look(entry)
                if outcome.held:
                    continue
                if outcome.exit_code is not None:
                    _set(database, entry.id, state=EntryState.ENDED, exit_code=outcome.exit_code)
                    continue
                owner = {"taker": own_process.pid, "taker_started": own_process.create_time()}
                no_process = {"process": None, "process_started": None}
                _set(database, entry.id, state=EntryState.RUNNING, reason="", **owner, **no_process)
                return entry
        return None

    def own(self, number: int, pid: int) -> None:
        """Note the process that runs the entry: it may outlive whoever took it."""
        try:
            started = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return  # it has ended already, and the worker that took the entry sees that
        with self._opened() as database:
            _set(database, number, process=pid, process_started=started)

    def end(self, number: int, exit_code: int, reason: str = "") -> None:
        """The entry has ended; as cancelled where that was asked for."""
        with self._opened() as database:
            is_cancelled = _entry(database, number).state is EntryState.CANCELLING
            state = EntryState.CANCELLED if is_cancelled else EntryState.ENDED
            _set(database, number, state=state, exit_code=exit_code, reason=reason)

    def put_back(self, number: int, reason: str, *, held_until: datetime | None = None) -> None:
        """The entry waits again. Args: held_until: it may not start before that, deadline or not."""
        with self._opened() as database:
            is_cancelled = _entry(database, number).state is EntryState.CANCELLING
            state = EntryState.CANCELLED if is_cancelled else EntryState.WAITING
            times = replace(_entry(database, number).times, held_until=held_until).to_json()
            _set(database, number, state=state, reason=reason, held_until=times["held_until"])

    def cancel(self, number: int) -> QueueEntry:
        """Take a waiting entry out, or ask for a running one to be stopped; gives it as it is then.

        Raises:
            NoSuchEntry: there is none, or it has ended.
        """
        with self._opened() as database:
            entry = _entry(database, number)
            match entry.state:
                case EntryState.WAITING:
                    _set(database, number, state=EntryState.CANCELLED)
                case EntryState.RUNNING:
                    _set(database, number, state=EntryState.CANCELLING)
                case EntryState.ENDED | EntryState.CANCELLED:
                    raise NoSuchEntry(f"entry {number} of the queue has {entry.state.value} already: {entry.command}")
            return _entry(database, number)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The entries, for this process alone until the end of the block."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.file, timeout=_BUSY_SECONDS, isolation_level=None)) as database:
            database.row_factory = sqlite3.Row
            try:
                database.execute("BEGIN IMMEDIATE")
                _create_or_check(database, self.file)
            except sqlite3.DatabaseError as error:
                raise UnreadableQueue.of(self.file, str(error)) from error
            yield database
            database.execute("COMMIT")


def _create_or_check(database: sqlite3.Connection, file: Path) -> None:
    """Create the table in a new file; refuse one whose table has other columns."""
    is_new = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if is_new:
        database.execute(_TABLE)
        database.execute(f"PRAGMA user_version = {FORMAT}")
    elif (version := database.execute("PRAGMA user_version").fetchone()[0]) != FORMAT:
        raise UnreadableQueue.of(
            file, f"it is of format {version}, and this version of Stagebook reads format {FORMAT}"
        )


def _owned(entry: QueueEntry) -> bool:
    return any(is_alive(pid, started) for pid, started in entry.owners)


def _recover(database: sqlite3.Connection, entry: QueueEntry, outcome: RunOutcome) -> None:
    """Settle an entry whose owners have died, by how its run ended."""
    if outcome.held:
        return
    if outcome.exit_code is not None:
        _set(database, entry.id, state=EntryState.ENDED, exit_code=outcome.exit_code)
    elif entry.state is EntryState.CANCELLING:
        _set(database, entry.id, state=EntryState.CANCELLED)
    elif entry.deaths + 1 >= MAX_DEATHS:
        reason = f"given up: its process has died {MAX_DEATHS} times"
        _set(database, entry.id, state=EntryState.ENDED, exit_code=1, deaths=entry.deaths + 1, reason=reason)
    else:
        reason = "its process died; it will be resumed"
        _set(database, entry.id, state=EntryState.WAITING, deaths=entry.deaths + 1, reason=reason)


def _set(database: sqlite3.Connection, number: int, **values: Any) -> None:
    assignments = ", ".join(f"{name} = ?" for name in values)
    database.execute(f"UPDATE entries SET {assignments} WHERE id = ?", [*values.values(), number])


def _entry(database: sqlite3.Connection, number: int) -> QueueEntry:
    row = database.execute("SELECT * FROM entries WHERE id = ?", [number]).fetchone()
    if row is None:
        raise NoSuchEntry(f"the queue has no entry {number}; `stagebook queue list` shows them.")
    return _of(row)


def _entries(database: sqlite3.Connection) -> list[QueueEntry]:
    return [_of(row) for row in database.execute("SELECT * FROM entries ORDER BY id").fetchall()]


def _of(row: sqlite3.Row) -> QueueEntry:
    return QueueEntry(
        id=row["id"],
        kind=row["kind"],
        command=row["command"],
        setup=json.loads(row["setup"]),
        folder=Path(row["folder"]),
        cwd=Path(row["cwd"]),
        priority=row["priority"],
        times=StartTimes.from_json({name: row[name] for name in ("not_before", "window", "deadline", "held_until")}),
        state=EntryState(row["state"]),
        owners=tuple((row[role], row[f"{role}_started"]) for role in ("taker", "process") if row[role] is not None),
        deaths=row["deaths"],
        exit_code=row["exit_code"],
        reason=row["reason"],
    )
