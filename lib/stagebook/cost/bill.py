"""The bill of a run: a pure function of its record, so that whoever shows it shows the same cents.

A charge is what one attempt is billed within one hour of the clock. Its amounts are rounded to a
millionth of a dollar, line by line, as SQL engines do with `DECIMAL(38,18)`; every total is a sum of charges.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

from stagebook.cost.clusters import HOUR, SECOND, Busy, Kind, Piece, pieces
from stagebook.model.pricing import NOTHING, Item, Range, Rate
from stagebook.model.record import Attempt, AttemptStatus, Leg, RunRecord, StageRecord

CURRENCY = "USD"
MICRO = Decimal("0.000001")
QUANTITY = Decimal("0.000000000001")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    """Units of one item, and US dollars for them."""

    item: Item
    quantity: Decimal
    usd: Range


@dataclass(frozen=True)
class Charge:
    """What one attempt is billed for one kind of time within one hour of the clock."""

    stage: str
    attempt: int
    kind: Kind
    profile: str
    leg: int
    start: datetime
    end: datetime
    lines: tuple[Line, ...]

    @property
    def usd(self) -> Range:
        return sum((line.usd for line in self.lines), NOTHING)


@dataclass(frozen=True)
class Split:
    """US dollars by what they were spent on; `saved` is what reused results had cost."""

    useful: Range = NOTHING
    wasted: Range = NOTHING
    idle: Range = NOTHING
    saved: Decimal = Decimal(0)

    @property
    def total(self) -> Range:
        return self.useful + self.wasted + self.idle

    def to_json(self) -> dict[str, Any]:
        """As `cost` in `run.json`."""
        total = self.total
        return {
            "estimated_usd": amount(total.likely),
            "low_usd": amount(total.low),
            "high_usd": amount(total.high),
            "useful_usd": amount(self.useful.likely),
            "wasted_usd": amount(self.wasted.likely),
            "idle_usd": amount(self.idle.likely),
            "saved_usd": amount(self.saved),
            "currency": CURRENCY,
        }


@dataclass(frozen=True)
class Bill:
    """All charges of a run, what reuse saved by stage, why stages cost nothing, and what it all rests on."""

    charges: tuple[Charge, ...]
    saved: Mapping[str, Decimal]
    free: Mapping[str, str] = field(default_factory=dict)
    rates: tuple[Rate, ...] = ()

    @cached_property
    def stages(self) -> dict[str, Split]:
        """The split of each stage that has charges or saved something."""
        names = dict.fromkeys([*(charge.stage for charge in self.charges), *self.saved])
        by_stage: dict[str, list[Charge]] = {name: [] for name in names}
        for charge in self.charges:
            by_stage[charge.stage].append(charge)
        return {name: _split(found, self.saved.get(name, Decimal(0))) for name, found in by_stage.items()}

    @cached_property
    def total(self) -> Split:
        """The run's split: the sum of its stages."""
        return _split(self.charges, sum(self.saved.values(), Decimal(0)))

    def stage(self, name: str) -> Split:
        """The split of a stage; all zero where it cost nothing."""
        return self.stages.get(name, Split())

    def attempt(self, stage: str, n: int) -> Range:
        """US dollars of one attempt, its share of start-up and waiting included."""
        return sum((c.usd for c in self.charges if (c.stage, c.attempt) == (stage, n)), NOTHING)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the estimate rests on, profile by profile, with the date and source of each price."""
        return tuple(f"{rate.profile}: {said}" for rate in self.rates for said in rate.assumptions)

    @property
    def prices_as_of(self) -> str:
        """The dates of the prices, as their sources state them."""
        return ", ".join(sorted({item.as_of for rate in self.rates for item in rate.items}))

    def to_json(self) -> dict[str, Any]:
        """As `cost` of the run in `run.json`."""
        return self.total.to_json() | {"prices_as_of": self.prices_as_of, "assumptions": list(self.assumptions)}

    def stage_json(self, name: str) -> dict[str, Any]:
        """As `cost` of a stage in `run.json`; `why` tells of a stage that costs nothing."""
        return self.stage(name).to_json() | {"why": self.free.get(name, "")}


def amount(usd: Decimal) -> float:
    """Money as a JSON number: at most six decimals, whose shortest text is exact."""
    return float(usd.quantize(MICRO))


def of(record: RunRecord) -> Bill:
    """What a run cost so far, by the rates that its journal holds."""
    charges: list[Charge] = []
    rates: dict[str, Rate] = {}
    for place, leg in enumerate(record.legs):
        after = record.legs[place + 1] if place + 1 < len(record.legs) else None
        known = {name: Rate.from_json(value) for name, value in leg.rates.items()}
        closed = after is not None or record.finished_at is not None
        for profile, work in _work(record, leg, after).items():
            if profile in known:
                rates[profile] = known[profile]
                charges += _charges(known[profile], place, pieces(known[profile], work, closed=closed))
    saved = {
        name: Decimal(str(stage.saved_usd)) for name, stage in record.stages.items() if stage.saved_usd is not None
    }
    return Bill(tuple(charges), saved, dict(_free(record)), tuple(rates.values()))


def _work(record: RunRecord, leg: Leg, after: Leg | None) -> dict[str, list[Busy]]:
    """The finished attempts of one leg, by the profile of their stage."""
    found: dict[str, list[Busy]] = {}
    begin, end = _instant(leg.started_at), None if after is None else _instant(after.started_at)
    for name, stage in record.stages.items():
        for attempt in stage.attempts:
            busy = _busy(name, attempt)
            if busy and busy.start >= begin and (end is None or busy.start < end):
                found.setdefault(leg.profiles.get(name) or "", []).append(busy)
    return found


def _busy(stage: str, attempt: Attempt) -> Busy | None:
    if attempt.seconds is None:
        return None
    start = _instant(attempt.started_at)
    kind = Kind.USEFUL if attempt.status is AttemptStatus.SUCCEEDED else Kind.WASTED
    return Busy(stage, attempt.n, start, start + round(attempt.seconds * SECOND), kind)


def _charges(rate: Rate, leg: int, found: Iterable[Piece]) -> Iterator[Charge]:
    """The pieces of each attempt, kind and hour as one charge."""
    hours: dict[tuple[str, int, Kind, int], list[Piece]] = {}
    for piece in found:
        for part in piece.by_hour():
            hours.setdefault((part.busy.stage, part.busy.attempt, part.kind, part.start // HOUR), []).append(part)
    for (stage, attempt, kind, _), parts in hours.items():
        share = sum(((part.end - part.start) * part.share for part in parts), Fraction(0)) / HOUR
        hours_billed = Decimal(share.numerator) / Decimal(share.denominator)
        start, end = min(part.start for part in parts), max(part.end for part in parts)
        lines = tuple(_line(item, hours_billed) for item in rate.items)
        yield Charge(stage, attempt, kind, rate.profile, leg, _moment(start), _moment(end), lines)


def _line(item: Item, hours: Decimal) -> Line:
    quantity = (item.per_hour * hours).quantize(QUANTITY)
    return Line(item, quantity.likely, (quantity * item.usd_per_unit).quantize(MICRO))


def _split(charges: Iterable[Charge], saved: Decimal) -> Split:
    totals = dict.fromkeys(Kind, NOTHING)
    for charge in charges:
        totals[charge.kind] += charge.usd
    return Split(totals[Kind.USEFUL], totals[Kind.WASTED], totals[Kind.IDLE], saved)


def _free(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Why each stage that has no price has none."""
    leg = record.legs[-1] if record.legs else None
    for name, stage in record.stages.items():
        if stage.profile is None:
            yield name, "it has no profile"
        elif leg is None or stage.profile not in leg.rates:
            yield name, f"its profile '{stage.profile}' names no node type: it costs nothing"


def _instant(text: str) -> int:
    """Microseconds since 1970 of an ISO 8601 time."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


def _moment(instant: int) -> datetime:
    return _EPOCH + timedelta(microseconds=instant)


def worth(record: RunRecord, stage: StageRecord) -> float | None:
    """US dollars that a stage cost the run that computed its result; None where it had no price."""
    if stage.saved_usd is not None:
        return stage.saved_usd
    split = of(record).stages.get(stage.name)
    return None if split is None else amount(split.total.likely)
