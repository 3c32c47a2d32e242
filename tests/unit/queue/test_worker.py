"""Work on the queue with a simulated clock: entries start within their window only, or at their deadline."""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fixtures.properties import costly_examples
from hypothesis import given
from hypothesis import strategies as st

from stagebook import atomic
from stagebook.queue.store import EntryState, Queue, QueueEntry, RunOutcome
from stagebook.queue.worker import QueueWorker, look, work
from stagebook.runner.run_process import MONTH_SPENT
from stagebook.runs.folders import RunFolder
from stagebook.runs.recorder import RunRecorder
from stagebook.schedule.start_times import StartTimes
from stagebook.schedule.window import Window
from stagebook.sweeps.run import CONTINUE_LATER

NIGHT = Window.parse("22:00-06:00 Europe/Berlin")
START = datetime(2026, 11, 25, 12, tzinfo=UTC)
STEP = timedelta(minutes=20)


@dataclass
class FakeProcess:
    """Ends at a time of the simulated clock, with a code; with 143 as soon as it is terminated."""

    simulation: "Simulation"
    ends_at: datetime
    code: int
    pid: int = 2**22 + 1  # no process has it

    def poll(self):
        return self.code if self.simulation.now >= self.ends_at else None

    def terminate(self):
        self.code, self.ends_at = 143, self.simulation.now


@dataclass
class Simulation:
    """A queue whose entries run for so many steps of a simulated clock; `codes` are their exit codes, 0 by default."""

    queue: Queue
    steps: int = 2
    codes: dict[int, list[int]] = field(default_factory=dict)
    now: datetime = START
    stops_at: datetime = START + timedelta(days=4)
    starts: list[tuple[int, datetime]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    running: list[FakeProcess] = field(default_factory=list)
    max_running: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def add(self, **fields):
        return self.queue.add(QueueEntry(0, "run", "a run", {}, Path("/nowhere/r"), Path("/"), **fields)).id

    def launch(self, entry):
        assert entry.times.may_start(self.now)
        self.starts.append((entry.id, self.now))
        codes = self.codes.get(entry.id, [])
        process = FakeProcess(self, self.now + self.steps * STEP, codes.pop(0) if codes else 0)
        self.running = [*(process for process in self.running if process.poll() is None), process]
        self.max_running = max(self.max_running, len(self.running))
        return process

    def tick(self):
        self.now += STEP
        if self.now >= self.stops_at:
            self.stop.set()

    def work(self, jobs=1, *, watch=False):
        worker = QueueWorker(
            self.queue,
            launch=self.launch,
            look=lambda entry: RunOutcome(),
            show=self.lines.append,
            clock=lambda: self.now,
            pause=self.tick,
            stop=self.stop,
        )
        return work(worker, jobs, watch=watch)

    def states(self):
        return [entry.state.value for entry in self.queue.entries()]


@pytest.fixture
def simulation(tmp_path):
    return Simulation(Queue(tmp_path / "queue.sqlite"))


def test_the_worker_ends_when_no_entry_may_start_now(simulation):
    ordinary = simulation.add()
    night = simulation.add(times=StartTimes(window=NIGHT))
    urgent = simulation.add(priority=1)
    assert simulation.work()
    assert simulation.starts == [(urgent, START), (ordinary, START + 2 * STEP)]
    assert simulation.states() == ["ended", "waiting", "ended"]
    assert night not in dict(simulation.starts)


def test_a_watching_worker_starts_entries_when_their_time_comes(simulation):
    night = simulation.add(times=StartTimes(window=NIGHT))
    soon = simulation.add(times=StartTimes(not_before=START + timedelta(hours=1)))
    overdue = simulation.add(times=StartTimes(window=NIGHT, deadline=START + timedelta(hours=3)))
    assert simulation.work(watch=True)
    assert dict(simulation.starts) == {
        soon: START + timedelta(hours=1),
        overdue: START + timedelta(hours=3),
        night: START + timedelta(hours=9),
    }


hours = st.none() | st.integers(-5, 60)
priority_and_times = st.tuples(st.integers(-1, 1), hours, st.booleans(), hours)


@costly_examples(0.1)
@given(st.lists(priority_and_times, min_size=1, max_size=6), st.integers(1, 3))
def test_every_entry_starts_once_and_outside_its_window_only_at_its_deadline(tmp_path_factory, entries, jobs):
    simulation = Simulation(Queue(tmp_path_factory.mktemp("queue") / "queue.sqlite"))
    times_by_number = {}
    for priority, not_before_hours, night, deadline_hours in entries:
        not_before = None if not_before_hours is None else START + timedelta(hours=not_before_hours)
        deadline = None if deadline_hours is None else START + timedelta(hours=deadline_hours)
        times = StartTimes(not_before, NIGHT if night else None, deadline)
        times_by_number[simulation.add(priority=priority, times=times)] = times
    simulation.work(jobs, watch=True)
    assert sorted(number for number, _ in simulation.starts) == sorted(times_by_number)
    assert simulation.max_running <= jobs
    for number, start in simulation.starts:
        times = times_by_number[number]
        is_overdue = times.deadline is not None and start >= times.deadline
        is_allowed = (times.not_before is None or start >= times.not_before) and (
            times.window is None or times.window.is_open(start)
        )
        assert is_overdue or is_allowed
        if (
            times.deadline is not None
        ):  # never starved: an overdue entry starts next, and the others take two steps each
            due = max(times.deadline, START)
            assert start < due + (len(entries) + 1) * 2 * STEP + STEP


def test_an_overdue_entry_starts_before_those_of_any_priority(simulation):
    overdue = simulation.add(priority=-9, times=StartTimes(deadline=START))
    for _ in range(3):
        simulation.add(priority=9)
    simulation.work()
    assert simulation.starts[0] == (overdue, START)
    assert "as its deadline has come" in simulation.lines[0]


def test_the_result_says_that_an_entry_failed_and_the_others_still_run(simulation):
    failing, succeeding = simulation.add(), simulation.add()
    simulation.codes = {failing: [1]}
    assert not simulation.work()
    statuses = [(entry.state.value, entry.exit_code) for entry in simulation.queue.entries()]
    assert statuses == [("ended", 1), ("ended", 0)]
    assert succeeding in dict(simulation.starts)


def test_an_entry_whose_process_was_killed_ends_with_the_exit_status_of_the_signal(simulation):
    simulation.codes = {simulation.add(): [-9]}
    assert not simulation.work()
    (entry,) = simulation.queue.entries()
    assert (entry.exit_code, entry.reason) == (137, "its process was killed")


def test_a_worker_that_is_stopped_interrupts_its_entries_and_puts_them_back(simulation):
    simulation.steps = 10**6
    number = simulation.add()
    simulation.stops_at = START + 3 * STEP
    assert simulation.work(watch=True)
    (entry,) = simulation.queue.entries()
    assert (entry.id, entry.state) == (number, EntryState.WAITING)
    assert "will be resumed" in entry.reason


def test_an_entry_waits_for_the_next_month_when_the_budget_is_spent_even_past_its_deadline(simulation):
    number = simulation.add(times=StartTimes(deadline=START + timedelta(hours=1)))
    simulation.codes = {number: [MONTH_SPENT, 0]}
    simulation.stops_at = START + timedelta(days=8)
    assert simulation.work(watch=True)
    assert [start for _, start in simulation.starts] == [START, datetime(2026, 12, 1, tzinfo=UTC)]


def test_a_sweep_whose_window_has_closed_continues_in_the_next_window(simulation):
    number = simulation.add(times=StartTimes(window=NIGHT))
    simulation.codes, simulation.steps = {number: [CONTINUE_LATER, 0]}, 24
    assert simulation.work(watch=True)
    assert [f"{start:%d %H:%M}" for _, start in simulation.starts] == ["25 21:00", "26 21:00"]


def test_a_running_entry_that_is_cancelled_is_stopped(simulation):
    simulation.steps = 10**6
    number = simulation.add()
    tick = simulation.tick

    def tick_and_cancel():
        tick()
        if simulation.now == START + 3 * STEP:
            simulation.queue.cancel(number)

    simulation.tick = tick_and_cancel
    simulation.work()
    assert simulation.states() == ["cancelled"]
    assert simulation.now < START + 6 * STEP


def entry_of(folder, kind="run"):
    return QueueEntry(1, kind, "", {}, folder, folder)


RUN_STARTED = {"run_id": "r1", "pipeline": "demo", "params_files": [], "parameters": {}, "request": {}, "git": {},
               "environment": {}, "pins": {}, "stages": {}}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code", "final_code"),
    [
        ("succeeded", 0, 0),
        ("failed", 1, 1),
        ("failed", 4, 4),
        ("failed", 3, None),  # the budget may have room by now
        ("interrupted", 143, None),
        (None, None, None),
    ],
)
def test_the_outcome_of_a_run_is_read_from_its_journal(tmp_path, status, code, final_code):
    folder = RunFolder(tmp_path / "r1")
    assert look(entry_of(folder.path)) == RunOutcome()
    with folder.held(), RunRecorder(folder, lambda: START) as recorder:
        recorder.emit("run_started", **RUN_STARTED)
        if status:
            recorder.emit("run_finished", status=status, exit_code=code)
        assert look(entry_of(folder.path)) == RunOutcome(held=True)
    assert look(entry_of(folder.path)) == RunOutcome(exit_code=final_code)


@pytest.mark.parametrize(
    ("code", "final_code"), [(0, 0), (1, 1), (4, 4), (3, None), (CONTINUE_LATER, None), (143, None), (None, None)]
)
def test_the_outcome_of_a_sweep_run_is_read_from_its_file(tmp_path, code, final_code):
    atomic.write_json(tmp_path / "s/sweep.json", {"exit_code": code})
    assert look(entry_of(tmp_path / "s", "sweep")) == RunOutcome(exit_code=final_code)
