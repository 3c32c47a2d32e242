"""The validation gate: rules in the parameter file, verdicts with figures."""

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
"""Metrics a gate may name → whether a larger value is the better one."""


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
    """What one rule says: the model's figure, what it was held against, and whether it passed."""

    rule: str
    metric: str
    value: float | None
    bound: float | None
    passed: bool
    why: str


@dataclass(frozen=True)
class Verdict:
    """The gate's answer: passed only if every rule passed."""

    rules: tuple[RuleVerdict, ...]

    @property
    def passed(self) -> bool:
        return all(rule.passed for rule in self.rules)

    def to_json(self) -> dict[str, Any]:
        return {"passed": self.passed, "rules": [asdict(rule) for rule in self.rules]}
