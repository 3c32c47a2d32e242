"""What keeping a cluster up costs, for a time that is given."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Self

from stagebook.errors import StagebookError
from stagebook.model.pricing import NOTHING, Range, Rate

HOUR = Decimal(3600)


class NegativeDuration(StagebookError):
    """An estimate was asked for a time below zero."""

    @classmethod
    def of(cls, seconds: Decimal) -> Self:
        return cls(f"{seconds} s is not a duration: seconds are zero or more.")


def estimate(rate: Rate, seconds: Decimal | Range) -> Range:
    """US dollars for a cluster that is up for so many seconds, start-up not included.

    Raises:
        NegativeDuration: if seconds < 0.
    Source: the node-hour formula, lib/README.md, "What it costs".
    """
    times = seconds if isinstance(seconds, Range) else Range.exactly(seconds)
    if times.low < 0:
        raise NegativeDuration.of(times.low)
    return rate.usd_per_hour * times * (1 / HOUR)


def in_a_row(stages: Sequence[tuple[Rate | None, Range]]) -> list[Range]:
    """US dollars of each stage, one after the other: who comes first on a cluster pays its start-up.

    Args:
        stages: what each costs (None: nothing) and the seconds that it takes.
    """
    up: set[str] = set()
    costs = []
    for rate, seconds in stages:
        if rate is None:
            costs.append(NOTHING)
            continue
        started = NOTHING if rate.profile in up and rate.shared else estimate(rate, rate.startup_seconds)
        up.add(rate.profile)
        costs.append(started + estimate(rate, seconds))
    return costs
