"""Cost and duration run by run, what changed between runs, and whether a change made them cheaper and faster."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from statistics import median

from stagebook.costs import bill
from stagebook.costs.prediction import runs_in_words
from stagebook.errors import ConfigError
from stagebook.model.record import RunRecord, RunStatus, StageStatus

RESAMPLES = 2000
LEAST_RUNS = 3
"""With fewer runs on a side, nothing can be said about chance differences."""


@dataclass(frozen=True)
class TrendPoint:
    """A run that succeeded: seconds of all its attempts, US dollars, and what changed since the run before.

    `changes` names what differs: `code` (another commit), `engine`, `profile`, `reuse` (other stages were reused).
    """

    run_id: str
    started_at: str
    commit: str
    seconds: float
    usd: Decimal
    saved_usd: Decimal
    reused: int
    stages: int
    changes: tuple[str, ...]


def trend_points(records: Iterable[RunRecord]) -> list[TrendPoint]:
    """The runs that succeeded, in the order given (oldest first)."""
    points: list[TrendPoint] = []
    previous: RunRecord | None = None
    for record in records:
        if record.status is not RunStatus.SUCCEEDED:
            continue
        split = bill.of(record).total
        points.append(
            TrendPoint(
                run_id=record.run_id,
                started_at=record.started_at,
                commit=record.git.get("commit") or "",
                seconds=sum(stage.seconds for stage in record.stages.values()),
                usd=split.total.likely,
                saved_usd=split.saved,
                reused=len(_reused(record)),
                stages=len(record.stages),
                changes=_changes(previous, record) if previous else (),
            )
        )
        previous = record
    return points


def _changes(previous: RunRecord, record: RunRecord) -> tuple[str, ...]:
    return tuple(name for name, aspect in _ASPECTS.items() if aspect(previous) != aspect(record))


def _code(record: RunRecord) -> object:
    return record.git.get("commit"), record.git.get("dirty")


def _engines(record: RunRecord) -> object:
    return {name: stage.engine for name, stage in record.stages.items() if stage.engine}


def _profiles(record: RunRecord) -> object:
    session = record.sessions[-1] if record.sessions else None
    return (session.profiles, session.rates) if session else None


def _reused(record: RunRecord) -> frozenset[str]:
    return frozenset(name for name, stage in record.stages.items() if stage.status is StageStatus.REUSED)


_ASPECTS: dict[str, Callable[[RunRecord], object]] = {
    "code": _code,
    "engine": _engines,
    "profile": _profiles,
    "reuse": _reused,
}


@dataclass(frozen=True)
class RelativeChange:
    """By which share a median changed: -0.38 is 38 % less. `low` and `high` bound 90 % of the resampled medians;
    None where a side has fewer than three runs. `share` is None where nothing was spent before."""

    share: float | None
    low: float | None = None
    high: float | None = None

    def to_text(self) -> str:
        """`-38 % (-45 to -30 %)`."""
        if self.share is None:
            return "nothing to compare with"
        share = f"{self.share:+.0%}".replace("%", " %")
        if self.low is None or self.high is None:
            return f"{share} (too few runs to say how sure that is)"
        return f"{share} ({self.low * 100:+.0f} to {self.high * 100:+.0f} %)"


@dataclass(frozen=True)
class TrendComparison:
    """The runs before `since`, compared with it and the runs after it; `before` and `after` count them."""

    since: TrendPoint
    before: int
    after: int
    usd: RelativeChange
    seconds: RelativeChange

    def to_text(self) -> str:
        """One line: the run, what changed in it, and the change of cost and time."""
        changes = ", ".join(self.since.changes) or "this run"
        counts = f"{runs_in_words(self.before)} before, {runs_in_words(self.after)} since"
        return (
            f"since {self.since.run_id} ({changes}): cost {self.usd.to_text()}, time {self.seconds.to_text()}; {counts}"
        )


def compare(points: Sequence[TrendPoint], index: int) -> TrendComparison:
    """Compare the runs before `index` with those from it on, by their medians."""
    before, after = points[:index], points[index:]
    return TrendComparison(
        since=points[index],
        before=len(before),
        after=len(after),
        usd=_relative_change([float(point.usd) for point in before], [float(point.usd) for point in after]),
        seconds=_relative_change([point.seconds for point in before], [point.seconds for point in after]),
    )


@dataclass(frozen=True)
class Trend:
    """The runs that succeeded; `comparison` is about the last change, None where nothing has changed."""

    points: tuple[TrendPoint, ...]
    comparison: TrendComparison | None


def trend(records: Iterable[RunRecord]) -> Trend | None:
    """The trend of a pipeline's runs, given oldest first; None where fewer than two succeeded."""
    points = trend_points(records)
    index = index_since(points, None)
    return Trend(tuple(points), None if index is None else compare(points, index)) if len(points) > 1 else None


def index_since(points: Sequence[TrendPoint], since: str | None) -> int | None:
    """Index of the first run since a commit, run id or date; without one, since the last change but in reuse.

    Args:
        since: the beginning of a commit's id, a run id, or an ISO date.
    Returns:
        None where `since` is None and neither code, engine nor profile has changed.
    Raises:
        ConfigError: no run has that commit or id, or started at that date or later.
    """
    if since is None:
        changed = [index for index, point in enumerate(points) if {"code", "engine", "profile"} & set(point.changes)]
        return changed[-1] if changed else None
    for index, point in enumerate(points):
        is_commit = len(since) >= 7 and point.commit.startswith(since)
        if point.run_id == since or is_commit or _started_since(point, since):
            return index
    raise ConfigError(
        f"--since: no run that succeeded is of commit, has the id, or was started on or after '{since}'.\n"
        "  It takes seven or more characters of a commit, a run id of `stagebook runs`, or a date like 2026-11-25."
    )


def _started_since(point: TrendPoint, text: str) -> bool:
    return len(text) >= 10 and text[4] == text[7] == "-" and point.started_at >= text


def _relative_change(before: Sequence[float], after: Sequence[float]) -> RelativeChange:
    if not before or not after or median(before) == 0:
        return RelativeChange(None)
    share = median(after) / median(before) - 1
    if min(len(before), len(after)) < LEAST_RUNS:
        return RelativeChange(share)
    random = Random(0)
    shares = sorted(
        median(random.choices(after, k=len(after))) / median_before - 1
        for _ in range(RESAMPLES)
        if (median_before := median(random.choices(before, k=len(before))))
    )
    return RelativeChange(share, shares[len(shares) * 5 // 100], shares[len(shares) * 95 // 100 - 1])
