"""Compares estimates with what Databricks billed, job run by job run, from the `system.*` tables of a workspace."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from stagebook.costs import bill
from stagebook.errors import ConfigError, did_you_mean
from stagebook.model.pipeline import Pipeline
from stagebook.model.record import Attempt, AttemptStatus, RunRecord, RunSession, RunStatus, StageRecord
from stagebook.system_tables.queries import JOIN, quoted

if TYPE_CHECKING:
    import pyarrow as pa

TAG = "pipeline"
"""The tag that `stagebook databricks export` gives to the job. Its clusters, and their usage, have it too."""

JOBS = "SELECT job_id, name, tags, change_time FROM system.lakeflow.jobs"

_STATES = {
    "SUCCEEDED": AttemptStatus.SUCCEEDED,
    "SUCCESS": AttemptStatus.SUCCEEDED,
    "TIMED_OUT": AttemptStatus.TIMEOUT,
    "CANCELLED": AttemptStatus.INTERRUPTED,
}


@dataclass(frozen=True)
class ReconciledRun:
    """A job run with US dollars as estimated and as billed. Databricks bills DBU only; the cloud bills the machines.

    `by` says what the estimate is based on: `record`, a run record of this project, or `timeline`, the times of the
    run's tasks in Databricks' tables. `difference_usd` is that of DBU: billed less estimated.
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


def cost_sql(jobs: Iterable[str]) -> str:
    """SQL for the costs of some jobs, by run and unit, with Databricks' own join."""
    return (
        "SELECT u.usage_metadata.job_id AS job_id, u.usage_metadata.job_run_id AS run_id, u.usage_unit AS unit,\n"
        f"  SUM(u.usage_quantity * p.pricing.default) AS usd\n{JOIN}\n"
        f"  AND u.usage_metadata.job_id IN ({_listed(jobs)})\n"
        "GROUP BY u.usage_metadata.job_id, u.usage_metadata.job_run_id, u.usage_unit"
    )


def task_slices_sql(jobs: Iterable[str]) -> str:
    """SQL for all slices of the jobs' task runs; the last slice of a task run has its `result_state`."""
    return (
        "SELECT job_id, job_run_id, run_id, task_key, period_start_time, period_end_time, result_state\n"
        f"FROM system.lakeflow.job_task_run_timeline WHERE job_id IN ({_listed(jobs)})"
    )


def run_ends_sql(jobs: Iterable[str]) -> str:
    """SQL for the times at which the jobs' runs, and repairs of runs, ended; their clusters ended with them."""
    return (
        "SELECT run_id, period_end_time FROM system.lakeflow.job_run_timeline\n"
        f"WHERE result_state IS NOT NULL AND job_id IN ({_listed(jobs)})"
    )


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(quoted(text) for text in texts)


def reconcile(
    pipeline: Pipeline, find_record: Callable[[str], RunRecord | None], run_query: Callable[[str], "pa.Table"]
) -> list[ReconciledRun]:
    """Each run of the pipeline's jobs, oldest first.

    Args:
        find_record: gives the record of a run id, where this project has one.
        run_query: runs SQL on `system.*` tables.
    Raises:
        ConfigError: no job has the pipeline's tag or name.
    """
    jobs = job_ids(run_query(JOBS).to_pylist(), pipeline.name)
    billed: dict[tuple[str, str], dict[str, Decimal]] = {}
    for row in run_query(cost_sql(jobs)).to_pylist():
        billed.setdefault((row["job_id"], row["run_id"]), {})[row["unit"]] = row["usd"]
    slices: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in run_query(task_slices_sql(jobs)).to_pylist():
        slices.setdefault((row["job_id"], row["job_run_id"]), []).append(row)
    ends: dict[str, list[datetime]] = {}
    for row in run_query(run_ends_sql(jobs)).to_pylist():
        ends.setdefault(row["run_id"], []).append(row["period_end_time"])
    runs = []
    for (job_id, run_id), usd_by_unit in billed.items():
        record = find_record(run_id)
        by = "record" if record else "timeline"
        record = record or record_from_timeline(
            run_id, pipeline, slices.get((job_id, run_id), []), ends.get(run_id, [])
        )
        runs.append(_reconciled(job_id, record, by, usd_by_unit))
    return sorted(runs, key=lambda run: (str(run.started_at or ""), run.run_id))


def job_ids(jobs: Iterable[Mapping[str, Any]], pipeline: str) -> list[str]:
    """The jobs of this pipeline: by tag, else by name, with or without the prefix of a development target.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    newest = {row["job_id"]: row for row in sorted(jobs, key=lambda row: row["change_time"])}
    by_tag = [job_id for job_id, row in newest.items() if dict(row["tags"] or {}).get(TAG) == pipeline]
    by_name = [job_id for job_id, row in newest.items() if (row["name"] or "").rpartition("] ")[2] == pipeline]
    if not by_tag and not by_name:
        names = sorted({row["name"] for row in newest.values() if row["name"]})
        raise ConfigError(
            f"no job in system.lakeflow.jobs has the tag {TAG}={pipeline}, or that name.{did_you_mean(pipeline, names)}"
            "\n"
            "  `stagebook databricks export` gives the tag, unless `databricks.attribution` is false."
        )
    return by_tag or by_name


def _reconciled(job_id: str, record: RunRecord, by: str, usd_by_unit: Mapping[str, Decimal]) -> ReconciledRun:
    estimated_dbu, estimated_machines = _split(bill.of(record))
    actual_dbu = usd_by_unit.get("DBU", Decimal(0)).quantize(bill.MICRO)
    machines = [usd for unit, usd in usd_by_unit.items() if unit != "DBU"]
    return ReconciledRun(
        job_id=job_id,
        run_id=record.run_id,
        started_at=datetime.fromisoformat(record.started_at) if record.started_at else None,
        by=by,
        estimated_dbu_usd=estimated_dbu,
        actual_dbu_usd=actual_dbu,
        difference_usd=actual_dbu - estimated_dbu,
        difference_percent=round(float(actual_dbu / estimated_dbu - 1) * 100, 1) if estimated_dbu else None,
        estimated_machines_usd=estimated_machines,
        actual_machines_usd=sum(machines, Decimal(0)).quantize(bill.MICRO) if machines else None,
    )


def _split(run_bill: bill.Bill) -> tuple[Decimal, Decimal]:
    """US dollars of DBU, and of machines."""
    lines = [line for charge in run_bill.charges for line in charge.lines]
    dbu = sum((line.usd.likely for line in lines if line.item.unit == "DBU"), Decimal(0))
    return dbu, run_bill.total.total.likely - dbu


def record_from_timeline(
    run_id: str, pipeline: Pipeline, slices: Iterable[Mapping[str, Any]], run_ends: Iterable[datetime] = ()
) -> RunRecord:
    """The record of a job run, from the times of its tasks, and the profiles and prices of the parameter file.

    Tasks that are not stages, such as conditions, take no cluster. A task run that has not ended does not count.

    Args:
        run_ends: when the run ended, and each repair of it, which has clusters of its own.
    """
    stages = {name: StageRecord(name, "", [], profile=stage.profile) for name, stage in pipeline.stages.items()}
    attempts = [(name, attempt) for name, attempt in _attempts(slices) if name in stages]
    for name, attempt in attempts:
        attempt.n = len(stages[name].attempts) + 1
        stages[name].attempts.append(attempt)
    profiles = {name: stage.profile for name, stage in pipeline.stages.items()}
    rates = {name: rate.to_json() for name, rate in pipeline.rates.items()}
    session_starts: dict[int, str] = {}
    ends = sorted(run_ends)
    for _, attempt in attempts:
        session_index = sum(end <= datetime.fromisoformat(attempt.started_at) for end in ends)
        session_starts.setdefault(session_index, attempt.started_at)
    last_end = max((str(attempt.finished_at) for _, attempt in attempts), default=None)
    return RunRecord(
        run_id=run_id,
        pipeline=pipeline.name,
        started_at=next(iter(session_starts.values()), ""),
        status=RunStatus.SUCCEEDED,
        finished_at=last_end,
        stages=stages,
        sessions=[RunSession(start, profiles, rates, finished_at=last_end) for start in session_starts.values()],
    )


def _attempts(slices: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Attempt]]:
    """Each task run, joined from its slices, in the order of their starts."""
    by_run: dict[str, list[Mapping[str, Any]]] = {}
    for row in slices:
        by_run.setdefault(row["run_id"], []).append(row)
    task_runs = []
    for rows in by_run.values():
        states = [row["result_state"] for row in rows if row["result_state"]]
        if states:
            start, end = min(row["period_start_time"] for row in rows), max(row["period_end_time"] for row in rows)
            task_runs.append((start, end, rows[0]["task_key"], _STATES.get(states[-1], AttemptStatus.FAILED)))
    for start, end, task, status in sorted(task_runs, key=lambda task_run: task_run[:3]):
        seconds = (end - start).total_seconds()
        yield task, Attempt(1, status, start.isoformat(), "", end.isoformat(), seconds)
