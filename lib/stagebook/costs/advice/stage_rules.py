"""Rules about stages and tables, one function each, like those in `profile_rules`."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from statistics import median

from stagebook.costs.advice.subject import Advice, AdviceSubject, ProfileAssignment, Replay, dollars
from stagebook.costs.estimate import estimate
from stagebook.costs.prediction import runs_in_words
from stagebook.model.record import Attempt, AttemptStatus, RunRecord, StageRecord

COLLECTED_BYTES = 2 * 1024**3
"""A notebook on Spark that uses this much memory has collected data: its libraries alone take half a GiB."""

LARGE_BYTES = 10**9
"""A smaller table is read in a second or two, so that ordering it saves nothing."""


def retries(subject: AdviceSubject, assignment: ProfileAssignment, replay: Replay) -> Iterator[Advice]:
    """Retries that cost more than they save. A retry that succeeds saves the cluster start of a resumption."""
    bills = replay.bills(assignment)
    for name in subject.pipeline.stages:
        costs = [
            (attempt, run_bill.attempt(name, attempt.n).likely)
            for record, run_bill in zip(replay.records, bills, strict=True)
            if name in record.stages
            for attempt in _retries(record, record.stages[name])
        ]
        failed_usd = [usd for attempt, usd in costs if attempt.status is not AttemptStatus.SUCCEEDED]
        succeeded_count = len(costs) - len(failed_usd)
        rate = assignment.rate(name)
        start_usd = estimate(rate, rate.startup_seconds).likely * succeeded_count if rate else Decimal(0)
        if len(failed_usd) >= 2 and sum(failed_usd) > start_usd:
            finding = (
                f"{len(failed_usd)} of {len(costs)} retries failed and cost {dollars(sum(failed_usd))} USD; "
                f"those that succeeded saved {dollars(start_usd)} USD of starting a cluster for a resumption"
            )
            saved = replay.average([*failed_usd, -start_usd])
            yield Advice("retries", name, finding, f"stages.{name}.max_retries", "0", saved)


def _retries(record: RunRecord, stage: StageRecord) -> Iterator[Attempt]:
    """The attempts that followed a failed one of the same session."""
    starts = [session.started_at for session in record.sessions]
    for previous, attempt in zip(stage.attempts, stage.attempts[1:], strict=False):
        if not any(previous.started_at < start <= attempt.started_at for start in starts):
            yield attempt


def recomputed(subject: AdviceSubject, assignment: ProfileAssignment, replay: Replay) -> Iterator[Advice]:
    """Results that were computed again although an earlier run had computed them."""
    forced: dict[str, list[Decimal]] = {}
    for name, stage in subject.pipeline.stages.items():
        usd = _recomputed_usd(name, assignment, replay)
        if not sum(usd):
            continue
        if stage.reuse:
            forced[name] = usd
        else:
            finding, key = _recomputed_finding(usd), f"stages.{name}.reuse"
            yield Advice("recomputed", name, finding, key, "auto", replay.average(usd))
    if forced:
        finding = "; ".join(f"{name}: {_recomputed_finding(usd)}" for name, usd in forced.items())
        saved = replay.average(amount for usd in forced.values() for amount in usd)
        yield Advice("recomputed", ", ".join(forced), finding, "--no-reuse, --force", "leave out", saved)


def _recomputed_finding(usd: Sequence[Decimal]) -> str:
    return (
        f"in {runs_in_words(len(usd))} it computed from the same code, parameters and tables what an earlier run "
        f"had, for {dollars(sum(usd))} USD"
    )


def _recomputed_usd(name: str, assignment: ProfileAssignment, replay: Replay) -> list[Decimal]:
    """What a stage cost in each run for which an earlier run had a result with the same cache key."""
    keys: set[str] = set()
    usd: list[Decimal] = []
    for record, run_bill in zip(replay.records, replay.bills(assignment), strict=True):
        stage = record.stages.get(name)
        key = stage.reuse.get("key") if stage else None
        if stage and key and any(attempt.status is AttemptStatus.SUCCEEDED for attempt in stage.attempts):
            if key in keys:
                usd.append(run_bill.stage(name).total.likely)
            keys.add(key)
    return usd


def collected(subject: AdviceSubject, assignment: ProfileAssignment, replay: Replay) -> Iterator[Advice]:
    """Stages on Spark whose notebook collects large data. Stages that fit a model have to, and are left out."""
    for name, stage in subject.pipeline.stages.items():
        if subject.engine(name) != "spark" or "fit" in stage.work:
            continue
        stage_records = [record.stages[name] for record in subject.records if name in record.stages]
        attempts = [attempt for record in stage_records if record.engine == "spark" for attempt in record.attempts]
        peaks = [attempt.peak_rss_bytes for attempt in attempts if attempt.peak_rss_bytes]
        if peaks and median(peaks) >= COLLECTED_BYTES:
            finding = (
                f"computes on Spark, but its notebook itself used {median(peaks) / 1024**3:.1f} GiB (median of "
                f"{runs_in_words(len(peaks))}) for what it collected. Aggregate first, or compute where it fits"
            )
            yield Advice("collects", name, finding, f"stages.{name}.engine", "polars, if it all fits into memory")


def tables(subject: AdviceSubject, assignment: ProfileAssignment, replay: Replay) -> Iterator[Advice]:
    """Tables with partitions that are too small, and large tables that are read by a column that orders no file."""
    for table in subject.tables:
        name, description = table.name, table.description
        target, key = f"table {name}", f"layout of `{name}` in its schema"
        if table.small_partitions:
            yield Advice("over_partitioned", target, table.small_partitions, key, "z_order")
        readers = _readers_by_column(subject, name)
        layout, size = description.layout, description.size_bytes or 0
        ordered = {*layout.partition_by, *layout.z_order} if layout else set()
        is_large = size >= LARGE_BYTES and (description.files or 0) > 1
        if readers and layout and is_large and not ordered & readers.keys():
            column = next(iter(readers))
            finding = (
                f"{size / 1e9:.1f} GB in {description.files} files; {', '.join(readers[column])} read it by "
                f"`{column}`, and no order lets them skip a file"
            )
            yield Advice("unordered", target, finding, key, f"z_order by {column}")


def _readers_by_column(subject: AdviceSubject, table: str) -> Mapping[str, list[str]]:
    """The columns in conditions on a table, and the stages that have such conditions."""
    readers: dict[str, list[str]] = {}
    for name, stage in subject.pipeline.stages.items():
        table_read = stage.table_reads.get(table)
        for column, *_ in table_read.where if table_read else ():
            if name not in readers.setdefault(column, []):
                readers[column].append(name)
    return readers
