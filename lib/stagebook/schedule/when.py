"""When an entry of the queue may start, and whose turn it is: pure functions of the time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, Self, TypeVar

from stagebook.schedule.window import Window


@dataclass(frozen=True)
class Times:
    """When something may start: not before a moment and within a window; at its deadline, and then, in spite of these.

    Before `held_until` it may not start at all: until then there is no money for it. All moments are aware of their
    time zone.
    """

    not_before: datetime | None = None
    window: Window | None = None
    deadline: datetime | None = None
    held_until: datetime | None = None

    def to_json(self) -> dict[str, str | None]:
        """Plain values, moments in UTC."""
        return {
            "not_before": _text(self.not_before),
            "window": None if self.window is None else str(self.window),
            "deadline": _text(self.deadline),
            "held_until": _text(self.held_until),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, str | None]) -> Self:
        """The times that `to_json` has written."""
        window = kept["window"]
        return cls(
            not_before=_moment(kept["not_before"]),
            window=None if window is None else Window.parse(window),
            deadline=_moment(kept["deadline"]),
            held_until=_moment(kept["held_until"]),
        )

    def is_overdue(self, now: datetime) -> bool:
        """Whether the deadline has come."""
        return self.deadline is not None and now >= self.deadline

    def may_start(self, now: datetime) -> bool:
        """Whether it may start at this moment."""
        if self.held_until is not None and now < self.held_until:
            return False
        if self.is_overdue(now):
            return True
        if self.not_before is not None and now < self.not_before:
            return False
        return self.window is None or self.window.is_open(now)

    def next_start(self, now: datetime) -> datetime:
        """The first moment from now on at which it may start, in UTC."""
        now = now if self.held_until is None else max(now, self.held_until)
        start = (now if self.not_before is None else max(now, self.not_before)).astimezone(UTC)
        if self.window is not None:
            start = self.window.next_open(start)
        return start if self.deadline is None else min(start, max(now, self.deadline).astimezone(UTC))


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def next_month(now: datetime) -> datetime:
    """When the next calendar month begins, in UTC, as budgets count."""
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


class Entry(Protocol):
    """What is asked of an entry to tell its turn."""

    @property
    def id(self) -> int: ...
    @property
    def priority(self) -> int: ...
    @property
    def times(self) -> Times: ...


E = TypeVar("E", bound=Entry)


def turns(entries: Iterable[E], now: datetime) -> list[E]:
    """The entries that may start now, in the order in which they start.

    Whatever is overdue comes first, the oldest deadline before others, so that nothing is passed over for ever; then
    by priority, highest first; then whoever came first.
    """

    def place(entry: E) -> tuple[bool, datetime, int, int]:
        deadline = entry.times.deadline
        if deadline is not None and entry.times.is_overdue(now):
            return False, deadline, 0, entry.id
        return True, now, -entry.priority, entry.id

    return sorted((entry for entry in entries if entry.times.may_start(now)), key=place)
