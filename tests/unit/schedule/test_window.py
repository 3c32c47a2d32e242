"""Daily windows follow local time, also where clocks go forward or back."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.schedule.window import BadWindow, Window

NIGHT = "22:00-06:00 Europe/Berlin"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "moment", "opens"),
    [
        (NIGHT, "2026-11-25T20:59", "2026-11-25T21:00"),
        (NIGHT, "2026-11-25T21:00", "2026-11-25T21:00"),
        (NIGHT, "2026-11-26T04:59", "2026-11-26T04:59"),
        (NIGHT, "2026-11-26T05:00", "2026-11-26T21:00"),
        (NIGHT, "2026-07-01T05:00", "2026-07-01T20:00"),
        ("09:00-17:30 America/New_York", "2026-11-25T22:29", "2026-11-25T22:29"),
        ("09:00-17:30 America/New_York", "2026-11-25T22:30", "2026-11-26T14:00"),
        ("18:00-24:00 UTC", "2026-11-25T23:59:59", "2026-11-25T23:59:59"),
        ("18:00-24:00 UTC", "2026-11-26T00:00", "2026-11-26T18:00"),
        # Clocks go from 02:00 to 03:00 at 01:00 UTC: what would open at 02:30 opens at 03:00.
        ("02:30-04:00 Europe/Berlin", "2026-03-28T22:00", "2026-03-29T01:00"),
        ("02:10-02:50 Europe/Berlin", "2026-03-28T22:00", "2026-03-30T00:10"),  # that night has no such hour
        # Clocks go from 03:00 back to 02:00 at 01:00 UTC: 02:15 is at 00:15 and at 01:15.
        ("02:15-02:45 Europe/Berlin", "2026-10-24T22:00", "2026-10-25T00:15"),
        ("02:15-02:45 Europe/Berlin", "2026-10-25T00:45", "2026-10-25T01:15"),
        (
            "22:00-02:30 Europe/Berlin",
            "2026-10-25T00:30",
            "2026-10-25T01:00",
        ),  # opens a second time, as 02:00 comes twice
        ("00:15-00:20 Australia/Lord_Howe", "2026-10-03T12:00", "2026-10-03T13:45"),  # half an hour is skipped there
        ("10:00-11:00 Pacific/Apia", "2011-12-29T22:00", "2011-12-30T20:00"),  # 30 December 2011 was left out
    ],
)
def test_a_window_opens_at_its_local_time(window, moment, opens):
    assert Window.parse(window).next_open(utc(moment)) == utc(opens)


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "UTC"]
CLOCK_CHANGES = ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-10-04", "2026-04-05", "2026-07-01"]
minutes = st.integers(0, 24 * 60 - 1)


@given(st.sampled_from(ZONES), minutes, minutes, st.sampled_from(CLOCK_CHANGES), st.integers(-36 * 60, 36 * 60))
def test_the_next_opening_is_the_first_minute_that_is_open(zone, opens, closes, day, offset):
    if opens == closes:
        closes += 1
    window = Window(opens * 60, closes * 60, ZoneInfo(zone))
    moment = utc(f"{day}T00:00") + timedelta(minutes=offset)
    next_open = window.next_open(moment)
    while not window.is_open(moment):
        moment += timedelta(minutes=1)
    assert next_open == moment


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("22:00-06:00", "not two times and a time zone"),
        ("22-06 UTC", "not two times and a time zone"),
        ("22:60-06:00 UTC", "a time is 00:00 to 23:59"),
        ("24:00-06:00 UTC", "a time is 00:00 to 23:59"),
        ("08:00-08:00 UTC", "it is never open"),
        ("22:00-06:00 Europe/Berln", "no time zone 'Europe/Berln'. Did you mean 'Europe/Berlin'?"),
        ("22:00-06:00 ../etc", "no time zone '../etc'"),
    ],
)
def test_a_text_that_is_not_a_window_is_refused_with_an_example(text, reason):
    with pytest.raises(BadWindow, match=r"22:00-06:00 Europe/Berlin") as refused:
        Window.parse(text)
    assert reason in str(refused.value)


def test_a_window_has_a_normalized_text():
    assert str(Window.parse(" 9:05 - 24:00  Asia/Tokyo")) == "09:05-24:00 Asia/Tokyo"
