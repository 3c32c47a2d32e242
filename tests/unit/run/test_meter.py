"""What the machine did, minute by minute: figures, which minutes are told, and that the last one is not lost."""

import time
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from fixtures.bills import Story, at

from stagebook.run import meter
from stagebook.run.meter import Reading, metered, minute, running
from stagebook.storage.runbook import RunBook
from stagebook.storage.runs import RunFolder

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def reading(seconds: float, **counted) -> Reading:
    zero = dict.fromkeys(("user", "system", "wait", "total", "sent", "received", "mem_used", "mem_swap"), 0)
    return Reading(NOON + timedelta(seconds=seconds), **{**zero, **counted})


def test_shares_are_of_all_cores_and_memory_is_the_mean():
    told = minute([
        reading(0, user=100.0, system=10.0, total=1000.0, sent=5, mem_used=20.0),
        reading(30, user=110.0, system=11.0, total=1060.0, sent=6, mem_used=40.0),
        reading(60, user=190.0, system=13.0, wait=6.0, total=1120.0, sent=105, mem_used=30.0),
    ])  # fmt: skip
    assert (told["cpu_user_percent"], told["cpu_system_percent"], told["cpu_wait_percent"]) == (75.0, 2.5, 5.0)
    assert (told["mem_used_percent"], told["network_sent_bytes"]) == (30.0, 100)
    assert (told["start"], told["end"]) == ("2026-11-25T12:00:00.000Z", "2026-11-25T12:01:00.000Z")


def test_counters_that_begin_anew_are_no_negative_figure():
    told = minute([reading(0, user=9.0, total=10.0, sent=7), reading(1, user=1.0, total=12.0, sent=3)])
    assert (told["cpu_user_percent"], told["network_sent_bytes"]) == (0.0, 0)


def test_what_the_machine_counts_is_read():
    before, now = meter.read(NOON, Path("/")), meter.read(NOON + timedelta(seconds=1), Path("/proc/self"))
    assert 0 < before.total <= now.total
    assert 0 < before.mem_used < 100
    assert before.disk_free["/"] > 0


@pytest.mark.parametrize(
    ("start", "end", "stages"),
    [(0, 60, ["x"]), (60, 120, ["x", "y"]), (120, 180, ["y"]), (300, 310, [])],
)
def test_a_stage_counts_in_the_minutes_in_which_an_attempt_of_it_ran(start, end, stages):
    record = Story({"x": None, "y": None}, []).attempt("x", 1, 70, "failed").attempt("y", 80, 100).record
    assert running(record, datetime.fromisoformat(at(start)), datetime.fromisoformat(at(end))) == stages


def test_each_minute_is_told_and_the_last_as_far_as_it_went(tmp_path):
    ticks = count()

    def clock() -> datetime:  # a few ticks, and it is the next minute
        return NOON + timedelta(seconds=59.9 + next(ticks) * 0.02)

    with RunBook(RunFolder(tmp_path / "r1"), clock) as book:
        (started,) = Story({"x": None}, []).events
        book.tell("run_started", **{name: value for name, value in started.items() if name not in ("at", "event")})
        book.tell("attempt_started", stage="x", n=1, why="", parameters={}, engine="pandas", inputs={}, notebook="n")
        with metered(book, clock, True):
            deadline = time.monotonic() + 10
            while not book.record.minutes and time.monotonic() < deadline:
                time.sleep(0.01)
        told = book.record.minutes
    assert [one["stages"] for one in told] == [["x"], ["x"]]
    assert told[0]["start"] < told[0]["end"] == told[1]["start"] < told[1]["end"]
    assert told[0]["end"].startswith("2026-11-25T12:01:00")


def test_where_nothing_runs_nothing_is_measured(tmp_path):
    with RunBook(RunFolder(tmp_path / "r1"), lambda: NOON) as book, metered(book, lambda: NOON, False):
        pass
    assert not (tmp_path / "r1/events.jsonl").read_text()
