"""Cost and duration run by run, what changed between them, and whether it got cheaper and faster since."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from statistics import median

from stagebook.cost import bill
from stagebook.cost.history import runs_in_words
from stagebook.errors import ConfigError
from stagebook.model.record import RunRecord, RunStatus, StageStatus

RESAMPLES = 2000
LEAST_RUNS = 3
"""Fewer runs on one side say nothing of how much they differ by chance."""


@dataclass(frozen=True)
class Point:
    """A run that has succeeded: seconds of all its attempts, US dollars, and what changed since the run before.

    `changes` are of `code` (another commit), `engine`, `profile` and `reuse` (other stages were spared).
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


def points(records: Iterable[RunRecord]) -> list[Point]:
    """The runs that have succeeded, in the order given, which is oldest first."""
    found: list[Point] = []
    before: RunRecord | None = None
    for record in records:
        if record.status is not RunStatus.SUCCEEDED:
            continue
        split = bill.of(record).total
        found.append(
            Point(
                run_id=record.run_id,
                started_at=record.started_at,
                commit=record.git.get("commit") or "",
                seconds=sum(stage.seconds for stage in record.stages.values()),
                usd=split.total.likely,
                saved_usd=split.saved,
                reused=len(_reused(record)),
                stages=len(record.stages),
                changes=tuple(name for name, of in _WATCHED.items() if before and of(before) != of(record)),
            )
        )
        before = record
    return found


def _code(record: RunRecord) -> object:
    return record.git.get("commit"), record.git.get("dirty")


def _engines(record: RunRecord) -> object:
    return {name: stage.engine for name, stage in record.stages.items() if stage.engine}


def _profiles(record: RunRecord) -> object:
    last = record.legs[-1] if record.legs else None
    return (last.profiles, last.rates) if last else None


def _reused(record: RunRecord) -> frozenset[str]:
    return frozenset(name for name, stage in record.stages.items() if stage.status is StageStatus.REUSED)


_WATCHED: dict[str, Callable[[RunRecord], object]] = {
    "code": _code,
    "engine": _engines,
    "profile": _profiles,
    "reuse": _reused,
}


@dataclass(frozen=True)
class Change:
    """By which share a median has changed: -0.38 is 38 % less. `low` and `high` hold 90 % of resampled medians;
    None where there are fewer than three runs on a side. `share` is None where nothing was spent before."""

    share: float | None
    low: float | None = None
    high: float | None = None

    def to_text(self) -> str:
        """`-38 % (-45 to -30 %)`."""
        if self.share is None:
            return "nothing to compare with"
        told = f"{self.share:+.0%}".replace("%", " %")
        if self.low is None or self.high is None:
            return f"{told} (too few runs to say how sure that is)"
        return f"{told} ({self.low * 100:+.0f} to {self.high * 100:+.0f} %)"


@dataclass(frozen=True)
class Comparison:
    """The runs before one, and the runs since."""

    since: Point
    before: int
    after: int
    usd: Change
    seconds: Change

    def to_text(self) -> str:
        what = ", ".join(self.since.changes) or "this run"
        counted = f"{runs_in_words(self.before)} before, {runs_in_words(self.after)} since"
        return (
            f"since {self.since.run_id} ({what}): cost {self.usd.to_text()}, time {self.seconds.to_text()}; {counted}"
        )


def compare(found: Sequence[Point], place: int) -> Comparison:
    """The runs before `place` against it and those after it, by their medians."""
    before, after = found[:place], found[place:]
    return Comparison(
        since=found[place],
        before=len(before),
        after=len(after),
        usd=_change([float(point.usd) for point in before], [float(point.usd) for point in after]),
        seconds=_change([point.seconds for point in before], [point.seconds for point in after]),
    )


@dataclass(frozen=True)
class Trend:
    """The runs that have succeeded, and those since the last change against those before; None where there is none."""

    points: tuple[Point, ...]
    comparison: Comparison | None


def trend(records: Iterable[RunRecord]) -> Trend | None:
    """The trend of a pipeline's runs, given oldest first; None where fewer than two have succeeded."""
    found = points(records)
    place = place_of(found, None)
    return Trend(tuple(found), None if place is None else compare(found, place)) if len(found) > 1 else None


def place_of(found: Sequence[Point], since: str | None) -> int | None:
    """The first run since a commit, a run id or a date; without one, since the last change of code, engine or profile.

    Args: since: the beginning of a commit's id, a run id, or an ISO date.
    Returns:
        None where nothing was asked for and nothing has changed, or there is no run before.
    Raises:
        ConfigError: no run is of that commit, has that id or is as young.
    """
    if since is None:
        changed = [place for place, point in enumerate(found) if {"code", "engine", "profile"} & set(point.changes)]
        return changed[-1] if changed else None
    for place, point in enumerate(found):
        if point.run_id == since or (len(since) >= 7 and point.commit.startswith(since)) or _is_since(point, since):
            return place
    raise ConfigError(
        f"--since: no run that succeeded is of commit, has the id, or was started on or after '{since}'.\n"
        "  It takes seven or more characters of a commit, a run id of `stagebook runs`, or a date like 2026-11-25."
    )


def _is_since(point: Point, text: str) -> bool:
    return len(text) >= 10 and text[4] == text[7] == "-" and point.started_at >= text


def _change(before: Sequence[float], after: Sequence[float]) -> Change:
    if not before or not after or median(before) == 0:
        return Change(None)
    share = median(after) / median(before) - 1
    if min(len(before), len(after)) < LEAST_RUNS:
        return Change(share)
    random = Random(0)
    shares = sorted(
        median(random.choices(after, k=len(after))) / old - 1
        for _ in range(RESAMPLES)
        if (old := median(random.choices(before, k=len(before))))
    )
    return Change(share, shares[len(shares) * 5 // 100], shares[len(shares) * 95 // 100 - 1])
