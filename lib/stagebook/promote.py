"""The validation gate: compare a model's metrics with rules, and make it the champion only if every rule passes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, get_args

from stagebook.errors import BadGateRule
from stagebook.model.gate import HIGHER_IS_BETTER, GateRule, Metric, RuleVerdict, Verdict

if TYPE_CHECKING:
    from stagebook.tracking.registry import Registry

_HIGHER: dict[str, bool] = {**HIGHER_IS_BETTER}

Metrics = Mapping[str, float | None]
Slices = Sequence[Mapping[str, Any]]


def evaluate_gate(
    rules: Sequence[GateRule | Mapping[str, Any]],
    *,
    model: Metrics,
    baseline: Metrics,
    champion: Metrics | None,
    slices: Slices = (),
) -> Verdict:
    """The gate's verdict on a model, with a verdict for each rule; it passes only if every rule passes.

    The model must be strictly better than the baseline, and not worse than the champion. An equal figure passes
    against the champion, so that the champion itself can be validated again. A rule about the champion passes while
    there is none. A rule fails if its metric is missing or not a number.

    Args:
        rules: at least one; mappings have the keys of `GateRule`.
        model, baseline, champion: metric → figure, all over the same rows.
        slices: per slice of the model's rows `column`, `value`, `rows` and its metrics.
    Raises:
        BadGateRule: there are no rules, a rule names a metric, key or slice that does not exist, or a rule does not
            have exactly one of `threshold` and `better_than`.
    """
    if not rules:
        raise BadGateRule.of("list", "it is empty, and a gate without rules would let every model pass")
    parsed = [parse_rule(rule) for rule in rules]
    return Verdict(tuple(_evaluate_rule(rule, model, baseline, champion, slices) for rule in parsed))


def promote_if_passed(verdict: Verdict, registry: "Registry", name: str, version: str) -> bool:
    """Make this version the champion if the gate's verdict passed; return whether it did."""
    if verdict.passed:
        registry.promote(name, version)
    return verdict.passed


def parse_rule(value: GateRule | Mapping[str, Any]) -> GateRule:
    """A checked rule, from a `GateRule` or from a mapping with its keys.

    Raises:
        BadGateRule: see `evaluate_gate`.
    """
    rule = asdict(value) if isinstance(value, GateRule) else dict(value)
    keys = [field.name for field in fields(GateRule)]
    for key in rule:
        if key not in keys:
            raise BadGateRule.of(rule, f"there is no key '{key}'", name=str(key), allowed=keys)
    metric, reference = rule.get("metric"), rule.get("better_than")
    if metric not in _HIGHER:
        raise BadGateRule.of(rule, f"there is no metric '{metric}'", name=str(metric), allowed=get_args(Metric))
    if reference not in (None, "baseline", "champion"):
        problem = f"better_than cannot be '{reference}'"
        raise BadGateRule.of(rule, problem, name=str(reference), allowed=("baseline", "champion"))
    if (rule.get("threshold") is None) == (reference is None):
        raise BadGateRule.of(rule, "give either threshold or better_than")
    return GateRule(
        metric=metric,
        threshold=_threshold(rule),
        better_than=reference,
        slices=_slice_columns(rule),
        min_slice_rows=_min_slice_rows(rule),
    )


def _threshold(rule: Mapping[str, Any]) -> float | None:
    value = rule.get("threshold")
    if value is None:
        return None
    if _number(value) is None:
        raise BadGateRule.of(rule, f"the threshold {value!r} is not a finite number")
    return float(value)


def _slice_columns(rule: Mapping[str, Any]) -> tuple[str, ...]:
    value = rule.get("slices") or ()
    if not isinstance(value, list | tuple) or not all(isinstance(column, str) for column in value):
        raise BadGateRule.of(rule, "slices must be a list of column names")
    if value and rule.get("threshold") is None:
        raise BadGateRule.of(rule, "slices are compared with a threshold, not with another model")
    return tuple(value)


def _min_slice_rows(rule: Mapping[str, Any]) -> int:
    value = rule.get("min_slice_rows") or 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadGateRule.of(rule, f"min_slice_rows must be a whole number from 0 on, not {value!r}")
    return value


def _evaluate_rule(
    rule: GateRule, model: Metrics, baseline: Metrics, champion: Metrics | None, slices: Slices
) -> RuleVerdict:
    value = _number(model.get(rule.metric))
    if rule.slices:
        return _evaluate_slices(rule, slices)
    if rule.threshold is not None:
        return _compare(rule, _condition(rule), value, rule.threshold, "the threshold", equal_passes=True)
    if rule.better_than == "baseline":
        bound = _number(baseline.get(rule.metric))
        return _compare(rule, f"{rule.metric} better than baseline", value, bound, "the baseline", equal_passes=False)
    text = f"{rule.metric} not worse than champion"
    if champion is None:
        return RuleVerdict(text, rule.metric, value, None, value is not None, _no_champion(value))
    bound = _number(champion.get(rule.metric))
    return _compare(rule, text, value, bound, "the champion", equal_passes=True)


def _compare(
    rule: GateRule, text: str, value: float | None, bound: float | None, bound_name: str, *, equal_passes: bool
) -> RuleVerdict:
    """The verdict on one figure compared with one bound."""
    if value is None or bound is None:
        missing_from = "the model" if value is None else bound_name
        return RuleVerdict(text, rule.metric, value, bound, False, f"{missing_from} has no {rule.metric}")
    lead = value - bound if _HIGHER[rule.metric] else bound - value
    if lead == 0:
        consequence = "which is enough" if equal_passes else "which is not better"
        reason = f"{value:.6g} equals {bound_name}, {consequence}"
    else:
        reason = f"{value:.6g} is {'better' if lead > 0 else 'worse'} than {bound_name} {bound:.6g}"
    return RuleVerdict(text, rule.metric, value, bound, lead > 0 or (lead == 0 and equal_passes), reason)


def _evaluate_slices(rule: GateRule, slices: Slices) -> RuleVerdict:
    """The verdict on the worst slice among those that are large enough."""
    columns = ", ".join(rule.slices)
    text = f"{_condition(rule)} in each {columns} of at least {rule.min_slice_rows:,} rows"
    available = list(dict.fromkeys(str(row["column"]) for row in slices))
    for column in rule.slices:
        if column not in available:
            raise BadGateRule.of(asdict(rule), f"there are no slices by '{column}'", name=column, allowed=available)
    large = [row for row in slices if row["column"] in rule.slices and row["rows"] >= rule.min_slice_rows]
    if not large:
        reason = f"no slice by {columns} has {rule.min_slice_rows:,} rows: nothing to judge"
        return RuleVerdict(text, rule.metric, None, rule.threshold, True, reason)
    worst = min(large, key=lambda row: _goodness(rule, row))
    value = _number(worst.get(rule.metric))
    name = f"{worst['column']}={worst['value']} ({worst['rows']:,} rows)"
    if value is None:
        return RuleVerdict(text, rule.metric, None, rule.threshold, False, f"{name} has no {rule.metric}")
    verdict = _compare(rule, text, value, rule.threshold, "the threshold", equal_passes=True)
    return RuleVerdict(text, rule.metric, value, rule.threshold, verdict.passed, f"worst is {name}: {verdict.why}")


def _goodness(rule: GateRule, slice_row: Mapping[str, Any]) -> float:
    """The slice's figure, negated where smaller is better; minus infinity if it has none."""
    value = _number(slice_row.get(rule.metric))
    if value is None:
        return -math.inf
    return value if _HIGHER[rule.metric] else -value


def _condition(rule: GateRule) -> str:
    return f"{rule.metric} {'>=' if _HIGHER[rule.metric] else '<='} {rule.threshold:g}"


def _no_champion(value: float | None) -> str:
    return "the model has no such figure" if value is None else "no champion yet"


def _number(value: Any) -> float | None:
    """The value as a finite number, or None if it is not one."""
    if value is None or isinstance(value, bool | str):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
