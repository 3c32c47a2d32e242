"""What is known of a stage before it runs, in words and figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stagebook.cost import bill
from stagebook.model.pricing import NOTHING, Range
from stagebook.report.words import usd


@dataclass(frozen=True)
class Forecast:
    """What a stage would compute on, take and cost.

    `engine` is None where it cannot be told yet, `why` empty where it was asked for; `seconds` is None without
    history, `usd` where the stage has no price; `history` says which runs tell.
    """

    engine: str | None
    why: str
    seconds: Range | None = None
    usd: Range | None = None
    history: str = ""

    def to_json(self) -> dict[str, Any]:
        engine = {} if self.engine is None else {"engine": self.engine, "engine_why": self.why}
        return engine | {
            "predicted_seconds": _figures(self.seconds),
            "predicted_usd": _figures(self.usd),
            "history": self.history,
        }

    def to_text(self) -> str:
        """Seconds and cost in one line, with their ranges."""
        if self.seconds is None:
            took = self.history
        else:
            took = f"{_about(self.seconds, lambda seconds: f'{seconds:.1f} s')} {self.history}"
        return f"{took}; {_dollars(self.usd, starting=self.seconds is None)}"


def _figures(found: Range | None) -> dict[str, float] | None:
    if found is None:
        return None
    rounded = {"low": found.low, "likely": found.likely, "high": found.high}
    return {name: bill.amount(value) for name, value in rounded.items()}


def _dollars(cost: Range | None, *, starting: bool = False) -> str:
    if cost is None:
        return "no price"
    if starting:
        return f"{usd(cost.likely)} to start its cluster" if cost.likely else "cost unknown"
    return _about(cost, usd)


def _about(found: Range, shown: Callable[[Decimal], str]) -> str:
    """The likely figure, and the range where anybody could see one."""
    low, high = shown(found.low), shown(found.high)
    return f"about {shown(found.likely)}" + ("" if low == high else f" ({low} to {high})")


def total(forecasts: Mapping[str, Forecast]) -> str:
    """What all of it costs; empty where nothing has a price."""
    priced = {name: forecast.usd for name, forecast in forecasts.items() if forecast.usd is not None}
    untold = [name for name in priced if forecasts[name].seconds is None]
    more = f", and what {', '.join(untold)} will take" if untold else ""
    return f"{_dollars(sum(priced.values(), NOTHING))}{more}" if priced else ""
