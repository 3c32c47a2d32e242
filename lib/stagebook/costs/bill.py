"""The bill of a run: a pure function of its record, so that every view of the run shows the same cents.

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

from stagebook.costs.cluster_time import HOUR, SECOND, BusyInterval, ClusterInterval, TimeKind, intervals
from stagebook.model.pricing import ZERO, PriceItem, Range, Rate
from stagebook.model.record import Attempt, AttemptStatus, RunRecord, RunSession, StageRecord

CURRENCY = "USD"
MICRO = Decimal("0.000001")
QUANTITY = Decimal("0.000000000001")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class BillLine:
    """The billed units of one item, and US dollars for them."""

    item: PriceItem
    quantity: Decimal
    usd: Range


@dataclass(frozen=True)
class Charge:
    """What one attempt is billed for one kind of time within one hour of the clock.

    `session` is the index of the run's session.
    """

    stage: str
    attempt: int
    kind: TimeKind
    profile: str
    session: int
    start: datetime
    end: datetime
    lines: tuple[BillLine, ...]

    @property
    def usd(self) -> Range:
        """US dollars of all lines."""
        return sum((line.usd for line in self.lines), ZERO)


@dataclass(frozen=True)
class Split:
    """US dollars by kind of time. `saved` is what the reused results cost the runs that computed them."""

    useful: Range = ZERO
    wasted: Range = ZERO
    idle: Range = ZERO
    saved: Decimal = Decimal(0)

    @property
    def total(self) -> Range:
        """US dollars that were spent: useful, wasted and idle."""
        return self.useful + self.wasted + self.idle

    def to_json(self) -> dict[str, Any]:
        """The mapping that is `cost` in `run.json`."""
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
    """All charges of a run and the rates behind them.

    `saved` is stage → US dollars that reuse saved, `free_reasons` stage → the reason why it costs nothing.
    """

    charges: tuple[Charge, ...]
    saved: Mapping[str, Decimal]
    free_reasons: Mapping[str, str] = field(default_factory=dict)
    rates: tuple[Rate, ...] = ()

    @cached_property
    def stages(self) -> dict[str, Split]:
        """The split of each stage that has charges or saved something."""
        names = dict.fromkeys([*(charge.stage for charge in self.charges), *self.saved])
        by_stage: dict[str, list[Charge]] = {name: [] for name in names}
        for charge in self.charges:
            by_stage[charge.stage].append(charge)
        return {name: _split(charges, self.saved.get(name, Decimal(0))) for name, charges in by_stage.items()}

    @cached_property
    def total(self) -> Split:
        """The split of the run: the sum over its stages."""
        return _split(self.charges, sum(self.saved.values(), Decimal(0)))

    def stage(self, name: str) -> Split:
        """The split of a stage; all zero where it cost nothing."""
        return self.stages.get(name, Split())

    def attempt(self, stage: str, n: int) -> Range:
        """US dollars of one attempt, with its share of start-up and waiting."""
        return sum((c.usd for c in self.charges if (c.stage, c.attempt) == (stage, n)), ZERO)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """The assumptions of the estimate, profile by profile, with the date and source of each price."""
        return tuple(f"{rate.profile}: {assumption}" for rate in self.rates for assumption in rate.assumptions)

    @property
    def prices_as_of(self) -> str:
        """The dates of the prices, as their sources state them."""
        return ", ".join(sorted({item.as_of for rate in self.rates for item in rate.items}))

    def to_json(self) -> dict[str, Any]:
        """The mapping that is `cost` of the run in `run.json`."""
        return self.total.to_json() | {"prices_as_of": self.prices_as_of, "assumptions": list(self.assumptions)}

    def stage_json(self, name: str) -> dict[str, Any]:
        """The mapping that is `cost` of a stage in `run.json`; `why` is the reason why it costs nothing, if so."""
        return self.stage(name).to_json() | {"why": self.free_reasons.get(name, "")}


def amount(usd: Decimal) -> float:
    """Money as a JSON number: at most six decimals, whose shortest text is exact."""
    return float(usd.quantize(MICRO))


def of(record: RunRecord) -> Bill:
    """The bill of a run so far, by the rates in its journal."""
    charges: list[Charge] = []
    rates: dict[str, Rate] = {}
    for index, session in enumerate(record.sessions):
        following = record.sessions[index + 1] if index + 1 < len(record.sessions) else None
        session_rates = {name: Rate.from_json(value) for name, value in session.rates.items()}
        closed = following is not None or record.finished_at is not None
        for profile, work in _work(record, session, following).items():
            if profile in session_rates:
                rate = rates[profile] = session_rates[profile]
                charges += _charges(rate, index, intervals(rate, work, closed=closed))
    saved = {
        name: Decimal(str(stage.saved_usd)) for name, stage in record.stages.items() if stage.saved_usd is not None
    }
    return Bill(tuple(charges), saved, dict(_free_reasons(record)), tuple(rates.values()))


def _work(record: RunRecord, session: RunSession, following: RunSession | None) -> dict[str, list[BusyInterval]]:
    """The finished attempts of one session, by the profile of their stage."""
    work: dict[str, list[BusyInterval]] = {}
    begin, end = _instant(session.started_at), None if following is None else _instant(following.started_at)
    for name, stage in record.stages.items():
        for attempt in stage.attempts:
            busy = _busy(name, attempt)
            if busy and busy.start >= begin and (end is None or busy.start < end):
                work.setdefault(session.profiles.get(name) or "", []).append(busy)
    return work


def _busy(stage: str, attempt: Attempt) -> BusyInterval | None:
    if attempt.seconds is None:
        return None
    start = _instant(attempt.started_at)
    kind = TimeKind.USEFUL if attempt.status is AttemptStatus.SUCCEEDED else TimeKind.WASTED
    return BusyInterval(stage, attempt.n, start, start + round(attempt.seconds * SECOND), kind)


def _charges(rate: Rate, session_index: int, billed: Iterable[ClusterInterval]) -> Iterator[Charge]:
    """One charge for each attempt, kind of time and hour."""
    hours: dict[tuple[str, int, TimeKind, int], list[ClusterInterval]] = {}
    for interval in billed:
        for part in interval.by_hour():
            hours.setdefault((part.busy.stage, part.busy.attempt, part.kind, part.start // HOUR), []).append(part)
    for (stage, attempt, kind, _), parts in hours.items():
        share = sum(((part.end - part.start) * part.share for part in parts), Fraction(0)) / HOUR
        hours_billed = Decimal(share.numerator) / Decimal(share.denominator)
        start, end = min(part.start for part in parts), max(part.end for part in parts)
        lines = tuple(_line(item, hours_billed) for item in rate.items)
        yield Charge(stage, attempt, kind, rate.profile, session_index, _moment(start), _moment(end), lines)


def _line(item: PriceItem, hours: Decimal) -> BillLine:
    quantity = (item.per_hour * hours).quantize(QUANTITY)
    return BillLine(item, quantity.likely, (quantity * item.usd_per_unit).quantize(MICRO))


def _split(charges: Iterable[Charge], saved: Decimal) -> Split:
    totals = dict.fromkeys(TimeKind, ZERO)
    for charge in charges:
        totals[charge.kind] += charge.usd
    return Split(totals[TimeKind.USEFUL], totals[TimeKind.WASTED], totals[TimeKind.IDLE], saved)


def _free_reasons(record: RunRecord) -> Iterator[tuple[str, str]]:
    """The stages without a price, each with the reason."""
    session = record.sessions[-1] if record.sessions else None
    for name, stage in record.stages.items():
        if stage.profile is None:
            yield name, "it has no profile"
        elif session is None or stage.profile not in session.rates:
            yield name, f"its profile '{stage.profile}' names no node type: it costs nothing"


def _instant(text: str) -> int:
    """Microseconds since 1970 of an ISO 8601 time."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


def _moment(instant: int) -> datetime:
    return _EPOCH + timedelta(microseconds=instant)


def result_cost_usd(record: RunRecord, stage: StageRecord) -> float | None:
    """US dollars that a stage cost the run that computed its result; None where it had no price."""
    if stage.saved_usd is not None:
        return stage.saved_usd
    split = of(record).stages.get(stage.name)
    return None if split is None else amount(split.total.likely)
