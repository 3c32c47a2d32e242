"""Which configurations have to wait for another's stages, and which would only fail as another has."""

from pathlib import Path

import pytest

from stagebook.batch.sharing import Begun, keys, shared, spoiled, waits
from stagebook.model.pipeline import Pipeline, Places, Stage, Tracking
from stagebook.model.record import StageStatus
from stagebook.run.request import RunRequest

OK, RUNS, FAILED = StageStatus.SUCCEEDED, StageStatus.RUNNING, StageStatus.FAILED
ROOT = Path("/nowhere")


def pipeline(prep=0, train=0, side=0, **changes):
    stages = {
        "prep": Stage("prep", ROOT / "p.py", parameters={"x": prep}),
        "train": Stage("train", ROOT / "t.py", ("prep",), {"x": train, "y": "{{tasks.prep.values.y}}"}, **changes),
        "side": Stage("side", ROOT / "s.py", parameters={"x": side}),
    }
    return Pipeline("demo", stages, {}, Places(ROOT, ROOT, ROOT, ROOT), Tracking("u", "e", "m"))


def test_a_stage_is_the_same_only_if_all_before_it_are():
    request = RunRequest()
    first, second, third = (keys(pipeline(**one), request) for one in ({}, {"train": 1}, {"prep": 1}))
    assert first["prep"] == second["prep"] != third["prep"]
    assert len({first["train"], second["train"], third["train"]}) == 3
    assert first["side"] == second["side"] == third["side"]


def test_only_stages_that_run_and_may_be_reused_are_shared():
    assert list(keys(pipeline(), RunRequest(last=("train",)))) == ["prep", "train"]
    found = keys(pipeline(reuse=False), RunRequest())
    assert list(shared(found, pipeline(reuse=False), RunRequest())) == ["prep", "side"]
    assert shared(found, pipeline(), RunRequest(reuse=False)) == {}


KEYS = {"prep": "p", "train": "t1"}


@pytest.mark.parametrize(
    ("stages", "alive", "wait", "spoils"),
    [
        ({}, True, True, False),
        ({"prep": RUNS}, True, True, False),
        ({"prep": OK, "train": RUNS}, True, False, False),
        ({"prep": StageStatus.REUSED}, True, False, False),
        ({"prep": StageStatus.SKIPPED}, True, False, False),
        ({"prep": FAILED}, True, True, False),  # it may be a retry that is under way
        ({"prep": FAILED}, False, False, True),
        ({"prep": OK, "train": FAILED}, False, False, False),
        ({}, False, False, False),
    ],
)
def test_a_configuration_waits_until_what_it_shares_is_there(stages, alive, wait, spoils):
    other = Begun("r1", {"prep": "p", "train": "t2"}, stages, alive)
    assert waits(KEYS, [other]) is wait
    assert (spoiled(KEYS, [other]) is not None) is spoils


def test_nobody_waits_for_what_is_there_although_another_is_about_to_take_it_over():
    first = Begun("r1", {"prep": "p"}, {"prep": OK}, alive=False)
    second = Begun("r2", {"prep": "p"}, {}, alive=True)
    assert waits(KEYS, [second])
    assert not waits(KEYS, [second, first])


def test_who_shares_nothing_waits_for_nobody():
    other = Begun("r1", {"prep": "q", "train": "t2"}, {}, alive=True)
    assert not waits(KEYS, [other])
    assert spoiled(KEYS, [Begun("r1", {"prep": "q"}, {"prep": FAILED}, alive=False)]) is None
