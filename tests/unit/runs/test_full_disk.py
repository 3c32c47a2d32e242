"""The journal on a disk that takes no more: nothing of a failed event stays, and the end of the run finds room."""

import errno
import json
import os

import pytest
from fixtures.journals import whole

from stagebook.cli import main
from stagebook.errors import Unwritable
from stagebook.model.record import RunStatus
from stagebook.runs import journal
from stagebook.runs.folders import RunFolder
from stagebook.runs.recorder import RECORD_RESERVE, RESERVE, RunRecorder

ENTRIES = {"at": "2026-01-01T00:00:00Z", "event": "tracking_linked", "mlflow": {}}


@pytest.fixture
def full_disk(monkeypatch):
    """`full_disk.full = True` lets every write of the journal, and every synchronisation, fail; some write a part."""

    class Disk:
        full, number, part = False, errno.ENOSPC, 0

    write, fsync = os.write, os.fsync

    def limited(descriptor, content):
        if Disk.full and len(content) > Disk.part:
            if Disk.part:
                write(descriptor, bytes(content[: Disk.part]))
            raise OSError(Disk.number, os.strerror(Disk.number))
        return write(descriptor, content)

    def synchronised(descriptor):
        if Disk.full:
            raise OSError(Disk.number, os.strerror(Disk.number))
        fsync(descriptor)

    monkeypatch.setattr(os, "write", limited)
    monkeypatch.setattr(os, "fsync", synchronised)
    yield Disk
    Disk.full = False


@pytest.mark.parametrize("part", [0, 1, 70])
@pytest.mark.parametrize(
    ("number", "todo"),
    [
        (errno.ENOSPC, "Free space there"),
        (errno.EDQUOT, "Raise the quota"),
        (errno.EFBIG, "Raise the limit of a file's size"),
        (errno.EROFS, "Make the folder writable"),
        (errno.EIO, "Make the folder writable"),
    ],
)
def test_an_event_that_cannot_be_written_leaves_nothing_and_later_ones_fit(tmp_path, full_disk, number, todo, part):
    path = tmp_path / "r/events.jsonl"
    with journal.Journal(path) as book:
        book.append(ENTRIES)
        full_disk.full, full_disk.number, full_disk.part = True, number, part
        with pytest.raises(Unwritable, match=rf"r/events.jsonl: cannot be written .*\n  {todo}"):
            book.append(ENTRIES, ENTRIES)
        full_disk.full = False
        assert journal.read(path) == [ENTRIES]
        book.append(ENTRIES)
    assert journal.read(path) == [ENTRIES] * 2


@pytest.fixture
def recorder(tmp_path):
    from datetime import UTC, datetime

    with RunRecorder(RunFolder(tmp_path / "r"), lambda: datetime(2026, 1, 1, tzinfo=UTC)) as recorder:
        started = whole({"event": "run_started", "run_id": "r"}, {"event": "attempt_started", "stage": "a"})[0]
        recorder.emit("run_started", **{key: value for key, value in started.items() if key not in ("at", "event")})
        yield recorder


def test_the_event_that_finds_the_disk_full_is_kept_in_the_reserve_and_the_run_is_told(
    recorder, full_disk, monkeypatch
):
    unlink = type(recorder._reserve).unlink

    def frees(path, **options):
        unlink(path, **options)
        full_disk.full = False

    monkeypatch.setattr(type(recorder._reserve), "unlink", frees)
    full_disk.full = True
    with pytest.raises(Unwritable, match="No space left"):
        recorder.emit("stage_settled", stage="a", status="failed", why="x")
    assert recorder.record.stages["a"].status == "failed"
    recorder.emit("run_finished", status="failed", exit_code=1)
    assert recorder.folder.load() == recorder.record
    assert recorder.record.status is RunStatus.FAILED


def test_measurements_do_not_use_up_the_reserve(recorder, full_disk):
    full_disk.full = True
    recorder.emit_optional("minute_measured", stages=[], start="x", end="y")
    assert (recorder.folder.path / RESERVE).exists()
    assert recorder.record.minutes == []


def test_a_record_that_cannot_be_saved_is_saved_later_and_stops_nothing(recorder, monkeypatch):
    save = RunFolder.save
    monkeypatch.setattr(RunFolder, "save", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    recorder.emit("run_finished", status="failed", exit_code=1)
    monkeypatch.setattr(RunFolder, "save", save)
    recorder.emit("run_finished", status="failed", exit_code=1)
    assert json.loads(recorder.folder.record.read_text())["status"] == "failed"


def test_the_last_record_finds_room_that_was_held_free_for_it(recorder, monkeypatch):
    save, reserve = RunFolder.save, recorder.folder.path / RECORD_RESERVE

    def save_in_room(folder, record):
        if reserve.exists():
            raise OSError(errno.ENOSPC, "full")
        save(folder, record)

    monkeypatch.setattr(RunFolder, "save", save_in_room)
    recorder.emit("stage_settled", stage="a", status="failed", why="x")
    assert reserve.exists()
    recorder.emit("run_finished", status="failed", exit_code=1)
    assert json.loads(recorder.folder.record.read_text())["status"] == "failed"


def test_a_run_that_has_ended_holds_no_room(tmp_path):
    from datetime import UTC, datetime

    with RunRecorder(RunFolder(tmp_path / "r"), lambda: datetime(2026, 1, 1, tzinfo=UTC)):
        reserves = [tmp_path / "r" / name for name in (RESERVE, RECORD_RESERVE)]
        assert [reserve.stat().st_size for reserve in reserves] == [64 * 1024] * 2
    assert not any(reserve.exists() for reserve in reserves)


@pytest.mark.parametrize("place", ["/proc/nowhere", "/sys/nowhere", "/dev/null/x", "a-file/x", "/dev/fd/x"])
def test_a_folder_of_runs_that_cannot_be_made_is_a_sentence_before_anything_starts(
    notebook, params, tmp_path, monkeypatch, capsys, place
):
    notebook("a", "1")
    params("dev", "pipeline: demo\nstages: {a: {notebook: notebooks/a.ipynb}}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("")
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--runs-dir", place, "--run-id", "r"])
    told = capsys.readouterr().err
    assert ("cannot be written" in told or "is a file" in told) and "--runs-dir" in told
    assert len(told.splitlines()) == 2
