"""Atomic files, the journal, run folders and their locks."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from fixtures.processes import wait_until

from stagebook import atomic
from stagebook.errors import ConfigError, RunHeld
from stagebook.runs import folders, journal
from stagebook.runs.folders import RunFolder
from stagebook.runs.recorder import RunRecorder

STARTED = {
    "run_id": "r1", "pipeline": "demo", "params_files": [], "parameters": {}, "request": {}, "git": {},
    "environment": {}, "pins": {}, "stages": {"a": {"notebook": "a.py", "depends_on": []}},
}  # fmt: skip


def clock():
    return datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "f.json"
    atomic.write_text(path, "old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        atomic.write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f.json"]


def test_a_torn_last_line_is_cut_off(tmp_path):
    path = tmp_path / "events.jsonl"
    linked = [{"at": f"2026-11-23T12:00:0{n}+00:00", "event": "tracking_linked", "mlflow": {}} for n in range(2)]
    path.write_text(json.dumps(linked[0]) + '\n{"event": "b')
    assert journal.read(path) == linked[:1]
    with journal.Journal(path) as book:
        book.append(linked[1])
    assert journal.read(path) == linked


def test_the_record_read_back_equals_the_one_held(tmp_path):
    folder = folders.folder(tmp_path, "r1")
    with RunRecorder(folder, clock) as book:
        book.emit("run_started", **STARTED)
        book.emit(
            "attempt_started",
            stage="a",
            n=1,
            why="x",
            parameters={"p": 1},
            engine="pandas",
            inputs={},
            notebook="n",
        )
        book.emit("attempt_finished", stage="a", n=1, status="succeeded", error=None, seconds=1.5, scraps={"s": 2},
                  peak_rss_bytes=1, cpu_seconds=0.5)  # fmt: skip
        book.emit("stage_settled", stage="a", status="succeeded", why="x", outputs={"t": {"version": 0}})
        book.emit("run_finished", status="succeeded", exit_code=0)
        assert folder.load() == book.record
    assert atomic.read_json(folder.record)["stages"]["a"]["scraps"] == {"s": 2}
    assert atomic.read_json(folder.record)["schema_version"] == 2


def test_an_attempt_that_the_runner_did_not_outlive_is_interrupted_on_resume(tmp_path):
    folder = folders.folder(tmp_path, "r1")
    with RunRecorder(folder, clock) as book:
        book.emit("run_started", **STARTED)
        book.emit(
            "attempt_started",
            stage="a",
            n=1,
            why="x",
            parameters={},
            engine="pandas",
            inputs={},
            notebook="n",
        )
        book.emit("run_resumed", stages=STARTED["stages"], kept=[])
        assert book.record.stages["a"].attempts[0].status == "interrupted"
        assert book.record.stages["a"].status == "pending"


HOLD = """
import sys, time
from pathlib import Path
from stagebook.runs.folders import RunFolder
with RunFolder(Path(sys.argv[1])).held():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_run_is_held_by_one_process_and_free_when_it_dies(tmp_path):
    folder = folders.folder(tmp_path, "r1")
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder.path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        assert folder.is_held
        with pytest.raises(RunHeld, match=f"held by another process .process {holder.pid}"), folder.held():
            pass
    finally:
        holder.kill()
        holder.wait()
    assert not folder.is_held
    with folder.held():
        pass


@pytest.mark.parametrize("bad", ["", "../x", "a/b", ".hidden", "x" * 101, "a b"])
def test_a_run_id_that_is_no_folder_name_is_refused(tmp_path, bad):
    with pytest.raises(ConfigError, match="cannot name a run"):
        folders.folder(tmp_path, bad)


def test_the_last_run_is_found_and_an_unknown_one_gets_the_nearest_name(tmp_path):
    with pytest.raises(ConfigError, match="there is no run yet"):
        folders.find(tmp_path, None)
    for hour, name in ((3, "late"), (1, "early")):
        with RunRecorder(
            folders.folder(tmp_path, name), lambda hour=hour: datetime(2026, 1, 1, hour, tzinfo=UTC)
        ) as book:
            book.emit("run_started", **{**STARTED, "run_id": name})
    assert folders.find(tmp_path, None).run_id == "late"
    with pytest.raises(ConfigError, match="there is no run 'latte'.*Did you mean 'late'"):
        folders.find(tmp_path, "latte")


def test_rewriting_the_record_takes_its_share_of_the_time_and_misses_nothing(tmp_path, monkeypatch):
    saves, save = [], RunFolder.save

    def slow(folder, record):
        saves.append(time.monotonic())
        time.sleep(0.02)
        save(folder, record)

    monkeypatch.setattr(RunFolder, "save", slow)
    folder = folders.folder(tmp_path, "r1")
    with RunRecorder(folder, clock) as book:
        book.emit("run_started", **STARTED)
        for n in range(100):
            book.emit("stage_settled", stage="a", status="skipped", why=f"the {n}th time")
        wait_until(lambda: atomic.read_json(folder.record)["stages"]["a"]["why"] == "the 99th time")
        by_itself = list(saves)
        book.emit("stage_settled", stage="a", status="skipped", why="the last time")
    assert len(by_itself) >= 2
    assert all(after - before > 0.19 for before, after in pairwise(by_itself))
    assert atomic.read_json(folder.record)["stages"]["a"]["why"] == "the last time"
    assert folder.load() == book.record


def test_a_run_that_begins_or_ends_is_told_at_once(tmp_path):
    folder = folders.folder(tmp_path, "r1")
    with RunRecorder(folder, clock) as book:
        book.emit("run_started", **STARTED)
        book.emit("stage_settled", stage="a", status="skipped", why="")
        book.emit("run_finished", status="succeeded", exit_code=0)
        assert atomic.read_json(folder.record)["status"] == "succeeded"
