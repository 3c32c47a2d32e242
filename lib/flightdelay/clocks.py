"""Local clocks and instants: how far the clock of a time zone is ahead of UTC, hour by hour.

A table that is joined, not a chain of conditions: nested conditions over a dozen changes of clock grow
beyond what Spark's optimizer can plan.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY_MIN = 24 * 60


def utc_offsets(zones: Iterable[str], *, first: datetime, last: datetime) -> pa.Table:
    """Minutes that local clocks are ahead of UTC (negative west of Greenwich): `zone hour_at offset_min`.

    One row for each zone and each whole hour of UTC from `first` to `last`, both included. All zones of
    the flights change their clocks on a whole hour of UTC, so the offset holds for the whole hour.
    """
    start = first.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [start + hour * HOUR for hour in range((last - start) // HOUR + 1)]
    names = list(zones)
    return pa.table(
        {
            "zone": pa.array([name for name in names for _ in hours], pa.string()),
            "hour_at": pa.array(hours * len(names), pa.timestamp("us", "UTC")),
            "offset_min": pa.array([_offset_min(hour, ZoneInfo(name)) for name in names for hour in hours], pa.int64()),
        }
    )


def _offset_min(at: datetime, zone: ZoneInfo) -> int:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None, f"{zone} has an offset at every instant"
    return offset // MINUTE
