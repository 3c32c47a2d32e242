"""Rules worth checking: each tells what it found, with figures, or nothing where the data do not decide it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from statistics import median
from typing import Any

from stagebook.cost.estimate import estimate
from stagebook.cost.history import input_bytes, runs_in_words, table_bytes
from stagebook.cost.rates import rate
from stagebook.cost.sizing import Keys, Replay, Settings, in_words
from stagebook.model.pipeline import Pipeline
from stagebook.model.pricing import Compute, Rate
from stagebook.model.record import Attempt, AttemptStatus, RunRecord, StageRecord
from stagebook.model.upkeep import Description

LONG_MINUTES = 30
"""A cluster that waits longer than this before it stops by itself waits for nobody."""

SHORT_MINUTES = 10
"""The shortest wait that Databricks offers."""

VARIES = 4
"""Inputs that differ by this factor ask for clusters of different sizes."""

COLLECTED_BYTES = 2 * 1024**3
"""A notebook that computes on Spark holds its libraries, half a GiB; where it held so much, it has collected."""

LARGE_BYTES = 10**9
"""A smaller table is read whole in a second or two: its order saves nobody anything."""


@dataclass(frozen=True)
class Seen:
    """A table as its log tells it, and what is to be said of its partitions (empty: nothing)."""

    name: str
    description: Description
    small_partitions: str = ""


@dataclass(frozen=True)
class Subject:
    """A pipeline, its runs that have ended, oldest first, and its tables."""

    pipeline: Pipeline
    records: Sequence[RunRecord]
    tables: Sequence[Seen] = ()

    @property
    def settings(self) -> Settings:
        """What the parameter file says now."""
        return Settings({name: stage.profile for name, stage in self.pipeline.stages.items()}, self.pipeline.rates)

    def engine(self, stage: str) -> str | None:
        """What a stage computed on when it last ran; None where it never did."""
        ran = [record.stages[stage] for record in self.records if stage in record.stages]
        return next((one.engine for one in reversed(ran) if one.attempts), None)

    def bought(self, settings: Settings, profile: str, **about: Any) -> Settings | None:
        """The settings with other properties of a profile's cluster; None where it has no price then."""
        market, before = self.pipeline.market, settings.rates[profile]
        found = rate(profile, replace(before.cluster, **about), market.terms, market.book)
        return settings.rated(found) if found else None


@dataclass(frozen=True)
class Advice:
    """What was found, with figures, and the key to change (`key`), to what (`to`).

    `keys` is what an overlay sets; empty where it is for a person to decide. `usd_per_run` is what it saves of a run,
    on average; None where no run tells.
    """

    rule: str
    about: str
    found: str
    key: str
    to: str = ""
    usd_per_run: Decimal | None = None
    keys: Keys = field(default_factory=dict)


def all_purpose(subject: Subject, settings: Settings, profile: str) -> tuple[Advice, Settings] | None:
    """Jobs on all-purpose compute."""
    before, users = settings.rates[profile], settings.users(profile)
    if before.cluster.compute is not Compute.ALL_PURPOSE or not users:
        return None
    changed = subject.bought(settings, profile, compute=Compute.JOBS)
    if changed is None:
        return None
    found = (
        f"{', '.join(users)} run on all-purpose compute, {_hourly(before)}; "
        f"as jobs {_hourly(changed.rates[profile])}, and nothing for waiting after the last stage"
    )
    key = ("profiles", profile, "compute")
    return Advice("all_purpose", f"profile {profile}", found, ".".join(key), "jobs", keys={key: "jobs"}), changed


def photon(subject: Subject, settings: Settings, profile: str) -> tuple[Advice, Settings] | None:
    """Photon where nothing computes on Spark."""
    before, users = settings.rates[profile], settings.users(profile)
    engines = {subject.engine(stage) for stage in users}
    if not before.cluster.photon or not users or not engines <= {"pandas", "polars"}:
        return None
    changed = subject.bought(settings, profile, photon=False)
    if changed is None:
        return None
    found = (
        f"{', '.join(users)} computed on {', '.join(sorted(map(str, engines)))}, which Photon does not make faster; "
        f"with it {_hourly(before)}, without {_hourly(changed.rates[profile])}"
    )
    key = ("profiles", profile, "runtime_engine")
    return Advice("photon", f"profile {profile}", found, ".".join(key), "STANDARD", keys={key: "STANDARD"}), changed


def auto_termination(subject: Subject, settings: Settings, replay: Replay) -> Iterator[Advice]:
    """All-purpose clusters that never stop by themselves, or late. Clusters of jobs end with their last task."""
    for name, before in subject.settings.rates.items():
        if before.cluster.compute is not Compute.ALL_PURPOSE:
            continue
        minutes, key = before.cluster.idle_minutes, f"profiles.{name}.autotermination_minutes"
        each = f"each hour that it waits costs {_dollars(before.usd_per_hour.likely)} USD"
        if not minutes:
            yield Advice("auto_termination", f"profile {name}", f"it never stops by itself; {each}", key, "10")
        elif minutes > LONG_MINUTES:
            short = subject.bought(subject.settings, name, idle_minutes=SHORT_MINUTES)
            saved = replay.usd_per_run(subject.settings) - replay.usd_per_run(short) if short else None
            found = f"it waits {minutes} minutes until it stops by itself; {each}; counted for all-purpose compute"
            yield Advice("auto_termination", f"profile {name}", found, key, str(SHORT_MINUTES), saved)


def start_up(subject: Subject, settings: Settings, replay: Replay) -> Iterator[Advice]:
    """Clusters that start for longer than they work, where the file has a serverless profile."""
    serverless = [name for name, priced in settings.rates.items() if not priced.shared]
    usual = replay.usd_per_run(settings)
    for name, before in settings.rates.items():
        users = settings.users(name)
        if not replay.records or not before.shared or not users or not serverless:
            continue
        moved = {other: _all_moved(settings, users, other) for other in serverless}
        costs = {other: replay.usd_per_run(changed) for other, changed in moved.items()}
        best = min(costs, key=lambda other: costs[other])
        idle = replay.average(b.stage(stage).idle.likely for b in replay.bills(settings) for stage in users)
        total = replay.average(b.stage(stage).total.likely for b in replay.bills(settings) for stage in users)
        if costs[best] < usual and idle * 2 > total:
            found = (
                f"{_dollars(idle)} of the {_dollars(total)} USD of {', '.join(users)} go into starting and waiting. "
                f"On `{best}`, which does neither, if {settings.rates[best].cluster.dbu_per_hour} DBU an hour, "
                "the file's own figure, is what it takes, and its size is enough: try it"
            )
            where = ", ".join(f"stages.{stage}.profile" for stage in users)
            yield Advice("start_up", f"profile {name}", found, where, best, usual - costs[best])


def _all_moved(settings: Settings, stages: Sequence[str], profile: str) -> Settings:
    for stage in stages:
        settings = settings.moved(stage, profile)
    return settings


def autoscaling(subject: Subject, settings: Settings, replay: Replay) -> Iterator[Advice]:
    """Workers of a fixed number, on Spark, for inputs whose size varies."""
    sizes = table_bytes(subject.records)
    for name, before in settings.rates.items():
        low, high = before.cluster.min_workers, before.cluster.max_workers
        if low != high or high < 2:
            continue
        for stage in settings.users(name):
            if subject.engine(stage) != "spark":
                continue
            ran = [record.stages[stage] for record in subject.records if stage in record.stages]
            read = [size for one in ran if one.attempts and (size := input_bytes(one.inputs, sizes))]
            if read and max(read) >= VARIES * min(read):
                found = (
                    f"{high} workers, whether {stage} reads {min(read) / 1e6:,.0f} or {max(read) / 1e6:,.0f} MB; "
                    f"a worker costs {_dollars(_of_a_worker(subject, before))} USD an hour"
                )
                bounds = f"{{min_workers: 1, max_workers: {high}}}"
                yield Advice("autoscaling", f"profile {name}", found, f"profiles.{name}.autoscale", bounds)
                break


def _of_a_worker(subject: Subject, before: Rate) -> Decimal:
    market, fewer = subject.pipeline.market, before.cluster.max_workers - 1
    less = rate(
        before.profile, replace(before.cluster, min_workers=fewer, max_workers=fewer), market.terms, market.book
    )
    return before.usd_per_hour.likely - less.usd_per_hour.likely if less else Decimal(0)


def retries(subject: Subject, settings: Settings, replay: Replay) -> Iterator[Advice]:
    """Retries that cost more than they save: a retry that succeeds saves a resumption the start-up of a cluster."""
    bills = replay.bills(settings)
    for name in subject.pipeline.stages:
        again = [
            (attempt, billed.attempt(name, attempt.n).likely)
            for record, billed in zip(replay.records, bills, strict=True)
            if name in record.stages
            for attempt in _retries(record, record.stages[name])
        ]
        failed = [usd for attempt, usd in again if attempt.status is not AttemptStatus.SUCCEEDED]
        helped = len(again) - len(failed)
        priced = settings.rate(name)
        spared = estimate(priced, priced.startup_seconds).likely * helped if priced else Decimal(0)
        if len(failed) >= 2 and sum(failed) > spared:
            found = (
                f"{len(failed)} of {len(again)} retries failed and cost {_dollars(sum(failed))} USD; "
                f"those that helped spared {_dollars(spared)} USD of starting a cluster for a resumption"
            )
            saved = replay.average([*failed, -spared])
            yield Advice("retries", name, found, f"stages.{name}.max_retries", "0", saved)


def _retries(record: RunRecord, stage: StageRecord) -> Iterator[Attempt]:
    """The attempts that followed a failed one of the same leg."""
    begins = [leg.started_at for leg in record.legs]
    for before, attempt in zip(stage.attempts, stage.attempts[1:], strict=False):
        if not any(before.started_at < begin <= attempt.started_at for begin in begins):
            yield attempt


def recomputed(subject: Subject, settings: Settings, replay: Replay) -> Iterator[Advice]:
    """Results that an earlier run had already, and that were computed again."""
    bills = replay.bills(settings)
    for name, stage in subject.pipeline.stages.items():
        known: set[str] = set()
        spent: list[Decimal] = []
        for record, billed in zip(replay.records, bills, strict=True):
            ran = record.stages.get(name)
            key = ran.reuse.get("key") if ran else None
            if ran and key and any(attempt.status is AttemptStatus.SUCCEEDED for attempt in ran.attempts):
                if key in known:
                    spent.append(billed.stage(name).total.likely)
                known.add(key)
        if sum(spent):
            found = (
                f"in {runs_in_words(len(spent))} it computed what an earlier run had, from the same code, parameters "
                f"and tables: {_dollars(sum(spent))} USD"
            )
            key, to = (f"stages.{name}.reuse", "auto") if not stage.reuse else ("--no-reuse, --force", "leave out")
            yield Advice("recomputed", name, found, key, to, replay.average(spent))


def collected(subject: Subject, settings: Settings, replay: Replay) -> Iterator[Advice]:
    """Stages on Spark whose notebook holds what it should leave there. Who fits a model has to hold its rows."""
    for name, stage in subject.pipeline.stages.items():
        if subject.engine(name) != "spark" or "fit" in stage.work:
            continue
        ran = [record.stages[name] for record in subject.records if name in record.stages]
        peaks = [at.peak_rss_bytes for one in ran if one.engine == "spark" for at in one.attempts if at.peak_rss_bytes]
        if peaks and median(peaks) >= COLLECTED_BYTES:
            found = (
                f"computes on Spark, yet its notebook held {median(peaks) / 1024**3:.1f} GiB itself (the middle of "
                f"{runs_in_words(len(peaks))}): what it collected. Aggregate first, or compute where it fits"
            )
            yield Advice("collects", name, found, f"stages.{name}.engine", "polars, if it all fits into memory")


def tables(subject: Subject, settings: Settings, replay: Replay) -> Iterator[Advice]:
    """Tables with partitions that are too small, and large ones that conditions read although nothing orders them."""
    for seen in subject.tables:
        name, about = seen.name, seen.description
        where = f"layout of `{name}` in its schema"
        if seen.small_partitions:
            yield Advice("over_partitioned", f"table {name}", seen.small_partitions, where, "z_order")
        asked = _asked(subject, name)
        layout, size = about.layout, about.size_bytes or 0
        ordered = {*layout.partition_by, *layout.z_order} if layout else set()
        if asked and layout and size >= LARGE_BYTES and (about.files or 0) > 1 and not ordered & asked.keys():
            column = next(iter(asked))
            found = (
                f"{size / 1e9:.1f} GB in {about.files} files; {', '.join(asked[column])} read it by `{column}`, "
                "and no order lets them skip a file"
            )
            yield Advice("unordered", f"table {name}", found, where, f"z_order by {column}")


def _asked(subject: Subject, table: str) -> Mapping[str, list[str]]:
    """The columns that conditions on a table are about, and the stages that have them."""
    found: dict[str, list[str]] = {}
    for name, stage in subject.pipeline.stages.items():
        narrowed = stage.narrowed.get(table)
        for column, *_ in narrowed.where if narrowed else ():
            if name not in found.setdefault(column, []):
                found[column].append(name)
    return found


def _hourly(found: Rate) -> str:
    return f"{_dollars(found.usd_per_hour.likely)} USD an hour ({in_words(found)})"


def _dollars(usd: Decimal | int) -> str:
    return f"{usd:.2f}" if abs(usd) >= 1 else f"{usd:.4f}"
