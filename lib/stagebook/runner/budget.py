"""A run within its budget: admitted before anything starts, asked again before each stage."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Self

from filelock import FileLock

from stagebook.costs import bill, budget
from stagebook.costs.estimate import estimate, estimate_sequence
from stagebook.costs.prediction import Prediction
from stagebook.errors import OverBudget
from stagebook.model.pipeline import Pipeline
from stagebook.model.pricing import ZERO, Range
from stagebook.model.record import RunRecord, RunStatus
from stagebook.planner.plan import Plan
from stagebook.runs import folders
from stagebook.runs.folders import RunFolder

LOCK = "budget.lock"


class MonthlyBudgetSpent(OverBudget):
    """The run would exceed what the pipeline may cost in this month; in the next one it may not."""


def is_monthly(why: str) -> bool:
    """Whether a refusal is for what the month has spent, not for what the run costs by itself."""
    return why.startswith("max_usd_per_month ")


@dataclass(frozen=True)
class RunBudget:
    """What a run may spend, and what it is expected to: all its stages, and the seconds of those with a history."""

    pipeline: Pipeline
    folder: RunFolder
    seconds: Mapping[str, Range]
    expected: Range
    clock: Callable[[], datetime]
    lock: FileLock

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        folder: RunFolder,
        plan: Plan,
        predictions: Mapping[str, Prediction],
        clock: Callable[[], datetime],
    ) -> Self:
        """The spending of a plan, whose stages are taken to run one after the other."""
        seconds = {name: found.seconds for name, found in predictions.items() if found.seconds is not None}
        costs = estimate_sequence([(pipeline.rate(name), seconds.get(name, ZERO)) for name in plan.running])
        return cls(pipeline, folder, seconds, sum(costs, ZERO), clock, FileLock(pipeline.paths.runs / LOCK))

    def permit(self, stage: str, record: RunRecord, under_way: Sequence[str]) -> str | None:
        """Why a stage may not start now; None where it may. Stages under way count as if they had ended."""
        if not self.pipeline.budget:
            return None
        coming = [name for name in under_way if name != stage]
        expected = sum((self._expected(name, record).likely for name in coming), Decimal(0))
        return self._refusal(record, expected + self._expected(stage, record).likely)

    @contextmanager
    def admitted(self, record: RunRecord | None) -> Iterator[None]:
        """Let the run begin, or refuse it. Runs are admitted one at a time, until their journal says so (`begun`).

        Raises:
            OverBudget: if the run is expected to exceed a limit.
        """
        if self.pipeline.budget.max_usd_per_month is not None:
            self.lock.acquire()
        try:
            if refused := self.refused(record):
                raise refused
            yield
        finally:
            self.begun()

    def refused(self, record: RunRecord | None) -> OverBudget | None:
        """Why the whole plan is too much, or None."""
        why = self._refusal(record, self.expected.likely) if self.pipeline.budget else None
        if why is None:
            return None
        return (MonthlyBudgetSpent if is_monthly(why) else OverBudget).of(why)

    def begun(self) -> None:
        """The journal holds what the run reserves: others may be admitted."""
        self.lock.release()

    def _expected(self, stage: str, record: RunRecord) -> Range:
        rate = self.pipeline.rate(stage)
        if rate is None:
            return ZERO
        started = record.sessions[-1].started_at
        up = any(
            attempt.started_at >= started
            for name, other in record.stages.items()
            if self.pipeline.stages[name].profile == rate.profile
            for attempt in other.attempts
        )
        start_up = ZERO if up and rate.shared else estimate(rate, rate.startup_seconds)
        return start_up + estimate(rate, self.seconds.get(stage, ZERO))

    def _refusal(self, record: RunRecord | None, expected: Decimal) -> str | None:
        """Why the run may not start what is expected, all at once; None where it may."""
        spent = bill.of(record).total.total.likely if record else Decimal(0)
        return budget.refusal(self.pipeline.budget, run=spent, month=self._others(), expected=expected)

    def _others(self) -> Decimal:
        """What the other runs of this pipeline spent or hold in this month."""
        if self.pipeline.budget.max_usd_per_month is None:
            return Decimal(0)
        month, total = f"{self.clock():%Y-%m}", Decimal(0)
        for other in folders.existing(self.pipeline.paths.runs):
            if other.path == self.folder.path or f"{other.changed_at:%Y-%m}" < month:
                continue
            record = other.load_part()  # of a damaged run as much as can be read
            if record and record.pipeline == self.pipeline.name:
                alive = record.status is RunStatus.RUNNING and other.is_held
                total += budget.usd_in_month(record, month, alive=alive)
        return total
