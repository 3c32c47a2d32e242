"""When an entry of the queue may start, and the order of starts: pure functions of the time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, Self, TypeVar

from stagebook.schedule.window import Window


@dataclass(frozen=True)
class StartTimes:
    """When something may start: after `not_before` and within the window, or in any case from its deadline on.

    Before `held_until` it may not start at all, because the budget of the month is spent. All moments have a time zone.
    """

    not_before: datetime | None = None
    window: Window | None = None
    deadline: datetime | None = None
    held_until: datetime | None = None

    def to_json(self) -> dict[str, str | None]:
        """Plain values; moments are in UTC."""
        return {
            "not_before": _text(self.not_before),
            "window": None if self.window is None else str(self.window),
            "deadline": _text(self.deadline),
            "held_until": _text(self.held_until),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, str | None]) -> Self:
        """The times that `to_json` wrote."""
        window = values["window"]
        return cls(
            not_before=_moment(values["not_before"]),
            window=None if window is None else Window.parse(window),
            deadline=_moment(values["deadline"]),
            held_until=_moment(values["held_until"]),
        )

    def is_overdue(self, at: datetime) -> bool:
        """Whether the deadline has come."""
        return self.deadline is not None and at >= self.deadline

    def may_start(self, at: datetime) -> bool:
        """Whether it may start at this moment."""
        if self.held_until is not None and at < self.held_until:
            return False
        if self.is_overdue(at):
            return True
        if self.not_before is not None and at < self.not_before:
            return False
        return self.window is None or self.window.is_open(at)

    def next_start(self, after: datetime) -> datetime:
        """The first moment, from `after` on, at which it may start, in UTC."""
        earliest = after if self.held_until is None else max(after, self.held_until)
        start = (earliest if self.not_before is None else max(earliest, self.not_before)).astimezone(UTC)
        if self.window is not None:
            start = self.window.next_open(start)
        return start if self.deadline is None else min(start, max(earliest, self.deadline).astimezone(UTC))


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def next_month_start(moment: datetime) -> datetime:
    """The start of the next calendar month in UTC, which budgets count by."""
    month_start = moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (month_start + timedelta(days=32)).replace(day=1)


class Schedulable(Protocol):
    """What the order of starts depends on."""

    @property
    def id(self) -> int: ...
    @property
    def priority(self) -> int: ...
    @property
    def times(self) -> StartTimes: ...


E = TypeVar("E", bound=Schedulable)


def start_order(entries: Iterable[E], at: datetime) -> list[E]:
    """The entries that may start at this moment, in the order in which they start.

    Overdue entries come first, by deadline, so that none waits forever; then by priority, highest first; then by id,
    oldest first.
    """

    def sort_key(entry: E) -> tuple[bool, datetime, int, int]:
        deadline = entry.times.deadline
        if deadline is not None and entry.times.is_overdue(at):
            return False, deadline, 0, entry.id
        return True, at, -entry.priority, entry.id

    return sorted((entry for entry in entries if entry.times.may_start(at)), key=sort_key)
