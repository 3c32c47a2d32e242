"""The queue: runs and batches that are to start when they may, kept in a sqlite file until they have ended.

Whoever works on it takes an entry in one transaction and notes its own process, and the one that it starts. Entries of
which both have died are seen by whoever takes next, and settled by what their run has left.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from stagebook.errors import ConfigError
from stagebook.schedule.when import Times, turns
from stagebook.storage.machine import lives

MOST_DEATHS = 3
"""An entry whose process dies so often is given up: it may be what kills it."""

_BUSY_SECONDS = 60.0
_TABLE = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    what TEXT NOT NULL,
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
    why TEXT NOT NULL DEFAULT ''
)
"""


class State(StrEnum):
    """Where an entry is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    CANCELLING = "cancelling"
    ENDED = "ended"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Entry:
    """A run or batch that is to start when it may.

    `folder` is where its run or batch is, or will be; `setup` is what its process is started with, in `cwd`. `owners`
    are the process that took it and the one that runs it, with when they began.
    """

    id: int
    kind: str
    what: str
    setup: Mapping[str, Any]
    folder: Path
    cwd: Path
    priority: int = 0
    times: Times = field(default_factory=Times)
    state: State = State.WAITING
    owners: tuple[tuple[int, float], ...] = ()
    deaths: int = 0
    exit_code: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Left:
    """What an entry's run or batch has left: whether a process holds it, and its exit status where it has ended."""

    held: bool = False
    exit_code: int | None = None


class NoSuchEntry(ConfigError):
    """The queue has no such entry, or it has ended already."""


@dataclass(frozen=True)
class Queue:
    """The queue of this user on this machine.

    Args:
        file: made when it is first needed.
    """

    file: Path

    def add(self, entry: Entry) -> Entry:
        """Put an entry in; its `id` is given anew."""
        values = {
            "kind": entry.kind,
            "what": entry.what,
            "setup": json.dumps(dict(entry.setup)),
            "folder": str(entry.folder),
            "cwd": str(entry.cwd),
            "priority": entry.priority,
            **entry.times.to_json(),
        }
        with self._opened() as database:
            marks = ", ".join("?" * len(values))
            told = database.execute(f"INSERT INTO entries ({', '.join(values)}) VALUES ({marks})", [*values.values()])
        assert told.lastrowid is not None
        return replace(entry, id=told.lastrowid)

    def entries(self) -> list[Entry]:
        """All entries, in the order in which they came."""
        with self._opened() as database:
            return _entries(database)

    def take(self, now: datetime, look: Callable[[Entry], Left]) -> Entry | None:
        """The next entry that may start now, from now on this process's; None where there is none.

        Entries whose owners have died wait again, or have ended; those whose run another process holds are left to it.

        Args: look: what an entry's run has left.
        """
        own = psutil.Process()
        with self._opened() as database:
            for entry in _entries(database):
                if entry.state in (State.RUNNING, State.CANCELLING) and not _owned(entry):
                    _recover(database, entry, look(entry))
            for entry in turns([one for one in _entries(database) if one.state is State.WAITING], now):
                left = look(entry)
                if left.held:
                    continue
                if left.exit_code is not None:
                    _set(database, entry.id, state=State.ENDED, exit_code=left.exit_code)
                    continue
                taken = {"taker": own.pid, "taker_started": own.create_time(), "process": None, "process_started": None}
                _set(database, entry.id, state=State.RUNNING, why="", **taken)
                return entry
        return None

    def own(self, number: int, pid: int) -> None:
        """Note the process that runs the entry: it may outlive whoever took it."""
        try:
            started = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return  # it has ended already, and whoever took the entry is told so
        with self._opened() as database:
            _set(database, number, process=pid, process_started=started)

    def end(self, number: int, exit_code: int, why: str = "") -> None:
        """The entry has ended; as cancelled where that was asked for."""
        with self._opened() as database:
            asked = _entry(database, number).state is State.CANCELLING
            state = State.CANCELLED if asked else State.ENDED
            _set(database, number, state=state, exit_code=exit_code, why=why)

    def put_back(self, number: int, why: str, *, held_until: datetime | None = None) -> None:
        """The entry waits again. Args: held_until: it may not start before that, deadline or not."""
        with self._opened() as database:
            asked = _entry(database, number).state is State.CANCELLING
            state = State.CANCELLED if asked else State.WAITING
            held = replace(_entry(database, number).times, held_until=held_until).to_json()
            _set(database, number, state=state, why=why, held_until=held["held_until"])

    def cancel(self, number: int) -> Entry:
        """Take a waiting entry out, or ask for a running one to be stopped; gives it as it is then.

        Raises:
            NoSuchEntry: there is none, or it has ended.
        """
        with self._opened() as database:
            entry = _entry(database, number)
            match entry.state:
                case State.WAITING:
                    _set(database, number, state=State.CANCELLED)
                case State.RUNNING:
                    _set(database, number, state=State.CANCELLING)
                case State.ENDED | State.CANCELLED:
                    raise NoSuchEntry(f"entry {number} of the queue has {entry.state.value} already: {entry.what}")
            return _entry(database, number)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The entries, for this process alone until the end of the block."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.file, timeout=_BUSY_SECONDS, isolation_level=None)) as database:
            database.row_factory = sqlite3.Row
            database.execute("BEGIN IMMEDIATE")
            database.execute(_TABLE)
            yield database
            database.execute("COMMIT")


def _owned(entry: Entry) -> bool:
    return any(lives(pid, started) for pid, started in entry.owners)


def _recover(database: sqlite3.Connection, entry: Entry, left: Left) -> None:
    """Settle an entry whose owners have died, by what its run has left."""
    if left.held:
        return
    if left.exit_code is not None:
        _set(database, entry.id, state=State.ENDED, exit_code=left.exit_code)
    elif entry.state is State.CANCELLING:
        _set(database, entry.id, state=State.CANCELLED)
    elif entry.deaths + 1 >= MOST_DEATHS:
        why = f"given up: its process has died {MOST_DEATHS} times"
        _set(database, entry.id, state=State.ENDED, exit_code=1, deaths=entry.deaths + 1, why=why)
    else:
        why = "its process died; it is gone on with"
        _set(database, entry.id, state=State.WAITING, deaths=entry.deaths + 1, why=why)


def _set(database: sqlite3.Connection, number: int, **values: Any) -> None:
    sets = ", ".join(f"{name} = ?" for name in values)
    database.execute(f"UPDATE entries SET {sets} WHERE id = ?", [*values.values(), number])


def _entry(database: sqlite3.Connection, number: int) -> Entry:
    row = database.execute("SELECT * FROM entries WHERE id = ?", [number]).fetchone()
    if row is None:
        raise NoSuchEntry(f"the queue has no entry {number}; `stagebook queue list` shows them.")
    return _of(row)


def _entries(database: sqlite3.Connection) -> list[Entry]:
    return [_of(row) for row in database.execute("SELECT * FROM entries ORDER BY id").fetchall()]


def _of(row: sqlite3.Row) -> Entry:
    return Entry(
        id=row["id"],
        kind=row["kind"],
        what=row["what"],
        setup=json.loads(row["setup"]),
        folder=Path(row["folder"]),
        cwd=Path(row["cwd"]),
        priority=row["priority"],
        times=Times.from_json({name: row[name] for name in ("not_before", "window", "deadline", "held_until")}),
        state=State(row["state"]),
        owners=tuple((row[who], row[f"{who}_started"]) for who in ("taker", "process") if row[who] is not None),
        deaths=row["deaths"],
        exit_code=row["exit_code"],
        why=row["why"],
    )
