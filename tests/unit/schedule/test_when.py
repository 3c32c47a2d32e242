"""When an entry may start, and whose turn it is."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.schedule.when import Times, next_month, turns
from stagebook.schedule.window import Window

NIGHT = Window.parse("22:00-06:00 UTC")
DAY = datetime(2026, 11, 25, tzinfo=UTC)


def at(hour: float) -> datetime:
    return DAY + timedelta(hours=hour)


@pytest.mark.parametrize(
    ("times", "now", "starts"),
    [
        (Times(), 12, 12),
        (Times(not_before=at(13)), 12, 13),
        (Times(window=NIGHT), 12, 22),
        (Times(window=NIGHT, not_before=at(31)), 12, 46),
        (Times(window=NIGHT, not_before=at(29)), 12, 29),
        (Times(window=NIGHT, deadline=at(15)), 12, 15),
        (Times(window=NIGHT, deadline=at(23)), 12, 22),
        (Times(window=NIGHT, deadline=at(11)), 12, 12),
        (Times(not_before=at(20), deadline=at(15)), 12, 15),
        (Times(held_until=at(20), deadline=at(15)), 12, 20),
        (Times(held_until=at(20), window=NIGHT), 12, 22),
    ],
)
def test_an_entry_starts_in_its_window_and_at_its_deadline_in_any_case(times, now, starts):
    assert times.next_start(at(now)) == at(starts)
    assert times.may_start(at(now)) == (now == starts)


moments = st.none() | st.integers(0, 72).map(at)
windows = st.none() | st.tuples(st.integers(0, 23), st.integers(0, 23)).filter(lambda t: t[0] != t[1]).map(
    lambda t: Window(t[0] * 3600, t[1] * 3600, NIGHT.zone)
)
all_times = st.builds(Times, moments, windows, moments, moments)


@given(all_times, st.integers(0, 72))
def test_the_next_start_is_the_first_moment_at_which_it_may_start(times, hour):
    start = times.next_start(at(hour))
    assert times.may_start(start)
    before = at(hour)
    while before < start:
        assert not times.may_start(before)
        before += timedelta(hours=1)


@given(all_times)
def test_times_are_kept_and_read_back(times):
    assert Times.from_json(times.to_json()) == times


@dataclass(frozen=True)
class Asked:
    id: int
    priority: int = 0
    times: Times = field(default_factory=Times)


def test_whatever_is_overdue_comes_first_then_priority_then_age():
    entries = [
        Asked(1),
        Asked(2, priority=5),
        Asked(3, priority=5),
        Asked(4, times=Times(deadline=at(11))),
        Asked(5, priority=-1, times=Times(window=NIGHT, deadline=at(10))),
        Asked(6, priority=9, times=Times(window=NIGHT)),
    ]
    assert [entry.id for entry in turns(entries, at(12))] == [5, 4, 2, 3, 1]
    assert [entry.id for entry in turns(entries, at(23))] == [5, 4, 6, 2, 3, 1]


@pytest.mark.parametrize(("now", "then"), [("2026-11-30T23:59", "2026-12-01"), ("2026-12-01T00:00", "2027-01-01")])
def test_the_next_month_is_a_calendar_month_of_utc(now, then):
    assert next_month(datetime.fromisoformat(now).replace(tzinfo=UTC)) == datetime.fromisoformat(then).replace(
        tzinfo=UTC
    )
