"""What running stages needs besides the plan: the recorder, the tables' log, a stop signal, clocks."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from stagebook.cache.lookup import ResultCache
from stagebook.cache.validity import TableStates
from stagebook.engines.facts import TableSizes
from stagebook.executor.job import CellProgress
from stagebook.executor.kernels.prestart import Prestarter
from stagebook.executor.pools import Pools
from stagebook.model.record import RunRecord
from stagebook.model.tables import Commit
from stagebook.runs.recorder import RunRecorder


class TableLog(TableSizes, TableStates, Protocol):
    """What the runner needs of tables: never data, only the Delta log."""

    def committed(self, name: str, *, run_id: str, stage: str) -> Commit | None:
        """The commit that a stage made in a run, or None."""
        ...


@dataclass(frozen=True)
class RunContext:
    """What the stages of a run share.

    `stop` is set to end the run early; `seconds` is a clock that only goes forward; `prestarter` has the fork server,
    where kernels are forked, and the kernels that were started before their stage's turn; `permit` says why a stage
    must not start now, given the record and the stages under way; `pools` are what all runs on this machine share;
    `await_tracking` returns when MLflow's database is there, which a notebook that calls MLflow by itself needs.
    """

    recorder: RunRecorder
    tables: TableLog
    cache: ResultCache
    progress: Callable[[str, int, CellProgress], None]
    pools: Pools
    stop: threading.Event = field(default_factory=threading.Event)
    random: Random = field(default_factory=Random)
    seconds: Callable[[], float] = time.monotonic
    prestarter: Prestarter = field(default_factory=Prestarter)
    permit: Callable[[str, RunRecord, Sequence[str]], str | None] = lambda stage, record, under_way: None
    await_tracking: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Limits:
    """How many stages run at once, whether others go on after a failure, and which may take an earlier result."""

    jobs: int = 1
    keep_going: bool = False
    may_reuse: frozenset[str] = frozenset()
