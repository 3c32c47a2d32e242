"""The validation gate: its rules, and the verdict on each with figures."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Metric = Literal["roc_auc", "average_precision", "log_loss", "brier", "calibration_error"]

HIGHER_IS_BETTER: dict[Metric, bool] = {
    "roc_auc": True,
    "average_precision": True,
    "log_loss": False,
    "brier": False,
    "calibration_error": False,
}
"""Metrics of a gate → whether a higher value is better."""


@dataclass(frozen=True)
class GateRule:
    """One rule: a metric against a fixed threshold, or against the baseline or the champion.

    With `slices`, the rule holds for each value of these columns that has at least `min_slice_rows` rows.
    """

    metric: str
    threshold: float | None = None
    better_than: Literal["baseline", "champion"] | None = None
    slices: tuple[str, ...] = ()
    min_slice_rows: int = 0


@dataclass(frozen=True)
class RuleVerdict:
    """The verdict of one rule: the model's value, the bound that it was compared with, and whether it passed."""

    rule: str
    metric: str
    value: float | None
    bound: float | None
    passed: bool
    why: str


@dataclass(frozen=True)
class Verdict:
    """The verdict of the gate: it passed if every rule passed."""

    rules: tuple[RuleVerdict, ...]

    @property
    def passed(self) -> bool:
        return all(rule.passed for rule in self.rules)

    def to_json(self) -> dict[str, Any]:
        return {"passed": self.passed, "rules": [asdict(rule) for rule in self.rules]}
