"""What it costs to keep a cluster up for a given time."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Self

from stagebook.errors import StagebookError
from stagebook.model.pricing import ZERO, Range, Rate

HOUR = Decimal(3600)


class NegativeDuration(StagebookError):
    """The time of an estimate is below zero."""

    @classmethod
    def of(cls, seconds: Decimal) -> Self:
        return cls(f"{seconds} s is not a duration: seconds are zero or more.")


def estimate(rate: Rate, seconds: Decimal | Range) -> Range:
    """US dollars for a cluster that is up for this long, start-up not included.

    Raises:
        NegativeDuration: if seconds < 0.
    Source: the node-hour formula, lib/README.md, "What it costs".
    """
    duration = seconds if isinstance(seconds, Range) else Range.exactly(seconds)
    if duration.low < 0:
        raise NegativeDuration.of(duration.low)
    return rate.usd_per_hour * duration * (1 / HOUR)


def estimate_sequence(stages: Sequence[tuple[Rate | None, Range]]) -> list[Range]:
    """US dollars of stages that run one after the other; the first stage on a cluster pays its start-up.

    Args:
        stages: the rate of each stage (None: it is free), and how many seconds it takes.
    """
    started: set[str] = set()
    costs = []
    for rate, seconds in stages:
        if rate is None:
            costs.append(ZERO)
            continue
        startup = ZERO if rate.profile in started and rate.shared else estimate(rate, rate.startup_seconds)
        started.add(rate.profile)
        costs.append(startup + estimate(rate, seconds))
    return costs
