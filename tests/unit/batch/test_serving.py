"""Working on the queue with a fake clock: nothing starts outside its window but at its deadline."""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagebook.batch.child import NEXT_MONTH
from stagebook.batch.serving import Desk, look, serve
from stagebook.batch.sweeping import LATER
from stagebook.schedule.when import Times
from stagebook.schedule.window import Window
from stagebook.storage import atomic
from stagebook.storage.queue import Entry, Left, Queue, State
from stagebook.storage.runbook import RunBook
from stagebook.storage.runs import RunFolder

NIGHT = Window.parse("22:00-06:00 Europe/Berlin")
START = datetime(2026, 11, 25, 12, tzinfo=UTC)
STEP = timedelta(minutes=20)


@dataclass
class Process:
    """Takes some steps of the clock, then ends with a code; or with 143 when it is told to."""

    world: "World"
    ends: datetime
    code: int
    pid: int = 2**22 + 1  # nobody's

    def poll(self):
        return self.code if self.world.now >= self.ends else None

    def terminate(self):
        self.code, self.ends = 143, self.world.now


@dataclass
class World:
    queue: Queue
    steps: int = 2
    codes: dict[int, list[int]] = field(default_factory=dict)
    now: datetime = START
    until: datetime = START + timedelta(days=4)
    started: list[tuple[int, datetime]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    running: list[Process] = field(default_factory=list)
    most: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def launch(self, entry):
        assert entry.times.may_start(self.now)
        self.started.append((entry.id, self.now))
        left = self.codes.get(entry.id, [])
        process = Process(self, self.now + self.steps * STEP, left.pop(0) if left else 0)
        self.running = [one for one in self.running if one.poll() is None] + [process]
        self.most = max(self.most, len(self.running))
        return process

    def tick(self):
        self.now += STEP
        if self.now >= self.until:
            self.stop.set()

    def serve(self, jobs=1, *, watch=False, look=lambda entry: Left()):
        desk = Desk(self.queue, self.launch, look, self.said.append, lambda: self.now, self.tick, self.stop)
        return serve(desk, jobs, watch=watch)


@pytest.fixture
def world(tmp_path):
    return World(Queue(tmp_path / "queue.sqlite"))


def add(world, **changes):
    return world.queue.add(Entry(0, "run", "a run", {}, Path("/nowhere/r"), Path("/"), **changes)).id


def states(world):
    return [entry.state.value for entry in world.queue.entries()]


def test_it_works_until_nothing_is_left_that_could_start_now(world):
    one, night, two = add(world), add(world, times=Times(window=NIGHT)), add(world, priority=1)
    assert world.serve()
    assert world.started == [(two, START), (one, START + 2 * STEP)]
    assert states(world) == ["ended", "waiting", "ended"]
    assert night not in dict(world.started)


def test_who_watches_starts_entries_when_their_time_comes(world):
    night, soon = add(world, times=Times(window=NIGHT)), add(world, times=Times(not_before=START + timedelta(hours=1)))
    overdue = add(world, times=Times(window=NIGHT, deadline=START + timedelta(hours=3)))
    assert world.serve(watch=True)
    assert dict(world.started) == {
        soon: START + timedelta(hours=1),
        overdue: START + timedelta(hours=3),
        night: START + timedelta(hours=9),
    }


hours = st.none() | st.integers(-5, 60)
asked = st.tuples(st.integers(-1, 1), hours, st.booleans(), hours)


@settings(max_examples=12, deadline=None)
@given(st.lists(asked, min_size=1, max_size=6), st.integers(1, 3))
def test_nothing_starts_outside_its_window_but_at_its_deadline_and_everything_starts_once(tmp_path_factory, made, jobs):
    world = World(Queue(tmp_path_factory.mktemp("queue") / "queue.sqlite"))
    known = {}
    for priority, before, night, deadline in made:
        not_before = None if before is None else START + timedelta(hours=before)
        end = None if deadline is None else START + timedelta(hours=deadline)
        times = Times(not_before, NIGHT if night else None, end)
        known[add(world, priority=priority, times=times)] = times
    world.serve(jobs, watch=True)
    assert sorted(number for number, _ in world.started) == sorted(known)
    assert world.most <= jobs
    for number, when in world.started:
        times = known[number]
        overdue = times.deadline is not None and when >= times.deadline
        in_time = (times.not_before is None or when >= times.not_before) and (
            times.window is None or times.window.is_open(when)
        )
        assert overdue or in_time
        if times.deadline is not None:  # never starved: whoever is overdue is next, and others take two steps each
            first = max(times.deadline, START)
            assert when < first + (len(made) + 1) * 2 * STEP + STEP


def test_a_deadline_that_has_come_passes_any_priority(world):
    late = add(world, priority=-9, times=Times(deadline=START))
    for _ in range(3):
        add(world, priority=9)
    world.serve()
    assert world.started[0] == (late, START)
    assert "as its deadline has come" in world.said[0]


def test_a_failure_is_told_by_the_answer_and_ends_no_other(world):
    first, second = add(world), add(world)
    world.codes = {first: [1]}
    assert not world.serve()
    assert [(entry.state.value, entry.exit_code) for entry in world.queue.entries()] == [("ended", 1), ("ended", 0)]
    assert second in dict(world.started)


def test_a_process_that_was_killed_ends_its_entry_with_a_signal_s_status(world):
    world.codes = {add(world): [-9]}
    assert not world.serve()
    (entry,) = world.queue.entries()
    assert (entry.exit_code, entry.why) == (137, "its process was killed")


def test_who_is_stopped_interrupts_what_runs_and_puts_it_back(world):
    world.steps = 10**6
    number = add(world)
    world.until = START + 3 * STEP
    assert world.serve(watch=True)
    (entry,) = world.queue.entries()
    assert (entry.id, entry.state) == (number, State.WAITING)
    assert "gone on with" in entry.why


def test_a_month_that_is_spent_lets_an_entry_wait_for_the_next_even_past_its_deadline(world):
    number = add(world, times=Times(deadline=START + timedelta(hours=1)))
    world.codes = {number: [NEXT_MONTH, 0]}
    world.until = START + timedelta(days=8)
    assert world.serve(watch=True)
    assert [when for _, when in world.started] == [START, datetime(2026, 12, 1, tzinfo=UTC)]


def test_a_batch_whose_window_has_closed_goes_on_in_the_next(world):
    number = add(world, times=Times(window=NIGHT))
    world.codes, world.steps = {number: [LATER, 0]}, 24
    assert world.serve(watch=True)
    assert [f"{when:%d %H:%M}" for _, when in world.started] == ["25 21:00", "26 21:00"]


def test_a_running_entry_that_is_cancelled_is_stopped(world):
    world.steps = 10**6
    number = add(world)
    ticked = world.tick

    def tick():
        ticked()
        if world.now == START + 3 * STEP:
            world.queue.cancel(number)

    world.tick = tick
    world.serve()
    assert states(world) == ["cancelled"]
    assert world.now < START + 6 * STEP


def entry(folder, kind="run"):
    return Entry(1, kind, "", {}, folder, folder)


BEGIN = {"run_id": "r1", "pipeline": "demo", "params_files": [], "parameters": {}, "request": {}, "git": {},
         "environment": {}, "pins": {}, "stages": {}}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code", "left"),
    [
        ("succeeded", 0, 0),
        ("failed", 1, 1),
        ("failed", 4, 4),
        ("failed", 3, None),  # there may be money now
        ("interrupted", 143, None),
        (None, None, None),
    ],
)
def test_what_a_run_has_left_is_read_from_its_journal(tmp_path, status, code, left):
    folder = RunFolder(tmp_path / "r1")
    assert look(entry(folder.path)) == Left()
    with folder.held(), RunBook(folder, lambda: START) as book:
        book.tell("run_started", **BEGIN)
        if status:
            book.tell("run_finished", status=status, exit_code=code)
        assert look(entry(folder.path)) == Left(held=True)
    assert look(entry(folder.path)) == Left(exit_code=left)


@pytest.mark.parametrize(
    ("code", "left"), [(0, 0), (1, 1), (4, 4), (3, None), (LATER, None), (143, None), (None, None)]
)
def test_what_a_batch_has_left_is_read_from_its_file(tmp_path, code, left):
    atomic.write_json(tmp_path / "b/batch.json", {"exit_code": code})
    assert look(entry(tmp_path / "b", "batch")) == Left(exit_code=left)
