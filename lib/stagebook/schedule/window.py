"""Daily windows in a time zone, such as `22:00-06:00 Europe/Berlin`.

Local time decides. Where clocks go forward, a window that would open within the skipped hour opens at its end; where
they go back, the repeated hour is in the window twice, or not at all.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from stagebook.errors import ConfigError, did_you_mean

_TEXT = re.compile(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s+(\S+)\s*")
_DAY = 24 * 3600
_HORIZON = timedelta(days=8)
"""How far to look for an opening: windows open every day, unless they lie within a skipped hour or a skipped day."""


class BadWindow(ConfigError):
    """A text is not a window."""

    @classmethod
    def of(cls, text: str, reason: str) -> Self:
        return cls(f"window: '{text}': {reason}\n  It is written as 22:00-06:00 Europe/Berlin.")


@dataclass(frozen=True)
class Window:
    """Open from `opens` until just before `closes`, in seconds of the day; past midnight where `closes` is less."""

    opens: int
    closes: int
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str) -> Self:
        """The window of a text such as `22:00-06:00 Europe/Berlin`.

        Raises:
            BadWindow: it is no such text, or its time zone is unknown.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise BadWindow.of(text, "these are not two times and a time zone.")
        (open_hour, open_minute, close_hour, close_minute), zone = map(int, match.groups()[:4]), match.group(5)
        opens, closes = open_hour * 3600 + open_minute * 60, close_hour * 3600 + close_minute * 60
        if max(open_minute, close_minute) > 59 or opens >= _DAY or closes > _DAY:
            raise BadWindow.of(text, "a time is 00:00 to 23:59, an end 24:00 at most.")
        if opens == closes:
            raise BadWindow.of(text, "it is never open; leave it out if any time will do.")
        try:
            return cls(opens, closes, ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            hint = did_you_mean(zone, sorted(available_timezones()))
            raise BadWindow.of(text, f"there is no time zone '{zone}'.{hint}") from None

    def __str__(self) -> str:
        opens, closes = (f"{seconds // 3600:02}:{seconds % 3600 // 60:02}" for seconds in (self.opens, self.closes))
        return f"{opens}-{closes} {self.zone.key}"

    def is_open(self, moment: datetime) -> bool:
        """Whether the local time is within the window."""
        local = moment.astimezone(self.zone)
        seconds = local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6
        if self.opens < self.closes:
            return self.opens <= seconds < self.closes
        return seconds >= self.opens or seconds < self.closes

    def next_open(self, moment: datetime) -> datetime:
        """The first moment, from this one on, at which the window is open, in UTC."""
        start = moment.astimezone(UTC)
        if self.is_open(start):
            return start
        candidates = [*self._openings(start), *_clock_changes(self.zone, start, start + _HORIZON)]
        return min(candidate for candidate in candidates if candidate >= start and self.is_open(candidate))

    def _openings(self, start: datetime) -> Iterator[datetime]:
        """The moments of the opening time: once a day, twice where clocks go back."""
        first_day = start.astimezone(self.zone).date()
        opening_time = time(self.opens // 3600, self.opens % 3600 // 60)
        for days in range(_HORIZON.days):
            for fold in (0, 1):
                local = datetime.combine(first_day + timedelta(days=days), opening_time, self.zone).replace(fold=fold)
                yield local.astimezone(UTC)


def _clock_changes(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """The moments at which clocks go forward or back, to the second."""

    def offset(moment: datetime) -> timedelta | None:
        return moment.astimezone(zone).utcoffset()

    start = start.replace(microsecond=0)
    while start < end:
        next_hour = start + timedelta(hours=1)
        if offset(start) != offset(next_hour):
            low, high = start, next_hour
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
                low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
            yield high
        start = next_hour
