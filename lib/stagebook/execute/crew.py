"""What running stages needs besides the plan: the book, the tables' log, a stop signal, clocks."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from stagebook.execute.ahead import Ahead
from stagebook.execute.choosing import TableSizes
from stagebook.execute.job import CellProgress
from stagebook.execute.left import TableStates
from stagebook.execute.reusing import Results
from stagebook.model.record import RunRecord
from stagebook.model.tables import Commit
from stagebook.storage.pools import Pools
from stagebook.storage.runbook import RunBook


class TableLog(TableSizes, TableStates, Protocol):
    """What the runner asks of tables: never data, only what the Delta log says."""

    def committed(self, name: str, *, run_id: str, stage: str) -> Commit | None:
        """The commit that a stage made in a run, or None."""
        ...


@dataclass(frozen=True)
class Crew:
    """The tools of a run.

    `stop` is set to end it early; `seconds` is a clock that only goes forward; `ahead` has the host where kernels are
    forked, if they are, and those that are there before their stage's turn; `permit` says why a stage must not start
    now, given the record and the stages under way; `pools` are what all runs on this machine share; `await_tracking`
    comes back when MLflow's database is there, which a notebook that calls MLflow by itself must find.
    """

    book: RunBook
    tables: TableLog
    results: Results
    progress: Callable[[str, int, CellProgress], None]
    pools: Pools
    stop: threading.Event = field(default_factory=threading.Event)
    random: Random = field(default_factory=Random)
    seconds: Callable[[], float] = time.monotonic
    ahead: Ahead = field(default_factory=Ahead)
    permit: Callable[[str, RunRecord, Sequence[str]], str | None] = lambda stage, record, under_way: None
    await_tracking: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Limits:
    """How many stages run at once, whether others go on after a failure, and which may be spared by a result."""

    jobs: int = 1
    keep_going: bool = False
    may_reuse: frozenset[str] = frozenset()
