"""What a plan consists of: a step for each stage, and the words for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from stagebook.planner.forecast import Forecast, total

Action = Literal["run", "reuse", "skip", "keep"]


@dataclass(frozen=True)
class Step:
    """What happens to one stage. `result` is what an earlier run left, for `reuse`.

    `may_reuse`: a stage that is to run is looked up once more when its upstream stages have ended. `more` are further
    reasons.
    """

    action: Action
    reason: str
    result: Mapping[str, Any] = field(default_factory=dict)
    may_reuse: bool = False
    more: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """All reasons, the most telling first."""
        return (self.reason, *self.more)

    @property
    def brief(self) -> str:
        """The first reasons in one line, and how many more there are."""
        return "; ".join(_first(self.reasons))


MOST_REASONS = 3


def _first(reasons: Sequence[str]) -> list[str]:
    remaining = len(reasons) - MOST_REASONS
    return [*reasons[:MOST_REASONS], *([f"and {remaining} more"] if remaining > 0 else [])]


@dataclass(frozen=True)
class Plan:
    """A step for each stage, in the order in which they would run; and the tables' versions as of now."""

    steps: Mapping[str, Step]
    pins: Mapping[str, int]

    @property
    def running(self) -> list[str]:
        """The stages that are to run, in order."""
        return [name for name, step in self.steps.items() if step.action == "run"]

    @property
    def reasons(self) -> dict[str, str]:
        """Why each stage runs, or does not."""
        return {name: step.brief for name, step in self.steps.items()}

    @property
    def may_reuse(self) -> frozenset[str]:
        """The stages that are to run unless their upstream stages give what they gave before."""
        return frozenset(name for name, step in self.steps.items() if step.may_reuse)

    def to_json(self, forecasts: Mapping[str, Forecast] = MappingProxyType({})) -> dict[str, Any]:
        """Stage → `action`, `why`, all `reasons`, and what is forecast of it."""
        stages: dict[str, dict[str, Any]] = {
            name: {"action": step.action, "why": step.brief, "reasons": list(step.reasons)}
            for name, step in self.steps.items()
        }
        for name, forecast in forecasts.items():
            stages[name] |= forecast.to_json()
        return stages

    def to_text(self, forecasts: Mapping[str, Forecast] = MappingProxyType({}), *, all_reasons: bool = False) -> str:
        """What happens to each stage, and why; below that why its engine, how long, at which cost.

        Args: all_reasons: also those after the first three.
        """
        width = max(map(len, self.steps))
        lines = []
        for name, step in self.steps.items():
            forecast = forecasts.get(name)
            engine = f"on {forecast.engine}: " if forecast and forecast.engine else ""
            first, *more = step.reasons if all_reasons else _first(step.reasons)
            lines.append(f"{name:{width}}  {step.action:5}  {engine}{first}")
            lines += [f"{'':{width}}         {reason}" for reason in more]
            if forecast and forecast.engine_reason:
                lines.append(f"{'':{width}}         {forecast.engine_reason}")
            if forecast and forecast.history:
                lines.append(f"{'':{width}}         {forecast.to_text()}")
        if cost := total(forecasts):
            lines.append(f"{'cost':{width}}  {cost}")
        return "\n".join(lines)
