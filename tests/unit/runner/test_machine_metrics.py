"""What the machine did, minute by minute: figures, which minutes are told, and that the last one is not lost."""

from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from fixtures.processes import wait_until
from fixtures.run_builder import RunBuilder, timestamp

from stagebook.runner import machine_metrics
from stagebook.runner.machine_metrics import MachineCounters, measure_minutes, minute, running
from stagebook.runs.folders import RunFolder
from stagebook.runs.recorder import RunRecorder

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def reading(seconds: float, **counted) -> MachineCounters:
    zero = dict.fromkeys(("user", "system", "wait", "total", "sent", "received", "mem_used", "mem_swap"), 0)
    return MachineCounters(NOON + timedelta(seconds=seconds), **{**zero, **counted})


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
    before, now = (
        machine_metrics.read(NOON, Path("/")),
        machine_metrics.read(NOON + timedelta(seconds=1), Path("/proc/self")),
    )
    assert 0 < before.total <= now.total
    assert 0 < before.mem_used < 100
    assert before.disk_free["/"] > 0


@pytest.mark.parametrize(
    ("start", "end", "stages"),
    [(0, 60, ["x"]), (60, 120, ["x", "y"]), (120, 180, ["y"]), (300, 310, [])],
)
def test_a_stage_counts_in_the_minutes_in_which_an_attempt_of_it_ran(start, end, stages):
    record = RunBuilder({"x": None, "y": None}, []).attempt("x", 1, 70, "failed").attempt("y", 80, 100).record
    assert running(record, datetime.fromisoformat(timestamp(start)), datetime.fromisoformat(timestamp(end))) == stages


def test_each_minute_is_told_and_the_last_as_far_as_it_went(tmp_path):
    ticks = count()

    def clock() -> datetime:  # a few ticks, and it is the next minute
        return NOON + timedelta(seconds=59.9 + next(ticks) * 0.02)

    with RunRecorder(RunFolder(tmp_path / "r1"), clock) as book:
        (started,) = RunBuilder({"x": None}, []).events
        book.emit("run_started", **{name: value for name, value in started.items() if name not in ("at", "event")})
        book.emit("attempt_started", stage="x", n=1, why="", parameters={}, engine="pandas", inputs={}, notebook="n")
        with measure_minutes(book, clock, is_needed=True):
            wait_until(lambda: book.record.minutes)
        minutes = book.record.minutes
    assert [measured["stages"] for measured in minutes] == [["x"], ["x"]]
    assert minutes[0]["start"] < minutes[0]["end"] == minutes[1]["start"] < minutes[1]["end"]
    assert minutes[0]["end"].startswith("2026-11-25T12:01:00")


def test_where_nothing_runs_nothing_is_measured(tmp_path):
    with (
        RunRecorder(RunFolder(tmp_path / "r1"), lambda: NOON) as book,
        measure_minutes(book, lambda: NOON, is_needed=False),
    ):
        pass
    assert not (tmp_path / "r1/events.jsonl").read_text()
