"""Which attempt pays for which minutes of a cluster: start-up, work and waiting."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

from stagebook.model.pricing import Rate

SECOND = 1_000_000
HOUR = 3600 * SECOND


class TimeKind(StrEnum):
    """What a minute of a cluster was used for."""

    USEFUL = "useful"
    WASTED = "wasted"  # an attempt that did not succeed
    IDLE = "idle"  # starting, or waiting for the next attempt


@dataclass(frozen=True)
class BusyInterval:
    """One attempt that a cluster worked on. Instants are microseconds since 1970, UTC."""

    stage: str
    attempt: int
    start: int
    end: int
    kind: TimeKind


@dataclass(frozen=True)
class ClusterInterval:
    """A time span that an attempt pays for; of several attempts that ran at once, each pays its `share`."""

    busy: BusyInterval
    kind: TimeKind
    start: int
    end: int
    share: Fraction = Fraction(1)

    def by_hour(self) -> Iterator["ClusterInterval"]:
        """The interval, split at each full hour of the clock."""
        start = self.start
        while start < self.end:
            end = min(self.end, (start // HOUR + 1) * HOUR)
            yield ClusterInterval(self.busy, self.kind, start, end, self.share)
            start = end


def intervals(rate: Rate, work: Sequence[BusyInterval], *, closed: bool) -> Iterator[ClusterInterval]:
    """All billed time of a cluster: each microsecond belongs to one attempt, or equally to those that ran then.

    A cluster starts for its first attempt, waits between attempts, and ends with the last one. All-purpose
    compute ends after `rate.idle_seconds` of waiting, and starts again. The next attempt pays for the wait before it.

    Args:
        work: all attempts on one cluster, in any order.
        closed: whether no attempt can follow, so that the last wait of an all-purpose cluster is known.
    """
    if not rate.shared:
        yield from (ClusterInterval(busy, busy.kind, busy.start, busy.end) for busy in work)
        return
    starting_at: dict[int, list[BusyInterval]] = {}
    for busy in sorted(work, key=lambda busy: (busy.start, busy.stage, busy.attempt)):
        starting_at.setdefault(busy.start, []).append(busy)
    edges = sorted({busy.start for busy in work} | {busy.end for busy in work})
    if not edges:
        return
    startup, idle_limit = int(rate.startup_seconds * SECOND), _idle_limit(rate)
    running = list(starting_at[edges[0]])
    yield ClusterInterval(running[0], TimeKind.IDLE, edges[0] - startup, edges[0])
    last = max(running, key=_end)
    for start, end in pairwise(edges):
        running = [busy for busy in running if busy.end > start]
        if running:
            yield from (ClusterInterval(busy, busy.kind, start, end, Fraction(1, len(running))) for busy in running)
        elif idle_limit is None or end - start <= idle_limit:
            yield ClusterInterval(starting_at[end][0], TimeKind.IDLE, start, end)
        else:
            yield ClusterInterval(last, TimeKind.IDLE, start, start + idle_limit)
            yield ClusterInterval(starting_at[end][0], TimeKind.IDLE, end - startup, end)
        running += starting_at.get(end, [])
        last = max([last, *starting_at.get(end, [])], key=_end)
    if closed and idle_limit is not None:
        yield ClusterInterval(last, TimeKind.IDLE, edges[-1], edges[-1] + idle_limit)


def _idle_limit(rate: Rate) -> int | None:
    return None if rate.idle_seconds is None else int(rate.idle_seconds * SECOND)


def _end(busy: BusyInterval) -> int:
    return busy.end
