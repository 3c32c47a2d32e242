"""The plan: what runs, what takes an earlier result, and what cannot be asked for."""

from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.run_builder import RunBuilder, rate_of

from stagebook.cache.lookup import CacheLookup
from stagebook.config.request import RunRequest
from stagebook.model.pipeline import Paths, Pipeline, RunIf, Stage, Tracking
from stagebook.model.record import Attempt, AttemptStatus, RunRecord, StageRecord, StageStatus
from stagebook.planner import decide

NAMES = ["prep", "build", "train", "check"]


def pipeline(**parameters) -> Pipeline:
    stages, before = {}, ()
    for name in NAMES:
        stages[name] = Stage(name, Path(f"{name}.py"), before, parameters=parameters.get(name, {}), writes=(f"t_{name}",),
                             reads=tuple(f"t_{up}" for up in before))  # fmt: skip
        before = (name,)
    root = Path("/p")
    return Pipeline("demo", stages, {}, Paths(root, root, root, root), Tracking("sqlite:///x", "e", "m"))


def record(run_id="r1", **statuses) -> RunRecord:
    stages = {}
    for name in NAMES:
        status = StageStatus(statuses.get(name, "pending"))
        attempts = [Attempt(1, AttemptStatus.FAILED, "t", "n")] if status is StageStatus.FAILED else []
        stages[name] = StageRecord(name, f"{name}.py", [], status, scraps={"from": run_id}, attempts=attempts)
    return RunRecord(run_id, "demo", "2026-01-01T00:00:00Z", stages=stages)


class Tables:
    def __init__(self, **versions):
        self.versions = versions

    def latest(self, name):
        return self.versions.get(name)

    def refuse_damaged(self, name, version):
        pass


EVERY = Tables(t_prep=3, t_build=4, t_train=5)
DONE = dict.fromkeys(NAMES, "succeeded")


class Cache:
    """Has a result of the stages in `results`; all others have changed."""

    def __init__(self, **results):
        self.results, self.asked = results, {}

    def key_inputs(self, stage, parameters, versions):
        self.asked[stage.name] = (parameters, versions)

    def look_up(self, stage, key_inputs):
        result = self.results.get(stage.name)
        return CacheLookup("unchanged" if result else "cell 4 changed", result)

    def own_changes(self, stage):
        return []


def make_plan(request=None, current=None, history=(), tables=EVERY, line=None, cache=None):
    return decide.make_plan(
        line or pipeline(),
        request or RunRequest(),
        tables,
        current=current,
        history=history,
        cache=cache or Cache(),
    )


def result(version=7, **scraps):
    return {"scraps": scraps, "outputs": {"t_prep": {"version": version}}}


def actions(steps):
    return [step.action for step in steps.steps.values()]


def test_a_new_run_runs_everything_and_pins_nothing_that_it_writes():
    steps = make_plan()
    assert actions(steps) == ["run"] * 4
    assert steps.pins == {}


def test_a_part_stands_on_the_newest_run_that_has_all_it_needs():
    history = [
        record("broken", prep="succeeded"),
        record("newer", prep="succeeded", build="succeeded"),
        record("old", **DONE),
    ]
    steps = make_plan(RunRequest(first=("train",)), history=history)
    assert actions(steps) == ["reuse", "reuse", "run", "run"]
    assert steps.steps["build"].result["scraps"] == {"from": "newer"}
    assert "taken from run newer" in steps.steps["build"].reason


def test_a_part_without_anything_to_stand_on_is_refused():
    with pytest.raises(decide.MissingUpstreamResult, match="no run has a finished result of build, prep"):
        make_plan(RunRequest(only=("train",)))


def test_stages_below_the_part_are_skipped():
    assert actions(make_plan(RunRequest(last=("build",)))) == ["run", "run", "skip", "skip"]


def test_a_resumed_run_keeps_what_is_finished():
    current = record(prep="succeeded", build="reused", train="failed", check="upstream_failed")
    steps = make_plan(RunRequest(resume="r1"), current=current)
    assert actions(steps) == ["keep", "keep", "run", "run"]
    assert "attempt 1 did not finish" in steps.steps["train"].reason


def test_what_stands_on_an_unfinished_stage_runs_again_on_resume():
    current = record(prep="failed", build="succeeded", train="succeeded", check="succeeded")
    assert actions(make_plan(RunRequest(resume="r1"), current=current)) == ["run"] * 4


def test_forced_stages_run_again_with_all_downstream():
    current = record(**DONE)
    steps = make_plan(RunRequest(resume="r1", force=("train",)), current=current)
    assert actions(steps) == ["keep", "keep", "run", "run"]
    assert steps.steps["train"].reason == "forced"
    assert actions(make_plan(RunRequest(resume="r1", force=()), current=current)) == ["run"] * 4


def test_a_resumed_run_refuses_other_parameters_for_what_is_finished():
    current = record(prep="succeeded")
    current.stages["prep"].parameters = {"seed": 13}
    with pytest.raises(decide.ParametersChanged, match=r"'prep' has finished with seed = 13, and now seed is 14"):
        make_plan(RunRequest(resume="r1"), current=current, line=pipeline(prep={"seed": 14}))


def test_parameters_of_what_is_not_finished_may_change():
    current = record(prep="succeeded", build="failed")
    assert make_plan(RunRequest(resume="r1"), current=current, line=pipeline(build={"seed": 14}))


def test_tables_that_no_stage_of_the_run_writes_are_pinned_as_of_now():
    line = pipeline()
    outside = Stage("prep", Path("prep.py"), reads=("foreign",), writes=("t_prep",))
    line = Pipeline(line.name, {**line.stages, "prep": outside}, {}, line.paths, line.tracking)
    assert make_plan(line=line, tables=Tables(foreign=7)).pins == {"foreign": 7}
    with pytest.raises(decide.MissingTables, match="'foreign', which stage 'prep' reads"):
        make_plan(line=line, tables=Tables())


def test_a_stage_whose_result_stands_is_reused_and_the_next_one_reads_what_it_left():
    cache = Cache(prep=result(day="monday"))
    steps = make_plan(line=pipeline(build={"day": "{{tasks.prep.values.day}}"}), cache=cache, tables=Tables(t_prep=9))
    assert actions(steps) == ["reuse", "run", "run", "run"]
    assert cache.asked["build"] == ({"day": "monday"}, {"t_prep": 7})
    assert [steps.steps[name].reason for name in NAMES] == [
        "unchanged", "cell 4 changed", "build before it runs", "train before it runs",
    ]  # fmt: skip


def test_a_stage_below_one_that_runs_is_not_looked_up_before_it_but_may_be_spared_then():
    cache = Cache(**{name: result() for name in NAMES if name != "prep"})
    steps = make_plan(cache=cache)
    assert actions(steps) == ["run"] * 4
    assert set(cache.asked) == {"prep"}
    assert steps.may_reuse == set(NAMES)


@pytest.mark.parametrize(
    ("request_", "why"),
    [(RunRequest(reuse=False), "asked for by --no-reuse"), (RunRequest(force=("prep",)), "forced")],
)
def test_what_is_told_to_run_runs_whatever_stands(request_, why):
    steps = make_plan(request_, cache=Cache(prep=result()))
    assert (steps.steps["prep"].action, steps.steps["prep"].reason) == ("run", why)
    assert "prep" not in steps.may_reuse


def test_a_stage_that_never_reuses_runs():
    line = pipeline()
    line = replace(line, stages={**line.stages, "prep": replace(line.stages["prep"], reuse="never")})
    steps = make_plan(line=line, cache=Cache(prep=result()))
    assert (steps.steps["prep"].action, steps.steps["prep"].reason) == ("run", "its `reuse` is never")


@pytest.mark.parametrize(("promoted", "action"), [(True, "reuse"), (False, "skip"), (None, "skip")])
def test_a_condition_on_a_reused_scrap_is_known_at_once(promoted, action):
    line = pipeline()
    asks = replace(line.stages["build"], only_if="{{tasks.prep.values.promoted}}")
    line = replace(line, stages={**line.stages, "build": asks})
    scraps = {} if promoted is None else {"promoted": promoted}
    assert make_plan(line=line, cache=Cache(prep=result(**scraps), build=result())).steps["build"].action == action


def test_a_reused_result_brings_along_what_it_had_cost_where_it_was_computed():
    story = RunBuilder({"prep": "p", "build": "p", "train": None, "check": None}, [rate_of()], "first")
    first = story.attempt("prep", 0, 3600).reused("build", 0.5).attempt("train", 3600, 5).ended(4000).record
    steps = make_plan(RunRequest(only=("check",)), history=[first]).steps
    saved = {name: step.result.get("saved_usd") for name, step in steps.items()}
    assert saved == {"prep": 2.5025, "build": 0.5, "train": None, "check": None}


@pytest.mark.parametrize("already", ["reuse", "keep"])
def test_what_stands_on_a_result_that_ended_early_is_skipped_with_the_reason(already):
    early = {**result(), "outputs": {}, "ended_early": "nothing today"}
    current = record(prep="succeeded") if already == "keep" else None
    if current is not None:
        current.stages["prep"].ended_early = "nothing today"
    request = RunRequest(resume="r1" if current else None)
    steps = make_plan(request, current=current, cache=Cache(prep=early, build=result()), tables=Tables())
    assert actions(steps) == [already, "skip", "skip", "skip"]
    assert {steps.steps[name].reason for name in NAMES[1:]} == {"prep ended early: nothing today"}


def test_a_stage_that_need_not_wait_for_a_tables_writer_has_a_version_to_read_all_the_same():
    line = pipeline()
    tolerant = replace(line.stages["build"], run_if=RunIf.ALL_DONE)
    line = replace(line, stages={**line.stages, "build": tolerant})
    assert make_plan(line=line, tables=Tables(t_prep=3)).pins == {"t_prep": 3}
    assert make_plan(line=line, tables=Tables()).pins == {}
