"""Rules on what stages do: each tells what it found, with figures, or nothing where the data do not decide it."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from statistics import median

from stagebook.cost.estimate import estimate
from stagebook.cost.history import runs_in_words
from stagebook.cost.rules import Advice, Subject, dollars
from stagebook.cost.sizing import Replay, Settings
from stagebook.model.record import Attempt, AttemptStatus, RunRecord, StageRecord

COLLECTED_BYTES = 2 * 1024**3
"""A notebook that computes on Spark holds its libraries, half a GiB; where it held so much, it has collected."""

LARGE_BYTES = 10**9
"""A smaller table is read whole in a second or two: its order saves nobody anything."""


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
                f"{len(failed)} of {len(again)} retries failed and cost {dollars(sum(failed))} USD; "
                f"those that helped spared {dollars(spared)} USD of starting a cluster for a resumption"
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
    forced: dict[str, list[Decimal]] = {}
    for name, stage in subject.pipeline.stages.items():
        spent = _spent_again(name, replay, settings)
        if not sum(spent):
            continue
        if stage.reuse:
            forced[name] = spent
        else:
            yield Advice("recomputed", name, _again(spent), f"stages.{name}.reuse", "auto", replay.average(spent))
    if forced:
        told = "; ".join(f"{name}: {_again(spent)}" for name, spent in forced.items())
        saved = replay.average(usd for spent in forced.values() for usd in spent)
        yield Advice("recomputed", ", ".join(forced), told, "--no-reuse, --force", "leave out", saved)


def _again(spent: Sequence[Decimal]) -> str:
    return (
        f"in {runs_in_words(len(spent))} it computed from the same code, parameters and tables what an earlier run "
        f"had, for {dollars(sum(spent))} USD"
    )


def _spent_again(name: str, replay: Replay, settings: Settings) -> list[Decimal]:
    """What a stage cost in each run that had no need of it: a result with the same key was there."""
    known: set[str] = set()
    spent: list[Decimal] = []
    for record, billed in zip(replay.records, replay.bills(settings), strict=True):
        ran = record.stages.get(name)
        key = ran.reuse.get("key") if ran else None
        if ran and key and any(attempt.status is AttemptStatus.SUCCEEDED for attempt in ran.attempts):
            if key in known:
                spent.append(billed.stage(name).total.likely)
            known.add(key)
    return spent


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
