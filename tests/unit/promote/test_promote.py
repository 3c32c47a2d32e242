"""The gate: rules, their verdicts, and promotion only after a passed verdict."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.errors import BadGateRule
from stagebook.model.gate import GateRule
from stagebook.promote import evaluate_gate, parse_rule, promote_if_passed

BASELINE = {"roc_auc": 0.60, "log_loss": 0.50}
CHAMPION = {"roc_auc": 0.66, "log_loss": 0.45}
ORIGINS = [
    {"column": "origin", "value": "EWR", "rows": 9000, "roc_auc": 0.68, "log_loss": 0.44},
    {"column": "origin", "value": "LGA", "rows": 8000, "roc_auc": 0.57, "log_loss": 0.49},
    {"column": "origin", "value": "JFK", "rows": 12, "roc_auc": 0.31, "log_loss": 0.90},
    {"column": "carrier", "value": "OO", "rows": 9000, "roc_auc": 0.10, "log_loss": 2.0},
]


def verdict_on(rule, *, model=None, baseline=BASELINE, champion=CHAMPION, slices=()):
    model = {"roc_auc": 0.67, "log_loss": 0.44} if model is None else model
    return evaluate_gate([rule], model=model, baseline=baseline, champion=champion, slices=slices).rules[0]


@pytest.mark.parametrize(
    ("rule", "model", "passed", "reason"),
    [
        ({"metric": "roc_auc", "threshold": 0.62}, {"roc_auc": 0.67}, True, "0.67 is better than the threshold 0.62"),
        (
            {"metric": "roc_auc", "threshold": 0.62},
            {"roc_auc": 0.62},
            True,
            "0.62 equals the threshold, which is enough",
        ),
        ({"metric": "roc_auc", "threshold": 0.62}, {"roc_auc": 0.61}, False, "0.61 is worse than the threshold 0.62"),
        ({"metric": "log_loss", "threshold": 0.5}, {"log_loss": 0.4}, True, "0.4 is better than the threshold 0.5"),
        ({"metric": "log_loss", "threshold": 0.5}, {"log_loss": 0.6}, False, "0.6 is worse than the threshold 0.5"),
        ({"metric": "roc_auc", "better_than": "baseline"}, {"roc_auc": 0.61}, True, "better than the baseline 0.6"),
        (
            {"metric": "roc_auc", "better_than": "baseline"},
            {"roc_auc": 0.60},
            False,
            "equals the baseline, which is not better",
        ),
        ({"metric": "log_loss", "better_than": "baseline"}, {"log_loss": 0.51}, False, "worse than the baseline 0.5"),
        (
            {"metric": "roc_auc", "better_than": "champion"},
            {"roc_auc": 0.66},
            True,
            "equals the champion, which is enough",
        ),
        ({"metric": "roc_auc", "better_than": "champion"}, {"roc_auc": 0.6599}, False, "worse than the champion 0.66"),
        ({"metric": "log_loss", "better_than": "champion"}, {"log_loss": 0.40}, True, "better than the champion 0.45"),
    ],
)
def test_a_rule_compares_the_figure_with_its_bound(rule, model, passed, reason):
    verdict = verdict_on(rule, model=model)
    assert verdict.passed is passed
    assert reason in verdict.why


@pytest.mark.parametrize("figure", [None, math.nan, math.inf, "0.9", True])
@pytest.mark.parametrize("bound", [{"threshold": 0.1}, {"better_than": "baseline"}, {"better_than": "champion"}])
def test_a_figure_that_is_not_a_finite_number_fails(figure, bound):
    verdict = verdict_on({"metric": "roc_auc", **bound}, model={"roc_auc": figure})
    assert not verdict.passed
    assert verdict.why == "the model has no roc_auc"


def test_a_missing_figure_of_the_baseline_or_the_champion_fails():
    assert (
        verdict_on({"metric": "roc_auc", "better_than": "baseline"}, baseline={}).why == "the baseline has no roc_auc"
    )
    assert (
        verdict_on({"metric": "roc_auc", "better_than": "champion"}, champion={}).why == "the champion has no roc_auc"
    )


def test_without_a_champion_its_rule_passes_and_gives_the_reason():
    verdict = verdict_on({"metric": "roc_auc", "better_than": "champion"}, champion=None)
    assert (verdict.passed, verdict.bound, verdict.why) == (True, None, "no champion yet")


def test_without_a_champion_a_missing_figure_still_fails():
    assert not verdict_on({"metric": "roc_auc", "better_than": "champion"}, model={}, champion=None).passed


def test_the_worst_large_slice_decides_and_is_named():
    rule = {"metric": "roc_auc", "slices": ["origin"], "threshold": 0.58, "min_slice_rows": 1000}
    verdict = verdict_on(rule, slices=ORIGINS)
    assert (verdict.passed, verdict.value, verdict.bound) == (False, 0.57, 0.58)
    assert verdict.why == "worst is origin=LGA (8,000 rows): 0.57 is worse than the threshold 0.58"
    assert verdict.rule == "roc_auc >= 0.58 in each origin of at least 1,000 rows"


def test_for_a_loss_the_worst_slice_is_the_largest_figure():
    rule = {"metric": "log_loss", "slices": ["origin"], "threshold": 0.5, "min_slice_rows": 1000}
    verdict = verdict_on(rule, slices=ORIGINS)
    assert (verdict.passed, verdict.value) == (True, 0.49)


def test_small_slices_are_ignored():
    rule = {"metric": "roc_auc", "slices": ["origin"], "threshold": 0.58, "min_slice_rows": 100_000}
    verdict = verdict_on(rule, slices=ORIGINS)
    assert verdict.passed
    assert "nothing to judge" in verdict.why


def test_a_large_slice_without_the_figure_fails():
    slices = [*ORIGINS, {"column": "origin", "value": "HPN", "rows": 5000, "roc_auc": None}]
    rule = {"metric": "roc_auc", "slices": ["origin"], "threshold": 0.1, "min_slice_rows": 1000}
    verdict = verdict_on(rule, slices=slices)
    assert (verdict.passed, verdict.why) == (False, "origin=HPN (5,000 rows) has no roc_auc")


def test_every_rule_is_evaluated_and_all_must_pass():
    rules = [{"metric": "roc_auc", "threshold": 0.99}, GateRule("log_loss", better_than="baseline")]
    verdict = evaluate_gate(
        rules, model={"roc_auc": 0.67, "log_loss": 0.44}, baseline=BASELINE, champion=None, slices=()
    )
    assert [rule.passed for rule in verdict.rules] == [False, True]
    assert not verdict.passed
    assert [rule.rule for rule in verdict.rules] == ["roc_auc >= 0.99", "log_loss better than baseline"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"metric": "roc_auk", "threshold": 1}, r"no metric 'roc_auk'\. Did you mean 'roc_auc'\?"),
        ({"metric": "roc_auc", "thresholds": 1}, r"no key 'thresholds'\. Did you mean 'threshold'\?"),
        ({"metric": "roc_auc", "better_than": "champ"}, r"cannot be 'champ'\. Did you mean 'champion'\?"),
        ({"metric": "roc_auc"}, "either threshold or better_than"),
        ({"threshold": 0.6}, "no metric 'None'"),
        ({"metric": "roc_auc", "threshold": 0.6, "better_than": "baseline"}, "either threshold or better_than"),
        ({"metric": "roc_auc", "threshold": math.nan}, "not a finite number"),
        ({"metric": "roc_auc", "threshold": "0.6"}, "not a finite number"),
        ({"metric": "roc_auc", "threshold": 0.6, "slices": "origin"}, "list of column names"),
        ({"metric": "roc_auc", "better_than": "baseline", "slices": ["origin"]}, "not with another model"),
        ({"metric": "roc_auc", "threshold": 0.6, "min_slice_rows": -1}, "whole number from 0 on"),
        (
            {"metric": "roc_auc", "threshold": 0.6, "slices": ["origins"]},
            r"no slices by 'origins'\. Did you mean 'origin'\?",
        ),
    ],
)
def test_an_invalid_rule_is_refused(rule, message):
    with pytest.raises(BadGateRule, match=message):
        verdict_on(rule, slices=ORIGINS)


def test_an_empty_gate_is_refused():
    with pytest.raises(BadGateRule, match="a gate without rules would let every model pass"):
        evaluate_gate([], model={}, baseline={}, champion=None, slices=())


def test_a_rule_object_is_checked_like_a_mapping():
    assert parse_rule({"metric": "brier", "threshold": 1, "slices": ["a"]}) == GateRule("brier", 1.0, None, ("a",), 0)
    with pytest.raises(BadGateRule, match="either threshold or better_than"):
        parse_rule(GateRule("brier"))


FIGURES = st.floats(0, 1)


@given(model=FIGURES, baseline=FIGURES)
def test_of_two_models_at_most_one_is_better_than_the_other(model, baseline):
    rule = {"metric": "log_loss", "better_than": "baseline"}
    passed = verdict_on(rule, model={"log_loss": model}, baseline={"log_loss": baseline}).passed
    passed_with_roles_swapped = verdict_on(rule, model={"log_loss": baseline}, baseline={"log_loss": model}).passed
    assert not (passed and passed_with_roles_swapped)
    assert passed is (model < baseline)


class FakeRegistry:
    def __init__(self):
        self.promoted = []

    def promote(self, name, version):
        self.promoted.append((name, version))


@pytest.mark.parametrize(("threshold", "promoted"), [(0.5, [("m", "3")]), (0.9, [])])
def test_only_a_passed_verdict_promotes(threshold, promoted):
    registry = FakeRegistry()
    verdict = evaluate_gate(
        [{"metric": "roc_auc", "threshold": threshold}], model={"roc_auc": 0.6}, baseline={}, champion=None
    )
    assert promote_if_passed(verdict, registry, "m", "3") is bool(promoted)
    assert registry.promoted == promoted
