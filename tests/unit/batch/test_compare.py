"""From records to one table: figures, what was saved, the best configuration, the exit status."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from fixtures import records

from stagebook.batch.compare import NoSuchMetric, compare, exit_code, figure, goal_of
from stagebook.model.batch import Batch, Configuration, Goal, Listed, Sweep
from stagebook.model.pipeline import Pipeline, Places, Stage, Tracking
from stagebook.model.record import StageStatus

ROOT = Path("/nowhere")
RULES = [
    {"metric": "roc_auc", "threshold": 0.62, "slices": ["origin"]},
    {"metric": "roc_auc", "threshold": 0.62},
    {"metric": "log_loss", "better_than": "baseline"},
]
AUC = Goal("roc_auc", True)


def record(run_id, auc, *, refused=False, prep=None):
    """A run whose gate judged `auc`; with `prep` it took the first stage over from that run."""
    found = replace(records.refused() if refused else records.succeeded(), run_id=run_id)
    verdict = {"passed": not refused, "rules": [{"metric": rule["metric"], "value": 0.1} for rule in RULES]}
    verdict["rules"][1]["value"] = auc
    validate = found.stages["validate"]
    found.stages["validate"] = replace(
        validate, parameters={"gate": RULES}, scraps={**validate.scraps, "gate": verdict}
    )
    found.stages["data_prep"] = records.stage(
        "data_prep",
        status=StageStatus.REUSED if prep else StageStatus.SUCCEEDED,
        attempts=[] if prep else [records.attempt(seconds=100.0)],
        reuse={"run_id": prep or run_id},
        saved_usd=1.25 if prep else None,
    )
    return found


def batch(count, goal=AUC):
    found = tuple(Configuration(n, f"r{n}", {"seed": 1, "train.rate": n / 10}) for n in range(1, count + 1))
    return Batch("b", "s", "2026-11-25T00:00:00Z", {}, goal, found)


def compared(*found, goal=AUC, codes=None, unstarted=None):
    known = {one.run_id: one for one in found if one is not None}
    return compare(batch(len(found), goal), known.get, codes or {}, unstarted or {})


def test_the_figure_is_what_the_gate_judged_on_the_whole():
    assert figure(record("r1", 0.7), "roc_auc") == 0.7
    assert figure(record("r1", 0.7), "brier") is None
    assert figure(record("r1", 0.7), "train.fit_seconds") == 11.902
    assert figure(record("r1", 0.7), "validate.gate.passed") is None  # no number
    assert figure(record("r1", 0.7), "nowhere.x") is None


def test_the_best_is_named_and_what_was_reused_is_told():
    found = compared(record("r1", 0.7), record("r2", 0.74, prep="r1"), record("r3", 0.72, prep="r1"))
    assert found.best == 2
    assert found.varied == ("train.rate",)
    assert [row.saved_seconds for row in found.rows] == [0.0, 100.0, 100.0]
    assert found.saved_usd == Decimal("2.5")
    assert found.rows[1].reused == ("data_prep",)
    assert exit_code(found, None) == 0


def test_less_is_better_where_the_goal_says_so():
    goal = Goal("roc_auc", False)
    assert compared(record("r1", 0.7), record("r2", 0.6), goal=goal).best == 2


def test_what_the_gate_let_pass_is_better_than_what_it_refused():
    found = compared(record("r1", 0.9, refused=True), record("r2", 0.6))
    assert (found.best, [row.status for row in found.rows]) == (2, ["gate_refused", "succeeded"])
    assert exit_code(found, None) == 0
    refused = compared(record("r1", 0.5, refused=True), record("r2", 0.6, refused=True))
    assert (refused.best, exit_code(refused, None)) == (2, 4)


def test_the_first_of_equals_is_best_and_none_where_none_has_a_figure():
    assert compared(record("r1", 0.7), record("r2", 0.7)).best == 1
    assert compared(replace(records.failed(), run_id="r1")).best is None
    assert compared(record("r1", 0.7), goal=None).best is None


def test_every_configuration_has_a_row_whatever_became_of_it():
    found = compared(
        record("r1", 0.7),
        replace(records.failed(), run_id="r2"),
        replace(records.interrupted(), run_id="r3"),
        None,
        None,
        None,
        codes={4: 3, 5: 2},
        unstarted={6: "stage 'prep' failed in run r1"},
    )
    assert [row.status for row in found.rows] == [
        "succeeded", "failed", "interrupted", "over_budget", "failed", "not_started",
    ]  # fmt: skip
    assert found.rows[1].why == "2 attempts failed"
    assert found.rows[5].why == "stage 'prep' failed in run r1"
    assert exit_code(found, None) == 1
    assert exit_code(found, 2) == 130
    assert exit_code(compared(record("r1", 0.7), None, codes={2: 76}), None) == 3


def pipeline(gate=()):
    places = Places(ROOT, ROOT, ROOT, ROOT)
    return Pipeline("demo", {"fit": Stage("fit", ROOT / "f.py")}, {"gate": list(gate)}, places, Tracking("u", "e", "m"))


def sweep(metric=None, higher=None):
    return Sweep("s", "params/sweeps/s.yaml", Listed(()), metric=metric, higher_is_better=higher)


@pytest.mark.parametrize(
    ("gate", "metric", "higher", "goal"),
    [
        (RULES[1:], None, None, AUC),
        (RULES[2:], None, None, Goal("log_loss", False)),
        (RULES, "log_loss", None, Goal("log_loss", False)),
        ((), "fit.rmse", False, Goal("fit.rmse", False)),
        ((), "fit.metrics.brier", None, Goal("fit.metrics.brier", False)),
        ((), None, None, None),
    ],
)
def test_the_gate_says_what_is_compared_and_which_way(gate, metric, higher, goal):
    assert goal_of(sweep(metric, higher), pipeline(gate)) == goal


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("rocauc", r"s.yaml: metric: the gate has no rule on 'rocauc'. Did you mean 'roc_auc'\?\n.*roc_auc, log_loss"),
        ("fti.rmse", r"there is no stage 'fti'. Did you mean 'fit'\?"),
        ("fit.rmse", r"say by `higher_is_better` whether more of 'fit.rmse' is better"),
    ],
)
def test_a_metric_that_nobody_gives_is_refused(metric, why):
    with pytest.raises(NoSuchMetric, match=why):
        goal_of(sweep(metric), pipeline(RULES))
