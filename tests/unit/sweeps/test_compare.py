"""From records to one table: figures, savings, the best configuration, the exit status."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from fixtures import run_records

from stagebook.model.pipeline import Paths, Pipeline, Stage, Tracking
from stagebook.model.record import StageStatus
from stagebook.model.sweep import Configuration, ConfigurationList, Objective, Sweep, SweepRun
from stagebook.sweeps.compare import NoSuchMetric, compare, exit_code, metric_value, objective_of

ROOT = Path("/nowhere")
RULES = [
    {"metric": "roc_auc", "threshold": 0.62, "slices": ["origin"]},
    {"metric": "roc_auc", "threshold": 0.62},
    {"metric": "log_loss", "better_than": "baseline"},
]
AUC = Objective("roc_auc", True)


def record(run_id, auc, *, refused=False, reused_from=None):
    """A run whose gate judged `auc`; with `reused_from` it reused the first stage of that run."""
    base = replace(run_records.refused() if refused else run_records.succeeded(), run_id=run_id)
    verdict = {"passed": not refused, "rules": [{"metric": rule["metric"], "value": 0.1} for rule in RULES]}
    verdict["rules"][1]["value"] = auc
    validate = base.stages["validate"]
    base.stages["validate"] = replace(validate, parameters={"gate": RULES}, scraps={**validate.scraps, "gate": verdict})
    base.stages["data_prep"] = run_records.stage(
        "data_prep",
        status=StageStatus.REUSED if reused_from else StageStatus.SUCCEEDED,
        attempts=[] if reused_from else [run_records.attempt(seconds=100.0)],
        reuse={"run_id": reused_from or run_id},
        saved_usd=1.25 if reused_from else None,
    )
    return base


def sweep_run(count, objective=AUC):
    configurations = tuple(Configuration(n, f"r{n}", {"seed": 1, "train.rate": n / 10}) for n in range(1, count + 1))
    return SweepRun("sweep-1", "s", "2026-11-25T00:00:00Z", {"params": ["dev"]}, objective, configurations)


def comparison_of(*records, objective=AUC, codes=None, unstarted=None):
    """The comparison of a sweep run with these records; None is a configuration without a record."""
    records_by_id = {record.run_id: record for record in records if record is not None}
    return compare(sweep_run(len(records), objective), records_by_id.get, codes or {}, unstarted or {})


@pytest.mark.parametrize("objective", [AUC, None])
def test_a_sweep_run_is_restored_from_its_json(objective):
    ended = replace(sweep_run(2, objective), finished_at="2026-11-25T01:00:00Z", exit_code=4)
    assert SweepRun.from_json(json.loads(json.dumps(ended.to_json()))) == ended


def test_the_value_of_a_metric_is_the_one_that_the_gate_judged_without_slices():
    assert metric_value(record("r1", 0.7), "roc_auc") == 0.7
    assert metric_value(record("r1", 0.7), "brier") is None
    assert metric_value(record("r1", 0.7), "train.fit_seconds") == 11.902
    assert metric_value(record("r1", 0.7), "validate.gate.passed") is None  # no number
    assert metric_value(record("r1", 0.7), "nowhere.x") is None


def test_a_comparison_names_the_best_configuration_and_what_reuse_saved():
    comparison = comparison_of(
        record("r1", 0.7), record("r2", 0.74, reused_from="r1"), record("r3", 0.72, reused_from="r1")
    )
    assert comparison.best == 2
    assert comparison.varied == ("train.rate",)
    assert [row.saved_seconds for row in comparison.rows] == [0.0, 100.0, 100.0]
    assert comparison.saved_usd == Decimal("2.5")
    assert comparison.rows[1].reused == ("data_prep",)
    assert exit_code(comparison, None) == 0


def test_a_lower_value_is_better_where_the_objective_says_so():
    lower_is_better = Objective("roc_auc", False)
    assert comparison_of(record("r1", 0.7), record("r2", 0.6), objective=lower_is_better).best == 2


def test_a_model_that_passed_the_gate_is_better_than_any_that_it_refused():
    comparison = comparison_of(record("r1", 0.9, refused=True), record("r2", 0.6))
    assert (comparison.best, [row.status for row in comparison.rows]) == (2, ["gate_refused", "succeeded"])
    assert exit_code(comparison, None) == 0
    all_refused = comparison_of(record("r1", 0.5, refused=True), record("r2", 0.6, refused=True))
    assert (all_refused.best, exit_code(all_refused, None)) == (2, 4)


def test_the_first_of_equal_configurations_is_best_and_none_is_without_a_figure():
    assert comparison_of(record("r1", 0.7), record("r2", 0.7)).best == 1
    assert comparison_of(replace(run_records.failed(), run_id="r1")).best is None
    assert comparison_of(record("r1", 0.7), objective=None).best is None


def test_every_configuration_has_a_row_however_it_ended():
    comparison = comparison_of(
        record("r1", 0.7),
        replace(run_records.failed(), run_id="r2"),
        replace(run_records.interrupted(), run_id="r3"),
        None,
        None,
        None,
        codes={4: 3, 5: 2},
        unstarted={6: "stage 'prep' failed in run r1"},
    )
    assert [row.status for row in comparison.rows] == [
        "succeeded", "failed", "interrupted", "over_budget", "failed", "not_started",
    ]  # fmt: skip
    assert comparison.rows[1].reason == "2 attempts failed"
    assert comparison.rows[5].reason == "stage 'prep' failed in run r1"
    assert exit_code(comparison, None) == 1
    assert exit_code(comparison, 2) == 130
    assert exit_code(comparison_of(record("r1", 0.7), None, codes={2: 76}), None) == 3


def pipeline(gate=()):
    paths = Paths(ROOT, ROOT, ROOT, ROOT)
    return Pipeline("demo", {"fit": Stage("fit", ROOT / "f.py")}, {"gate": list(gate)}, paths, Tracking("u", "e", "m"))


def sweep(metric=None, higher_is_better=None):
    space = ConfigurationList(())
    return Sweep("s", "params/sweeps/s.yaml", space, metric=metric, higher_is_better=higher_is_better)


@pytest.mark.parametrize(
    ("gate", "metric", "higher_is_better", "objective"),
    [
        (RULES[1:], None, None, AUC),
        (RULES[2:], None, None, Objective("log_loss", False)),
        (RULES, "log_loss", None, Objective("log_loss", False)),
        ((), "fit.rmse", False, Objective("fit.rmse", False)),
        ((), "fit.metrics.brier", None, Objective("fit.metrics.brier", False)),
        ((), None, None, None),
    ],
)
def test_the_objective_is_the_metric_of_the_sweep_or_else_the_first_of_the_gate(
    gate, metric, higher_is_better, objective
):
    assert objective_of(sweep(metric, higher_is_better), pipeline(gate)) == objective


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("rocauc", r"s.yaml: metric: the gate has no rule on 'rocauc'. Did you mean 'roc_auc'\?\n.*roc_auc, log_loss"),
        ("fti.rmse", r"there is no stage 'fti'. Did you mean 'fit'\?"),
        ("fit.rmse", r"say by `higher_is_better` whether more of 'fit.rmse' is better"),
    ],
)
def test_a_metric_that_neither_gate_nor_stage_has_is_refused(metric, message):
    with pytest.raises(NoSuchMetric, match=message):
        objective_of(sweep(metric), pipeline(RULES))
