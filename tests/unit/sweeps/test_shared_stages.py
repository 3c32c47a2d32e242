"""Which configurations have to wait for another's stages, and which would only fail as another one did."""

from pathlib import Path

import pytest

from stagebook.config.request import RunRequest
from stagebook.model.pipeline import Paths, Pipeline, Stage, Tracking
from stagebook.model.record import StageStatus
from stagebook.sweeps.shared_stages import StartedConfiguration, doomed_reason, must_wait, shareable, stage_keys

OK, RUNS, FAILED = StageStatus.SUCCEEDED, StageStatus.RUNNING, StageStatus.FAILED
ROOT = Path("/nowhere")


def pipeline(prep=0, train=0, side=0, **train_fields):
    stages = {
        "prep": Stage("prep", ROOT / "p.py", parameters={"x": prep}),
        "train": Stage("train", ROOT / "t.py", ("prep",), {"x": train, "y": "{{tasks.prep.values.y}}"}, **train_fields),
        "side": Stage("side", ROOT / "s.py", parameters={"x": side}),
    }
    return Pipeline("demo", stages, {}, Paths(ROOT, ROOT, ROOT, ROOT), Tracking("u", "e", "m"))


def test_two_stages_have_the_same_key_only_if_all_stages_before_them_have():
    plain, other_train, other_prep = (
        stage_keys(pipeline(**parameters), RunRequest()) for parameters in ({}, {"train": 1}, {"prep": 1})
    )
    assert plain["prep"] == other_train["prep"] != other_prep["prep"]
    assert len({plain["train"], other_train["train"], other_prep["train"]}) == 3
    assert plain["side"] == other_train["side"] == other_prep["side"]


def test_only_stages_that_run_and_may_be_reused_are_shareable():
    assert list(stage_keys(pipeline(), RunRequest(last=("train",)))) == ["prep", "train"]
    keys = stage_keys(pipeline(reuse=False), RunRequest())
    assert list(shareable(keys, pipeline(reuse=False), RunRequest())) == ["prep", "side"]
    assert shareable(keys, pipeline(), RunRequest(reuse=False)) == {}


KEYS = {"prep": "p", "train": "t1"}


@pytest.mark.parametrize(
    ("stages", "alive", "waits", "is_doomed"),
    [
        ({}, True, True, False),
        ({"prep": RUNS}, True, True, False),
        ({"prep": OK, "train": RUNS}, True, False, False),
        ({"prep": StageStatus.REUSED}, True, False, False),
        ({"prep": StageStatus.SKIPPED}, True, False, False),
        ({"prep": FAILED}, True, True, False),  # it may be retried
        ({"prep": FAILED}, False, False, True),
        ({"prep": OK, "train": FAILED}, False, False, False),
        ({}, False, False, False),
    ],
)
def test_a_configuration_waits_until_a_shared_stage_has_ended(stages, alive, waits, is_doomed):
    running = StartedConfiguration("r1", {"prep": "p", "train": "t2"}, stages, alive)
    assert must_wait(KEYS, [running]) is waits
    assert (doomed_reason(KEYS, [running]) is not None) is is_doomed


def test_a_configuration_does_not_wait_for_a_result_that_exists_although_another_is_about_to_reuse_it():
    ended = StartedConfiguration("r1", {"prep": "p"}, {"prep": OK}, alive=False)
    running = StartedConfiguration("r2", {"prep": "p"}, {}, alive=True)
    assert must_wait(KEYS, [running])
    assert not must_wait(KEYS, [running, ended])


def test_a_configuration_that_shares_no_stage_neither_waits_nor_is_doomed():
    running = StartedConfiguration("r1", {"prep": "q", "train": "t2"}, {}, alive=True)
    assert not must_wait(KEYS, [running])
    assert doomed_reason(KEYS, [StartedConfiguration("r1", {"prep": "q"}, {"prep": FAILED}, alive=False)]) is None
