"""Who pays for which minutes of a cluster: its start-up, its work, its waiting."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

from stagebook.model.pricing import Rate

SECOND = 1_000_000
HOUR = 3600 * SECOND


class Kind(StrEnum):
    """What a minute of a cluster was for."""

    USEFUL = "useful"
    WASTED = "wasted"  # an attempt that did not succeed
    IDLE = "idle"  # starting, or waiting for the next attempt


@dataclass(frozen=True)
class Busy:
    """One attempt that a cluster worked for. Instants are microseconds since 1970, UTC."""

    stage: str
    attempt: int
    start: int
    end: int
    kind: Kind


@dataclass(frozen=True)
class Piece:
    """A time that an attempt pays for; where several ran at once, it pays `share` of it."""

    busy: Busy
    kind: Kind
    start: int
    end: int
    share: Fraction = Fraction(1)

    def by_hour(self) -> Iterator["Piece"]:
        """The piece, cut where an hour of the clock ends."""
        start = self.start
        while start < self.end:
            end = min(self.end, (start // HOUR + 1) * HOUR)
            yield Piece(self.busy, self.kind, start, end, self.share)
            start = end


def pieces(rate: Rate, work: Sequence[Busy], *, closed: bool) -> Iterator[Piece]:
    """Every microsecond that is billed, each to one attempt or shared equally by those that ran.

    A cluster starts for the first attempt, waits between attempts, and ends with the last one. All-purpose
    compute ends after `rate.idle_seconds` of waiting, and starts again. Waiting is paid by who comes next.

    Args:
        work: all attempts on one cluster, in any order.
        closed: whether no attempt can come any more, so that an all-purpose cluster's last wait is known.
    """
    if not rate.shared:
        yield from (Piece(busy, busy.kind, busy.start, busy.end) for busy in work)
        return
    arriving: dict[int, list[Busy]] = {}
    for busy in sorted(work, key=lambda one: (one.start, one.stage, one.attempt)):
        arriving.setdefault(busy.start, []).append(busy)
    edges = sorted({busy.start for busy in work} | {busy.end for busy in work})
    if not edges:
        return
    starting, limit = int(rate.startup_seconds * SECOND), _limit(rate)
    first = arriving[edges[0]]
    yield Piece(first[0], Kind.IDLE, edges[0] - starting, edges[0])
    running, last = list(first), max(first, key=_end)
    for left, right in pairwise(edges):
        running = [busy for busy in running if busy.end > left]
        if running:
            yield from (Piece(busy, busy.kind, left, right, Fraction(1, len(running))) for busy in running)
        elif limit is None or right - left <= limit:
            yield Piece(arriving[right][0], Kind.IDLE, left, right)
        else:
            yield Piece(last, Kind.IDLE, left, left + limit)
            yield Piece(arriving[right][0], Kind.IDLE, right - starting, right)
        running += arriving.get(right, [])
        last = max([last, *arriving.get(right, [])], key=_end)
    if closed and limit is not None:
        yield Piece(last, Kind.IDLE, edges[-1], edges[-1] + limit)


def _limit(rate: Rate) -> int | None:
    return None if rate.idle_seconds is None else int(rate.idle_seconds * SECOND)


def _end(busy: Busy) -> int:
    return busy.end
