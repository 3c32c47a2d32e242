"""What is known of a stage before it runs, in words and figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stagebook.costs import bill
from stagebook.formatting import usd
from stagebook.model.pricing import ZERO, Range


@dataclass(frozen=True)
class Forecast:
    """What a stage would compute on, take and cost.

    `engine` is None where it cannot be chosen yet, `engine_reason` empty where it was asked for; `seconds` is None
    without history, `usd` where the stage has no price; `history` says which runs were counted.
    """

    engine: str | None
    engine_reason: str
    seconds: Range | None = None
    usd: Range | None = None
    history: str = ""

    def to_json(self) -> dict[str, Any]:
        engine = {} if self.engine is None else {"engine": self.engine, "engine_why": self.engine_reason}
        return engine | {
            "predicted_seconds": _figures(self.seconds),
            "predicted_usd": _figures(self.usd),
            "history": self.history,
        }

    def to_text(self) -> str:
        """Seconds and cost in one line, with their ranges."""
        if self.seconds is None:
            duration = self.history
        else:
            duration = f"{_about(self.seconds, lambda seconds: f'{seconds:.1f} s')} {self.history}"
        return f"{duration}; {_dollars(self.usd, starting=self.seconds is None)}"


def _figures(figure: Range | None) -> dict[str, float] | None:
    if figure is None:
        return None
    bounds = {"low": figure.low, "likely": figure.likely, "high": figure.high}
    return {name: bill.amount(value) for name, value in bounds.items()}


def _dollars(cost: Range | None, *, starting: bool = False) -> str:
    if cost is None:
        return "no price"
    if starting:
        return f"{usd(cost.likely)} to start its cluster" if cost.likely else "cost unknown"
    return _about(cost, usd)


def _about(figure: Range, to_text: Callable[[Decimal], str]) -> str:
    """The likely figure, and the range where anybody could see one."""
    low, high = to_text(figure.low), to_text(figure.high)
    return f"about {to_text(figure.likely)}" + ("" if low == high else f" ({low} to {high})")


def total(forecasts: Mapping[str, Forecast]) -> str:
    """What all of it costs; empty where nothing has a price."""
    priced = {name: forecast.usd for name, forecast in forecasts.items() if forecast.usd is not None}
    without_history = [name for name in priced if forecasts[name].seconds is None]
    more = f", and what {', '.join(without_history)} will take" if without_history else ""
    return f"{_dollars(sum(priced.values(), ZERO))}{more}" if priced else ""
