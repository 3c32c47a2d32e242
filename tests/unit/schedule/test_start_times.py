"""When an entry may start, and the order of starts."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.schedule.start_times import StartTimes, next_month_start, start_order
from stagebook.schedule.window import Window

NIGHT = Window.parse("22:00-06:00 UTC")
DAY = datetime(2026, 11, 25, tzinfo=UTC)


def at(hour: float) -> datetime:
    return DAY + timedelta(hours=hour)


@pytest.mark.parametrize(
    ("times", "hour", "start_hour"),
    [
        (StartTimes(), 12, 12),
        (StartTimes(not_before=at(13)), 12, 13),
        (StartTimes(window=NIGHT), 12, 22),
        (StartTimes(window=NIGHT, not_before=at(31)), 12, 46),
        (StartTimes(window=NIGHT, not_before=at(29)), 12, 29),
        (StartTimes(window=NIGHT, deadline=at(15)), 12, 15),
        (StartTimes(window=NIGHT, deadline=at(23)), 12, 22),
        (StartTimes(window=NIGHT, deadline=at(11)), 12, 12),
        (StartTimes(not_before=at(20), deadline=at(15)), 12, 15),
        (StartTimes(held_until=at(20), deadline=at(15)), 12, 20),
        (StartTimes(held_until=at(20), window=NIGHT), 12, 22),
    ],
)
def test_an_entry_starts_in_its_window_and_at_its_deadline_in_any_case(times, hour, start_hour):
    assert times.next_start(at(hour)) == at(start_hour)
    assert times.may_start(at(hour)) == (hour == start_hour)


moments = st.none() | st.integers(0, 72).map(at)
windows = st.none() | st.tuples(st.integers(0, 23), st.integers(0, 23)).filter(lambda hours: hours[0] != hours[1]).map(
    lambda hours: Window(hours[0] * 3600, hours[1] * 3600, NIGHT.zone)
)
all_times = st.builds(StartTimes, moments, windows, moments, moments)


@given(all_times, st.integers(0, 72))
def test_the_next_start_is_the_first_moment_at_which_it_may_start(times, hour):
    start = times.next_start(at(hour))
    assert times.may_start(start)
    moment = at(hour)
    while moment < start:
        assert not times.may_start(moment)
        moment += timedelta(hours=1)


@given(all_times)
def test_times_survive_json(times):
    assert StartTimes.from_json(times.to_json()) == times


@dataclass(frozen=True)
class Entry:
    id: int
    priority: int = 0
    times: StartTimes = field(default_factory=StartTimes)


def test_overdue_entries_start_first_then_by_priority_then_by_age():
    entries = [
        Entry(1),
        Entry(2, priority=5),
        Entry(3, priority=5),
        Entry(4, times=StartTimes(deadline=at(11))),
        Entry(5, priority=-1, times=StartTimes(window=NIGHT, deadline=at(10))),
        Entry(6, priority=9, times=StartTimes(window=NIGHT)),
    ]
    assert [entry.id for entry in start_order(entries, at(12))] == [5, 4, 2, 3, 1]
    assert [entry.id for entry in start_order(entries, at(23))] == [5, 4, 6, 2, 3, 1]


@pytest.mark.parametrize(
    ("moment", "expected"), [("2026-11-30T23:59", "2026-12-01"), ("2026-12-01T00:00", "2027-01-01")]
)
def test_the_next_month_is_a_calendar_month_in_utc(moment, expected):
    start = next_month_start(datetime.fromisoformat(moment).replace(tzinfo=UTC))
    assert start == datetime.fromisoformat(expected).replace(tzinfo=UTC)
