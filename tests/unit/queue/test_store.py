"""The queue outlives its workers: no entry is lost, and none runs twice."""

import os
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from stagebook.queue.store import MAX_DEATHS, EntryState, NoSuchEntry, Queue, QueueEntry, RunOutcome, UnreadableQueue
from stagebook.schedule.start_times import StartTimes
from stagebook.schedule.window import Window

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / "state/queue.sqlite")


@pytest.fixture
def add(queue, tmp_path):
    """`add("run", priority=3)` puts an entry into the queue; returns its number."""

    def add_entry(command="run", **fields):
        return queue.add(QueueEntry(0, "run", command, {"request": {}}, tmp_path / command, tmp_path, **fields)).id

    return add_entry


def not_begun(entry):
    return RunOutcome()


def states(queue):
    return {entry.id: entry.state.value for entry in queue.entries()}


def test_an_entry_is_stored_with_all_its_fields(queue, add, tmp_path):
    times = StartTimes(NOW, Window.parse("22:00-06:00 Europe/Berlin"), NOW + timedelta(days=1))
    number = add("first", priority=3, times=times)
    (entry,) = Queue(queue.file).entries()
    assert entry == QueueEntry(number, "run", "first", {"request": {}}, tmp_path / "first", tmp_path, 3, times)


def test_entries_are_taken_by_priority_and_only_when_they_may_start(queue, add):
    late = add("late", times=StartTimes(not_before=NOW + timedelta(hours=1)))
    ordinary, urgent = add("ordinary"), add("urgent", priority=9)
    entries = [queue.take(NOW, not_begun) for _ in range(3)]
    assert [entry and entry.id for entry in entries] == [urgent, ordinary, None]
    assert states(queue) == {late: "waiting", ordinary: "running", urgent: "running"}
    queue.end(ordinary, 4)
    assert queue.entries()[1].exit_code == 4
    assert queue.take(NOW, not_begun) is None
    entry = queue.take(NOW + timedelta(hours=1), not_begun)
    assert entry and entry.id == late


def test_threads_that_take_at_the_same_time_never_take_the_same_entry(queue, add):
    numbers = {add(f"r{n}") for n in range(30)}
    taken_numbers = []

    def take_all():
        while (entry := queue.take(NOW, not_begun)) is not None:
            taken_numbers.append(entry.id)

    threads = [threading.Thread(target=take_all, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken_numbers) == sorted(numbers)


WORKER = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from stagebook.queue.store import Queue, RunOutcome
queue = Queue(Path(sys.argv[1]))
entry = queue.take(datetime(2026, 11, 25, 12, tzinfo=UTC), lambda entry: RunOutcome())
if len(sys.argv) > 2:
    queue.own(entry.id, int(sys.argv[2]))
os.kill(os.getpid(), 9)
"""


def take_in_a_killed_worker(queue, *run_pid):
    """Take the next entry in a process that is killed then; `run_pid` is the process that runs the entry."""
    worker = subprocess.run([sys.executable, "-c", WORKER, str(queue.file), *run_pid])
    assert worker.returncode == -9


@pytest.mark.parametrize(
    ("outcome", "state", "is_taken"),
    [
        (RunOutcome(), "running", True),  # it waits again, and this call takes it
        (RunOutcome(exit_code=0), "ended", False),
        (RunOutcome(exit_code=1), "ended", False),
        (RunOutcome(held=True), "running", False),
    ],
)
def test_an_entry_whose_worker_was_killed_is_settled_by_how_its_run_ended(queue, add, outcome, state, is_taken):
    number = add()
    take_in_a_killed_worker(queue)
    entry = queue.take(NOW, lambda entry: outcome)
    assert (entry is not None) is is_taken
    assert states(queue) == {number: state}
    if outcome.exit_code is not None:
        assert queue.entries()[0].exit_code == outcome.exit_code


def test_an_entry_whose_process_outlives_its_worker_keeps_running(queue, add):
    number = add()
    take_in_a_killed_worker(queue, str(os.getpid()))
    assert queue.take(NOW, not_begun) is None
    assert states(queue) == {number: "running"}


def test_a_process_that_has_the_id_of_a_dead_worker_owns_no_entry(queue, add):
    add()
    take_in_a_killed_worker(queue)
    with queue._opened() as database:
        database.execute(
            "UPDATE entries SET taker = ?, taker_started = ?", [os.getpid(), psutil.Process().create_time() - 100]
        )
    assert queue.take(NOW, not_begun) is not None


def test_an_entry_whose_process_dies_too_often_is_given_up(queue, add):
    number = add()
    for _ in range(MAX_DEATHS):
        take_in_a_killed_worker(queue)
    assert queue.take(NOW, not_begun) is None
    (entry,) = queue.entries()
    assert (entry.id, entry.state, entry.exit_code) == (number, EntryState.ENDED, 1)
    assert "died 3 times" in entry.reason


def test_an_entry_whose_run_has_ended_already_does_not_run_again(queue, add):
    number = add()
    assert queue.take(NOW, lambda entry: RunOutcome(exit_code=0)) is None
    assert states(queue) == {number: "ended"}


def test_an_entry_that_is_put_back_can_be_held_past_its_deadline(queue, add):
    number = add(times=StartTimes(deadline=NOW))
    assert queue.take(NOW, not_begun)
    queue.put_back(number, "the budget is spent", held_until=NOW + timedelta(days=6))
    assert queue.take(NOW + timedelta(days=5), not_begun) is None
    assert queue.take(NOW + timedelta(days=6), not_begun)


def test_a_waiting_entry_is_cancelled_at_once_and_a_running_one_when_it_ends(queue, add):
    waiting, running = add("waiting", priority=-1), add("running")
    queue.take(NOW, not_begun)
    assert queue.cancel(waiting).state is EntryState.CANCELLED
    assert queue.cancel(running).state is EntryState.CANCELLING
    queue.end(running, 143)
    assert states(queue) == {waiting: "cancelled", running: "cancelled"}
    with pytest.raises(NoSuchEntry, match=r"has cancelled already"):
        queue.cancel(waiting)
    with pytest.raises(NoSuchEntry, match=r"no entry 99"):
        queue.cancel(99)


def test_a_cancelled_entry_that_is_put_back_stays_cancelled(queue, add):
    number = add()
    queue.take(NOW, not_begun)
    queue.cancel(number)
    queue.put_back(number, "interrupted")
    assert states(queue) == {number: "cancelled"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"CREATE TABLE entries (id, what, why)", "it is of format 0"), (b"no database" * 100, "not a database")],
)
def test_a_file_of_another_version_or_kind_is_refused_and_kept(queue, content, reason):
    queue.file.parent.mkdir(parents=True)
    if content.startswith(b"CREATE"):
        with sqlite3.connect(queue.file) as database:
            database.execute(content.decode())
    else:
        queue.file.write_bytes(content)
    before = queue.file.read_bytes()
    with pytest.raises(UnreadableQueue, match=rf"(?s)cannot be read: .*{reason}.*Move the file away"):
        queue.entries()
    assert queue.file.read_bytes() == before
