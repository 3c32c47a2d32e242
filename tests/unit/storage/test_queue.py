"""The queue outlives whoever works on it: no entry is lost, none is run twice."""

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from stagebook.schedule.when import Times
from stagebook.schedule.window import Window
from stagebook.storage.queue import MOST_DEATHS, Entry, Left, NoSuchEntry, Queue, State

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / "state/queue.sqlite")


@pytest.fixture
def add(queue, tmp_path):
    def put(what="run", **changes):
        return queue.add(Entry(0, "run", what, {"request": {}}, tmp_path / what, tmp_path, **changes)).id

    return put


def nothing_left(entry):
    return Left()


def states(queue):
    return {entry.id: entry.state.value for entry in queue.entries()}


def test_an_entry_is_kept_whole(queue, add, tmp_path):
    times = Times(NOW, Window.parse("22:00-06:00 Europe/Berlin"), NOW + timedelta(days=1))
    number = add("one", priority=3, times=times)
    (kept,) = Queue(queue.file).entries()
    assert kept == Entry(number, "run", "one", {"request": {}}, tmp_path / "one", tmp_path, 3, times)


def test_entries_are_taken_in_turn_and_only_when_they_may_start(queue, add):
    late = add("late", times=Times(not_before=NOW + timedelta(hours=1)))
    first, urgent = add("first"), add("urgent", priority=9)
    taken = [queue.take(NOW, nothing_left) for _ in range(3)]
    assert [entry and entry.id for entry in taken] == [urgent, first, None]
    assert states(queue) == {late: "waiting", first: "running", urgent: "running"}
    queue.end(first, 4)
    assert queue.entries()[1].exit_code == 4
    assert queue.take(NOW, nothing_left) is None
    later = queue.take(NOW + timedelta(hours=1), nothing_left)
    assert later and later.id == late


def test_many_who_take_at_once_never_take_the_same(queue, add):
    numbers = {add(f"r{n}") for n in range(30)}
    taken = []

    def work():
        while (entry := queue.take(NOW, nothing_left)) is not None:
            taken.append(entry.id)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(taken) == sorted(numbers)


TAKER = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from stagebook.storage.queue import Left, Queue
queue = Queue(Path(sys.argv[1]))
entry = queue.take(datetime(2026, 11, 25, 12, tzinfo=UTC), lambda entry: Left())
if len(sys.argv) > 2:
    queue.own(entry.id, int(sys.argv[2]))
os.kill(os.getpid(), 9)
"""


def killed_taker(queue, *words):
    ended = subprocess.run([sys.executable, "-c", TAKER, str(queue.file), *words], timeout=60)
    assert ended.returncode == -9


@pytest.mark.parametrize(
    ("left", "state", "taken"),
    [
        (Left(), "running", True),  # it waits again, and is taken by who sees that
        (Left(exit_code=0), "ended", False),
        (Left(exit_code=1), "ended", False),
        (Left(held=True), "running", False),
    ],
)
def test_an_entry_whose_taker_was_killed_is_settled_by_what_its_run_has_left(queue, add, left, state, taken):
    number = add()
    killed_taker(queue)
    found = queue.take(NOW, lambda entry: left)
    assert (found is not None) is taken
    assert states(queue) == {number: state}
    if left.exit_code is not None:
        assert queue.entries()[0].exit_code == left.exit_code


def test_an_entry_whose_process_outlives_its_taker_is_left_to_it(queue, add):
    number = add()
    killed_taker(queue, str(os.getpid()))
    assert queue.take(NOW, nothing_left) is None
    assert states(queue) == {number: "running"}


def test_a_process_number_that_was_given_anew_owns_nothing(queue, add):
    add()
    killed_taker(queue)
    with queue._opened() as database:
        database.execute(
            "UPDATE entries SET taker = ?, taker_started = ?", [os.getpid(), psutil.Process().create_time() - 100]
        )
    assert queue.take(NOW, nothing_left) is not None


def test_an_entry_that_kills_its_process_again_and_again_is_given_up(queue, add):
    number = add()
    for _ in range(MOST_DEATHS):
        killed_taker(queue)
    assert queue.take(NOW, nothing_left) is None
    (entry,) = queue.entries()
    assert (entry.id, entry.state, entry.exit_code) == (number, State.ENDED, 1)
    assert "died 3 times" in entry.why


def test_an_entry_that_has_run_already_is_not_run_again(queue, add):
    number = add()
    assert queue.take(NOW, lambda entry: Left(exit_code=0)) is None
    assert states(queue) == {number: "ended"}


def test_an_entry_that_is_put_back_may_be_held_for_a_while_deadline_or_not(queue, add):
    number = add(times=Times(deadline=NOW))
    assert queue.take(NOW, nothing_left)
    queue.put_back(number, "no money", held_until=NOW + timedelta(days=6))
    assert queue.take(NOW + timedelta(days=5), nothing_left) is None
    assert queue.take(NOW + timedelta(days=6), nothing_left)


def test_a_waiting_entry_is_cancelled_at_once_and_a_running_one_when_it_has_ended(queue, add):
    waiting, running = add("w", priority=-1), add("r")
    queue.take(NOW, nothing_left)
    assert queue.cancel(waiting).state is State.CANCELLED
    assert queue.cancel(running).state is State.CANCELLING
    queue.end(running, 143)
    assert states(queue) == {waiting: "cancelled", running: "cancelled"}
    with pytest.raises(NoSuchEntry, match=r"has cancelled already"):
        queue.cancel(waiting)
    with pytest.raises(NoSuchEntry, match=r"no entry 99"):
        queue.cancel(99)


def test_a_cancelled_entry_is_not_put_back(queue, add):
    number = add()
    queue.take(NOW, nothing_left)
    queue.cancel(number)
    queue.put_back(number, "interrupted")
    assert states(queue) == {number: "cancelled"}
