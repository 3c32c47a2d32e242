"""Configurations of a batch start as there is room, wait for what they share, and fail alone."""

import threading
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from stagebook.batch.dispatch import Tools, dispatch
from stagebook.model.batch import Configuration
from stagebook.model.record import RunRecord, StageRecord, StageStatus

STAGES = ("prep", "features", "train")


@dataclass
class World:
    """Runs of three stages, each of which takes one pause; a result that exists is taken over in no time."""

    keys: dict[int, dict[str, str]]
    fails: frozenset[str] = frozenset()
    now: int = 0
    results: Counter[str] = field(default_factory=Counter)
    doing: dict[int, list[str]] = field(default_factory=dict)
    records: dict[str, RunRecord] = field(default_factory=dict)
    most: int = 0

    def launch(self, one: Configuration) -> "Run":
        stages = {name: StageRecord(name, "n.py", []) for name in STAGES}
        self.records[one.run_id] = RunRecord(one.run_id, "demo", "2026-11-25T00:00:00Z", stages=stages)
        self.doing[one.n] = list(STAGES)
        self.most = max(self.most, len(self.doing))
        return Run(self, one)

    def tick(self) -> None:
        self.now += 1
        for n, left in list(self.doing.items()):
            stages = self.records[f"r{n}"].stages
            while left and self.results[self.keys[n][left[0]]]:
                stages[left.pop(0)].status = StageStatus.REUSED
            if left:
                name = left.pop(0)
                failed = self.keys[n][name] in self.fails
                stages[name].status = StageStatus.FAILED if failed else StageStatus.SUCCEEDED
                if failed:
                    left.clear()
                self.results[self.keys[n][name]] += not failed
            if not left:
                del self.doing[n]


@dataclass
class Run:
    world: World
    one: Configuration
    pid: int = 0
    code: int | None = None

    def poll(self) -> int | None:
        if self.code is None and self.one.n not in self.world.doing:
            stages = self.world.records[self.one.run_id].stages.values()
            self.code = 1 if any(stage.status is StageStatus.FAILED for stage in stages) else 0
        return self.code

    def terminate(self) -> None:
        self.world.doing.pop(self.one.n, None)
        self.code = 143


def configurations(keys):
    return [Configuration(n, f"r{n}", {}) for n in keys]


def tools(world, **more):
    return Tools(world.launch, world.records.get, lambda text: None, pause=world.tick, **more)


def twelve(features=1):
    return {n: {"prep": "prep", "features": f"features {n % features}", "train": f"train {n}"} for n in range(1, 13)}


def test_a_sweep_of_twelve_runs_what_it_shares_once():
    world = World(twelve())
    done = dispatch(configurations(world.keys), world.keys, 4, tools(world))
    assert done.codes == dict.fromkeys(range(1, 13), 0)
    assert world.results["prep"] == world.results["features 0"] == 1
    assert sum(world.results.values()) == 14
    assert world.most == 4


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=8),
    st.integers(1, 5),
    st.sets(st.sampled_from(["p0", "f00", "f01", "t1", "t2"])),
)
def test_whatever_is_shared_is_computed_once_and_nobody_is_lost(made, jobs, fails):
    keys = {
        n: {"prep": f"p{prep}", "features": f"f{prep}{features}", "train": f"t{n}"}
        for n, (prep, features) in enumerate(made, start=1)
    }
    world = World(keys, frozenset(fails))
    done = dispatch(configurations(keys), keys, jobs, tools(world))
    assert set(world.results.values()) <= {0, 1}
    assert set(done.codes) | set(done.unstarted) == set(keys)
    assert world.most <= jobs
    assert not done.left
    for n, found in keys.items():
        spoiled = bool(fails & {found["prep"], found["features"]})
        assert (done.codes.get(n) == 0) is not (spoiled or found["train"] in fails)


def test_one_that_fails_ends_no_other_but_a_shared_stage_is_not_tried_again():
    world = World(twelve(features=2), frozenset({"features 1", "train 2"}))
    done = dispatch(configurations(world.keys), world.keys, 2, tools(world))
    assert done.codes == {1: 1, 2: 1} | dict.fromkeys((4, 6, 8, 10, 12), 0)
    assert done.unstarted[3] == "stage 'features' failed in run r1, and would be the same here"
    assert set(done.unstarted) == {3, 5, 7, 9, 11}


def test_who_is_stopped_ends_what_runs_and_starts_nothing_more():
    world = World(twelve())
    stop = threading.Event()

    def tick():
        world.tick()
        if world.now == 2:
            stop.set()

    done = dispatch(configurations(world.keys), world.keys, 2, Tools(world.launch, world.records.get, lambda _: None,
                    stop=stop, pause=tick))  # fmt: skip
    assert done.codes == {1: 143}
    assert [one.n for one in done.left] == list(range(2, 13))


def test_nothing_starts_when_the_time_is_over_and_what_runs_goes_on():
    world = World(twelve())
    done = dispatch(configurations(world.keys), world.keys, 2, tools(world, may_start=lambda: world.now < 4))
    assert set(done.codes.values()) == {0}
    assert len(done.codes) + len(done.left) == 12
    assert done.left
