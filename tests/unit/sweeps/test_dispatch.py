"""Configurations of a sweep start as there is room, wait for results that they share, and fail alone."""

import threading
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from stagebook.model.record import RunRecord, StageRecord, StageStatus
from stagebook.model.sweep import Configuration
from stagebook.sweeps.dispatch import DispatchTools, dispatch

STAGES = ("prep", "features", "train")


@dataclass
class Simulation:
    """Runs of three stages, each of which takes one pause; a result that exists is reused in no time.

    `failing` are keys of stages that fail, `results` counts how often each key was computed, and `pending` are the
    stages that each running configuration has yet to end.
    """

    keys: dict[int, dict[str, str]]
    failing: frozenset[str] = frozenset()
    now: int = 0
    results: Counter[str] = field(default_factory=Counter)
    pending: dict[int, list[str]] = field(default_factory=dict)
    records: dict[str, RunRecord] = field(default_factory=dict)
    max_running: int = 0

    def launch(self, configuration: Configuration) -> "FakeProcess":
        stages = {name: StageRecord(name, "n.py", []) for name in STAGES}
        record = RunRecord(configuration.run_id, "demo", "2026-11-25T00:00:00Z", stages=stages)
        self.records[configuration.run_id] = record
        self.pending[configuration.n] = list(STAGES)
        self.max_running = max(self.max_running, len(self.pending))
        return FakeProcess(self, configuration)

    def tick(self) -> None:
        self.now += 1
        computed = {key for key, count in self.results.items() if count}  # before this step: all run at the same time
        for n, pending in list(self.pending.items()):
            stages = self.records[f"r{n}"].stages
            while pending and self.keys[n][pending[0]] in computed:
                stages[pending.pop(0)].status = StageStatus.REUSED
            if pending:
                name = pending.pop(0)
                failed = self.keys[n][name] in self.failing
                stages[name].status = StageStatus.FAILED if failed else StageStatus.SUCCEEDED
                if failed:
                    pending.clear()
                self.results[self.keys[n][name]] += not failed
            if not pending:
                del self.pending[n]

    def dispatch(self, jobs: int, **tools):
        configurations = [Configuration(n, f"r{n}", {}) for n in self.keys]
        tools = {"show": lambda text: None, "pause": self.tick} | tools
        return dispatch(configurations, self.keys, jobs, DispatchTools(self.launch, self.records.get, **tools))


@dataclass
class FakeProcess:
    simulation: Simulation
    configuration: Configuration
    pid: int = 0
    code: int | None = None

    def poll(self) -> int | None:
        if self.code is None and self.configuration.n not in self.simulation.pending:
            stages = self.simulation.records[self.configuration.run_id].stages.values()
            self.code = 1 if any(stage.status is StageStatus.FAILED for stage in stages) else 0
        return self.code

    def terminate(self) -> None:
        self.simulation.pending.pop(self.configuration.n, None)
        self.code = 143


def twelve_configurations(features=1):
    """Keys of configurations that share `prep`, have so many different `features`, and a `train` each."""
    return {n: {"prep": "prep", "features": f"features {n % features}", "train": f"train {n}"} for n in range(1, 13)}


def test_twelve_configurations_run_their_shared_stages_once():
    simulation = Simulation(twelve_configurations())
    result = simulation.dispatch(4)
    assert result.codes == dict.fromkeys(range(1, 13), 0)
    assert simulation.results["prep"] == simulation.results["features 0"] == 1
    assert sum(simulation.results.values()) == 14
    assert simulation.max_running == 4


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=8),
    st.integers(1, 5),
    st.sets(st.sampled_from(["p0", "f00", "f01", "t1", "t2"])),
)
def test_every_shared_stage_is_computed_once_and_every_configuration_ends(prep_and_features, jobs, failing):
    keys = {
        n: {"prep": f"p{prep}", "features": f"f{prep}{features}", "train": f"t{n}"}
        for n, (prep, features) in enumerate(prep_and_features, start=1)
    }
    simulation = Simulation(keys, frozenset(failing))
    result = simulation.dispatch(jobs)
    assert set(simulation.results.values()) <= {0, 1}
    assert set(result.codes) | set(result.unstarted) == set(keys)
    assert simulation.max_running <= jobs
    assert not result.remaining
    for n, own_keys in keys.items():
        assert (result.codes.get(n) == 0) is failing.isdisjoint(own_keys.values())


def test_a_failed_configuration_ends_no_other_but_its_failed_shared_stage_is_not_tried_again():
    simulation = Simulation(twelve_configurations(features=2), frozenset({"features 1", "train 2"}))
    result = simulation.dispatch(2)
    assert result.codes == {1: 1, 2: 1} | dict.fromkeys((4, 6, 8, 10, 12), 0)
    assert result.unstarted[3] == "stage 'features' failed in run r1, and would be the same here"
    assert set(result.unstarted) == {3, 5, 7, 9, 11}


def test_a_stop_ends_running_configurations_and_starts_no_further_one():
    simulation = Simulation(twelve_configurations())
    stop = threading.Event()

    def tick_and_stop():
        simulation.tick()
        if simulation.now == 2:
            stop.set()

    result = simulation.dispatch(2, stop=stop, pause=tick_and_stop)
    assert result.codes == {1: 143}
    assert [configuration.n for configuration in result.remaining] == list(range(2, 13))


def test_no_configuration_starts_after_the_allowed_time_and_running_ones_go_on():
    simulation = Simulation(twelve_configurations())
    result = simulation.dispatch(2, may_start=lambda: simulation.now < 4)
    assert set(result.codes.values()) == {0}
    assert len(result.codes) + len(result.remaining) == 12
    assert result.remaining
