"""Hours of the day in a time zone, such as `22:00-06:00 Europe/Berlin`.

The clock on the wall decides: where it is put forward, a window that would open within the hour that is left out opens
at its end; where it is put back, an hour that comes twice is in the window twice, or not at all.
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
_AHEAD = timedelta(days=8)
"""A window is open every day, but for one that lies within a skipped hour or, at the date line, a skipped day."""


class BadWindow(ConfigError):
    """A window cannot be meant as written."""

    @classmethod
    def of(cls, text: str, why: str) -> Self:
        return cls(f"window: '{text}': {why}\n  It is written as 22:00-06:00 Europe/Berlin.")


@dataclass(frozen=True)
class Window:
    """Open from `opens` up to but not including `closes`, in seconds of the day; through midnight where it is less."""

    opens: int
    closes: int
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str) -> Self:
        """The window that a text means.

        Raises:
            BadWindow: it is none, or its time zone is not known.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise BadWindow.of(text, "these are not two times and a time zone.")
        hours, zone = [int(group) for group in match.groups()[:4]], match.group(5)
        opens, closes = hours[0] * 3600 + hours[1] * 60, hours[2] * 3600 + hours[3] * 60
        if max(hours[1], hours[3]) > 59 or opens >= _DAY or closes > _DAY:
            raise BadWindow.of(text, "a time is 00:00 to 23:59, an end 24:00 at most.")
        if opens == closes:
            raise BadWindow.of(text, "it is never open; leave it out if any time will do.")
        try:
            return cls(opens, closes, ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            hint = did_you_mean(zone, sorted(available_timezones()))
            raise BadWindow.of(text, f"there is no time zone '{zone}'.{hint}") from None

    def __str__(self) -> str:
        opens, closes = (f"{at // 3600:02}:{at % 3600 // 60:02}" for at in (self.opens, self.closes))
        return f"{opens}-{closes} {self.zone.key}"

    def is_open(self, moment: datetime) -> bool:
        """Whether the clock on the wall is within the window."""
        local = moment.astimezone(self.zone)
        at = local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6
        if self.opens < self.closes:
            return self.opens <= at < self.closes
        return at >= self.opens or at < self.closes

    def next_open(self, moment: datetime) -> datetime:
        """The first moment from this one on at which the window is open, in UTC."""
        now = moment.astimezone(UTC)
        if self.is_open(now):
            return now
        found = [*self._openings(now), *_changes(self.zone, now, now + _AHEAD)]
        return min(one for one in found if one >= now and self.is_open(one))

    def _openings(self, now: datetime) -> Iterator[datetime]:
        """Whenever the clock on the wall shows the opening time: once a day, twice where it is put back."""
        first = now.astimezone(self.zone).date()
        at = time(self.opens // 3600, self.opens % 3600 // 60)
        for days in range(_AHEAD.days):
            for fold in (0, 1):
                local = datetime.combine(first + timedelta(days=days), at, self.zone).replace(fold=fold)
                yield local.astimezone(UTC)


def _changes(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """When the clock on the wall is put forward or back, to the second."""

    def offset(moment: datetime) -> timedelta | None:
        return moment.astimezone(zone).utcoffset()

    start = start.replace(microsecond=0)
    while start < end:
        after = start + timedelta(hours=1)
        if offset(start) != offset(after):
            low, high = start, after
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
                low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
            yield high
        start = after
