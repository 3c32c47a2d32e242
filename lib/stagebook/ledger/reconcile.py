"""Estimates against what Databricks billed: job run by job run, from the `system.*` tables of a workspace."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from stagebook.cost import bill
from stagebook.errors import ConfigError, did_you_mean
from stagebook.ledger.questions import JOIN, quoted
from stagebook.model.pipeline import Pipeline
from stagebook.model.record import Attempt, AttemptStatus, Leg, RunRecord, RunStatus, StageRecord

if TYPE_CHECKING:
    import pyarrow as pa

TAG = "pipeline"
"""The tag that `stagebook export databricks` gives to the job; its clusters, and what they are billed, have it too."""

JOBS = "SELECT job_id, name, tags, change_time FROM system.lakeflow.jobs"

_STATES = {
    "SUCCEEDED": AttemptStatus.SUCCEEDED,
    "SUCCESS": AttemptStatus.SUCCEEDED,
    "TIMED_OUT": AttemptStatus.TIMEOUT,
    "CANCELLED": AttemptStatus.INTERRUPTED,
}


@dataclass(frozen=True)
class Compared:
    """A job run: US dollars as estimated and as billed. Databricks bills DBU; the machines are the cloud's bill.

    `by` says what was estimated: `record`, a run that this project has kept, or `timeline`, the times that
    Databricks tells of the run's tasks. `difference_usd` is of DBU: billed less estimated.
    """

    job_id: str
    run_id: str
    started_at: datetime | None
    by: str
    estimated_dbu_usd: Decimal
    actual_dbu_usd: Decimal
    difference_usd: Decimal
    difference_percent: float | None
    estimated_machines_usd: Decimal
    actual_machines_usd: Decimal | None


def costs(jobs: Iterable[str]) -> str:
    """The platform's own join, for some jobs, by run and unit."""
    return (
        "SELECT u.usage_metadata.job_id AS job_id, u.usage_metadata.job_run_id AS run_id, u.usage_unit AS unit,\n"
        f"  SUM(u.usage_quantity * p.pricing.default) AS usd\n{JOIN}\n"
        f"  AND u.usage_metadata.job_id IN ({_listed(jobs)})\n"
        "GROUP BY u.usage_metadata.job_id, u.usage_metadata.job_run_id, u.usage_unit"
    )


def tasks(jobs: Iterable[str]) -> str:
    """All slices of the jobs' task runs; the last of a task run has its `result_state`."""
    return (
        "SELECT job_id, job_run_id, run_id, task_key, period_start_time, period_end_time, result_state\n"
        f"FROM system.lakeflow.job_task_run_timeline WHERE job_id IN ({_listed(jobs)})"
    )


def ends(jobs: Iterable[str]) -> str:
    """When the jobs' runs ended, and each repair of one: then their clusters ended too."""
    return (
        "SELECT run_id, period_end_time FROM system.lakeflow.job_run_timeline\n"
        f"WHERE result_state IS NOT NULL AND job_id IN ({_listed(jobs)})"
    )


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(quoted(text) for text in texts)


def reconcile(
    pipeline: Pipeline, kept: Callable[[str], RunRecord | None], ask: Callable[[str], "pa.Table"]
) -> list[Compared]:
    """Each run of the pipeline's jobs, oldest first.

    Args:
        kept: the record of a run id, where this project has one.
        ask: answers SQL on `system.*` tables.
    Raises:
        ConfigError: no job has the pipeline's tag or name.
    """
    jobs = job_ids(ask(JOBS).to_pylist(), pipeline.name)
    billed: dict[tuple[str, str], dict[str, Decimal]] = {}
    for row in ask(costs(jobs)).to_pylist():
        billed.setdefault((row["job_id"], row["run_id"]), {})[row["unit"]] = row["usd"]
    slices: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in ask(tasks(jobs)).to_pylist():
        slices.setdefault((row["job_id"], row["job_run_id"]), []).append(row)
    ended: dict[str, list[datetime]] = {}
    for row in ask(ends(jobs)).to_pylist():
        ended.setdefault(row["run_id"], []).append(row["period_end_time"])
    found = []
    for key, usd in billed.items():
        record = kept(key[1])
        by = "record" if record else "timeline"
        record = record or as_record(key[1], pipeline, slices.get(key, []), ended.get(key[1], []))
        found.append(_compared(key[0], record, by, usd))
    return sorted(found, key=lambda one: (str(one.started_at or ""), one.run_id))


def job_ids(jobs: Iterable[Mapping[str, Any]], pipeline: str) -> list[str]:
    """The jobs that are this pipeline: by tag, else by name, with or without the prefix of a development target.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    newest = {row["job_id"]: row for row in sorted(jobs, key=lambda row: row["change_time"])}
    tagged = [name for name, row in newest.items() if dict(row["tags"] or {}).get(TAG) == pipeline]
    named = [name for name, row in newest.items() if (row["name"] or "").rpartition("] ")[2] == pipeline]
    if not tagged and not named:
        names = sorted({row["name"] for row in newest.values() if row["name"]})
        raise ConfigError(
            f"no job in system.lakeflow.jobs has the tag {TAG}={pipeline}, or that name.{did_you_mean(pipeline, names)}"
            "\n"
            "  `stagebook export databricks` gives the tag, unless `databricks.attribution` is false."
        )
    return tagged or named


def _compared(job_id: str, record: RunRecord, by: str, billed: Mapping[str, Decimal]) -> Compared:
    dbu, machines = _split(bill.of(record))
    actual = billed.get("DBU", Decimal(0)).quantize(bill.MICRO)
    others = [usd for unit, usd in billed.items() if unit != "DBU"]
    return Compared(
        job_id=job_id,
        run_id=record.run_id,
        started_at=datetime.fromisoformat(record.started_at) if record.started_at else None,
        by=by,
        estimated_dbu_usd=dbu,
        actual_dbu_usd=actual,
        difference_usd=actual - dbu,
        difference_percent=round(float(actual / dbu - 1) * 100, 1) if dbu else None,
        estimated_machines_usd=machines,
        actual_machines_usd=sum(others, Decimal(0)).quantize(bill.MICRO) if others else None,
    )


def _split(billed: bill.Bill) -> tuple[Decimal, Decimal]:
    """US dollars of DBU, and of machines."""
    lines = [line for charge in billed.charges for line in charge.lines]
    dbu = sum((line.usd.likely for line in lines if line.item.unit == "DBU"), Decimal(0))
    return dbu, billed.total.total.likely - dbu


def as_record(
    run_id: str, pipeline: Pipeline, slices: Iterable[Mapping[str, Any]], ended: Iterable[datetime] = ()
) -> RunRecord:
    """A job run as this kit would have told it: the times of its tasks, the profiles and prices of the parameter file.

    Tasks that are no stages, such as conditions, take no cluster. A task run that goes on is not counted.

    Args:
        ended: when the run ended, and each repair of it, which has clusters of its own.
    """
    stages = {name: StageRecord(name, "", [], profile=stage.profile) for name, stage in pipeline.stages.items()}
    attempts = [(name, found) for name, found in _attempts(slices) if name in stages]
    for name, found in attempts:
        found.n = len(stages[name].attempts) + 1
        stages[name].attempts.append(found)
    profiles = {name: stage.profile for name, stage in pipeline.stages.items()}
    rates = {name: rate.to_json() for name, rate in pipeline.rates.items()}
    begins: dict[int, str] = {}
    bounds = sorted(ended)
    for _, found in attempts:
        part = sum(end <= datetime.fromisoformat(found.started_at) for end in bounds)
        begins.setdefault(part, found.started_at)
    last = max((str(found.finished_at) for _, found in attempts), default=None)
    return RunRecord(
        run_id=run_id,
        pipeline=pipeline.name,
        started_at=next(iter(begins.values()), ""),
        status=RunStatus.SUCCEEDED,
        finished_at=last,
        stages=stages,
        legs=[Leg(begin, profiles, rates, finished_at=last) for begin in begins.values()],
    )


def _attempts(slices: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Attempt]]:
    """Each task run, put together from its slices, in the order of their starts."""
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for row in slices:
        runs.setdefault(row["run_id"], []).append(row)
    found = []
    for rows in runs.values():
        states = [row["result_state"] for row in rows if row["result_state"]]
        if states:
            start, end = min(row["period_start_time"] for row in rows), max(row["period_end_time"] for row in rows)
            found.append((start, end, rows[0]["task_key"], _STATES.get(states[-1], AttemptStatus.FAILED)))
    for start, end, task, status in sorted(found, key=lambda one: one[:3]):
        seconds = (end - start).total_seconds()
        yield task, Attempt(1, status, start.isoformat(), "", end.isoformat(), seconds)
