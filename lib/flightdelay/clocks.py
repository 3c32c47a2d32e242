"""Local clocks and instants: how far the clock of a time zone is ahead of UTC, hour by hour.

This is a table to join, not a chain of conditions: Spark's optimizer cannot plan nested conditions over a dozen
changes of clock.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY_MIN = 24 * 60


def utc_offsets(zones: Iterable[str], *, first: datetime, last: datetime) -> pa.Table:
    """Minutes that local clocks are ahead of UTC (negative west of Greenwich): `zone hour_at offset_min`.

    One row for each zone and each whole hour of UTC from `first` to `last`, both included. All zones of
    the flights change their clocks on a whole hour of UTC, so the offset holds for the whole hour.
    """
    start = first.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = max((last - start) // HOUR + 1, 0)
    names = list(zones)
    hour_at = np.datetime64(start.replace(tzinfo=None), "us") + np.arange(hours) * np.timedelta64(1, "h")
    offsets_min = np.array([_offsets_min(ZoneInfo(name), start, hours) for name in names], dtype=np.int64)
    return pa.table(
        {
            "zone": pa.array(names, pa.string()).take(pa.array(np.repeat(np.arange(len(names)), hours))),
            "hour_at": pa.array(np.tile(hour_at, len(names)), pa.timestamp("us", "UTC")),
            "offset_min": pa.array(offsets_min.ravel()),
        }
    )


def _offsets_min(zone: ZoneInfo, start: datetime, hours: int) -> NDArray[np.int64]:
    """One offset for each hour: looked up once in 24 hours, and hour by hour only where the clock changes within them.

    No zone changes its clock and back again within 24 hours.
    """
    days = [start + day * 24 * HOUR for day in range(-(-hours // 24) + 1)]
    daily = [_offset_min(day, zone) for day in days]
    offsets = np.repeat(np.array(daily[:-1], dtype=np.int64), 24)
    for number, (before, after) in enumerate(pairwise(daily)):
        if before != after:
            changing = [_offset_min(days[number] + hour * HOUR, zone) for hour in range(24)]
            offsets[number * 24 : (number + 1) * 24] = changing
    return offsets[:hours]


def _offset_min(at: datetime, zone: ZoneInfo) -> int:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None, f"{zone} has an offset at every instant"
    return offset // MINUTE
