"""The validation gate: rules held against metrics, and a champion only if all of them pass."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, get_args

from stagebook.errors import BadGateRule
from stagebook.model.gate import HIGHER_IS_BETTER, GateRule, Metric, RuleVerdict, Verdict

if TYPE_CHECKING:
    from stagebook.track.registry import Registry

_HIGHER: dict[str, bool] = {**HIGHER_IS_BETTER}

Metrics = Mapping[str, float | None]
Slices = Sequence[Mapping[str, Any]]


def judge(
    rules: Sequence[GateRule | Mapping[str, Any]],
    *,
    model: Metrics,
    baseline: Metrics,
    champion: Metrics | None,
    slices: Slices = (),
) -> Verdict:
    """What each rule says of a model; it passes only if every rule passes.

    The model must be strictly better than the baseline, and not worse than the champion: equal figures
    pass there, so that the champion itself can be validated again. Without a champion such a rule passes.
    A metric that is missing or not a number fails its rule.

    Args:
        rules: at least one; mappings have the keys of `GateRule`.
        model, baseline, champion: metric → figure, all over the same rows.
        slices: per slice of the model's rows `column`, `value`, `rows` and its metrics.
    Raises:
        BadGateRule: if a rule names what does not exist, or says nothing or two things at once.
    """
    if not rules:
        raise BadGateRule.of("list", "it is empty, and a gate without rules would let every model pass")
    parsed = [rule_of(rule) for rule in rules]
    return Verdict(tuple(_judge(rule, model, baseline, champion, slices) for rule in parsed))


def decide(verdict: Verdict, registry: "Registry", name: str, version: str) -> bool:
    """Make this version the champion if the verdict passed; says whether it did."""
    if verdict.passed:
        registry.promote(name, version)
    return verdict.passed


def rule_of(value: GateRule | Mapping[str, Any]) -> GateRule:
    """A checked rule, from one or from a mapping with the keys of `GateRule`.

    Raises:
        BadGateRule: see `judge`.
    """
    given = asdict(value) if isinstance(value, GateRule) else dict(value)
    known = [field.name for field in fields(GateRule)]
    for key in given:
        if key not in known:
            raise BadGateRule.of(given, f"there is no key '{key}'", name=str(key), allowed=known)
    metric, other = given.get("metric"), given.get("better_than")
    if metric not in _HIGHER:
        raise BadGateRule.of(given, f"there is no metric '{metric}'", name=str(metric), allowed=get_args(Metric))
    if other not in (None, "baseline", "champion"):
        why = f"better_than cannot be '{other}'"
        raise BadGateRule.of(given, why, name=str(other), allowed=("baseline", "champion"))
    if (given.get("threshold") is None) == (other is None):
        raise BadGateRule.of(given, "give either threshold or better_than")
    return GateRule(
        metric=metric,
        threshold=_threshold(given),
        better_than=other,
        slices=_slice_columns(given),
        min_slice_rows=_min_slice_rows(given),
    )


def _threshold(given: Mapping[str, Any]) -> float | None:
    value = given.get("threshold")
    if value is None:
        return None
    if _number(value) is None:
        raise BadGateRule.of(given, f"the threshold {value!r} is no finite number")
    return float(value)


def _slice_columns(given: Mapping[str, Any]) -> tuple[str, ...]:
    value = given.get("slices") or ()
    if not isinstance(value, list | tuple) or not all(isinstance(column, str) for column in value):
        raise BadGateRule.of(given, "slices must be a list of column names")
    if value and given.get("threshold") is None:
        raise BadGateRule.of(given, "slices are held against a threshold, not against another model")
    return tuple(value)


def _min_slice_rows(given: Mapping[str, Any]) -> int:
    value = given.get("min_slice_rows") or 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadGateRule.of(given, f"min_slice_rows must be a whole number from 0 on, not {value!r}")
    return value


def _judge(rule: GateRule, model: Metrics, baseline: Metrics, champion: Metrics | None, slices: Slices) -> RuleVerdict:
    value = _number(model.get(rule.metric))
    if rule.slices:
        return _judge_slices(rule, slices)
    if rule.threshold is not None:
        return _held(rule, _wanted(rule), value, rule.threshold, "the threshold", equal_passes=True)
    if rule.better_than == "baseline":
        bound = _number(baseline.get(rule.metric))
        return _held(rule, f"{rule.metric} better than baseline", value, bound, "the baseline", equal_passes=False)
    text = f"{rule.metric} not worse than champion"
    if champion is None:
        return RuleVerdict(text, rule.metric, value, None, value is not None, _no_champion(value))
    bound = _number(champion.get(rule.metric))
    return _held(rule, text, value, bound, "the champion", equal_passes=True)


def _held(
    rule: GateRule, text: str, value: float | None, bound: float | None, what: str, *, equal_passes: bool
) -> RuleVerdict:
    """The verdict on one figure against one bound."""
    if value is None or bound is None:
        whose = "the model" if value is None else what
        return RuleVerdict(text, rule.metric, value, bound, False, f"{whose} has no {rule.metric}")
    ahead = value - bound if _HIGHER[rule.metric] else bound - value
    if ahead == 0:
        tail = "which is enough" if equal_passes else "which is not better"
        why = f"{value:.6g} equals {what}, {tail}"
    else:
        why = f"{value:.6g} is {'better' if ahead > 0 else 'worse'} than {what} {bound:.6g}"
    return RuleVerdict(text, rule.metric, value, bound, ahead > 0 or (ahead == 0 and equal_passes), why)


def _judge_slices(rule: GateRule, slices: Slices) -> RuleVerdict:
    """The verdict on the worst slice among those that are large enough."""
    columns = ", ".join(rule.slices)
    text = f"{_wanted(rule)} in each {columns} of at least {rule.min_slice_rows:,} rows"
    known = list(dict.fromkeys(str(part["column"]) for part in slices))
    for column in rule.slices:
        if column not in known:
            raise BadGateRule.of(asdict(rule), f"there are no slices by '{column}'", name=column, allowed=known)
    judged = [part for part in slices if part["column"] in rule.slices and part["rows"] >= rule.min_slice_rows]
    if not judged:
        why = f"no slice by {columns} has {rule.min_slice_rows:,} rows: nothing to judge"
        return RuleVerdict(text, rule.metric, None, rule.threshold, True, why)
    worst = min(judged, key=lambda part: _goodness(rule, part))
    value = _number(worst.get(rule.metric))
    where = f"{worst['column']}={worst['value']} ({worst['rows']:,} rows)"
    if value is None:
        return RuleVerdict(text, rule.metric, None, rule.threshold, False, f"{where} has no {rule.metric}")
    held = _held(rule, text, value, rule.threshold, "the threshold", equal_passes=True)
    return RuleVerdict(text, rule.metric, value, rule.threshold, held.passed, f"worst is {where}: {held.why}")


def _goodness(rule: GateRule, part: Mapping[str, Any]) -> float:
    value = _number(part.get(rule.metric))
    if value is None:
        return -math.inf
    return value if _HIGHER[rule.metric] else -value


def _wanted(rule: GateRule) -> str:
    return f"{rule.metric} {'>=' if _HIGHER[rule.metric] else '<='} {rule.threshold:g}"


def _no_champion(value: float | None) -> str:
    return "the model has no such figure" if value is None else "no champion yet"


def _number(value: Any) -> float | None:
    """A finite number, or None for whatever is not one."""
    if value is None or isinstance(value, bool | str):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
