"""The rows of the system tables for a run: a pure function of its record."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from stagebook.costs import bill
from stagebook.costs.bill import BillLine, Charge
from stagebook.model.pricing import Rate
from stagebook.model.record import Attempt, AttemptStatus, RunRecord, RunSession, RunStatus

Row = dict[str, Any]

LOCAL = "local"
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
EXACT = Decimal("1e-18")
MIB = 1024**2
METRICS = (
    "cpu_user_percent", "cpu_system_percent", "cpu_wait_percent", "mem_used_percent", "mem_swap_percent",
    "network_sent_bytes", "network_received_bytes", "disk_free_bytes_per_mount_point",
)  # fmt: skip
OWNER = {"account_id": LOCAL, "workspace_id": LOCAL}

_RUN_STATE = {RunStatus.SUCCEEDED: "SUCCEEDED", RunStatus.FAILED: "FAILED", RunStatus.INTERRUPTED: "CANCELLED"}
_ATTEMPT_STATE = {
    AttemptStatus.SUCCEEDED: "SUCCEEDED",
    AttemptStatus.TIMEOUT: "TIMED_OUT",
    AttemptStatus.INTERRUPTED: "CANCELLED",
    AttemptStatus.KERNEL_DIED: "ERROR",
    AttemptStatus.FAILED: "FAILED",
}


def rows(record: RunRecord) -> dict[str, list[Row]]:
    """The rows of a run by table. Runs of one pipeline share the rows of their job, node types and prices."""
    run_bill = bill.of(record)
    clouds = {rate.profile: rate.cloud for rate in run_bill.rates}
    lines = [(charge, line) for charge in run_bill.charges for line in charge.lines]
    sessions = list(enumerate(record.sessions))
    return {
        "billing.list_prices": _unique(_price(line, clouds[charge.profile]) for charge, line in lines),
        "billing.usage": [_usage(record, charge, line, clouds[charge.profile]) for charge, line in lines],
        "compute.clusters": [row for index, session in sessions for row in _clusters(record, index, session)],
        "compute.node_timeline": [row for index, session in sessions for row in _minutes(record, index, session)],
        "compute.node_types": list(_node_types(record)),
        "lakeflow.jobs": [_job(record)],
        "lakeflow.job_tasks": list(_tasks(record)),
        "lakeflow.job_run_timeline": list(_run_slices(record)),
        "lakeflow.job_task_run_timeline": list(_attempts(record)),
    }


def sku(line: BillLine) -> str:
    """The SKU name of an estimate. The price is part of it, so that rows with different prices never mix."""
    return f"LOCAL_ESTIMATE:{line.item.sku_name}:{line.item.usd_per_unit.normalize():f}"


def cluster_id(record: RunRecord, session_index: int, profile: str) -> str:
    """The id of the cluster that a profile's stages share in one session of a run."""
    return f"{record.run_id}-{session_index}-{profile}"


def _price(line: BillLine, cloud: str) -> Row:
    price = line.item.usd_per_unit
    return {
        "account_id": LOCAL,
        "price_start_time": EPOCH,
        "sku_name": sku(line),
        "cloud": cloud,
        "currency_code": bill.CURRENCY,
        "usage_unit": line.item.unit,
        "pricing": {"default": price, "promotional": {"default": price}, "effective_list": {"default": price}},
    }


def _usage(record: RunRecord, charge: Charge, line: BillLine, cloud: str) -> Row:
    """One line of a charge. Its quantity × price is the amount of the bill, to 18 decimals."""
    price, stage = line.item.usd_per_unit, record.stages[charge.stage]
    rate = Rate.from_json(record.sessions[charge.session].rates[charge.profile])
    return {
        **OWNER,
        "sku_name": sku(line),
        "cloud": cloud,
        "usage_start_time": charge.start,
        "usage_end_time": charge.end,
        "usage_date": charge.start.date(),
        "custom_tags": {
            **rate.cluster.custom_tags,
            "pipeline": record.pipeline,
            "stage": charge.stage,
            "attempt": str(charge.attempt),
            "spent_on": charge.kind.value,
            "profile": charge.profile,
        },
        "usage_unit": line.item.unit,
        "usage_quantity": (line.usd.likely / price).quantize(EXACT) if price else line.quantity,
        "usage_metadata": {
            "cluster_id": cluster_id(record, charge.session, charge.profile),
            "job_id": record.pipeline,
            "job_run_id": record.run_id,
            "job_name": record.pipeline,
            "run_name": record.run_id,
            "notebook_path": stage.notebook,
            "node_type": rate.cluster.node_type_id,
        },
        "billing_origin_product": "JOBS",
        "product_features": {"is_serverless": not rate.shared, "is_photon": rate.cluster.photon},
        "usage_type": "COMPUTE_TIME",
    }


def _clusters(record: RunRecord, session_index: int, session: RunSession) -> Iterator[Row]:
    used = {session.profiles.get(name) for name in record.stages if _attempts_of(record, session_index, name)}
    for profile in sorted(used & session.rates.keys(), key=str):
        rate = Rate.from_json(session.rates[str(profile)])
        cluster = rate.cluster
        is_fixed = cluster.min_workers == cluster.max_workers
        yield {
            **OWNER,
            "cluster_id": cluster_id(record, session_index, rate.profile),
            "cluster_name": rate.profile,
            "create_time": _time(session.started_at),
            "driver_node_type": cluster.driver_node_type_id or cluster.node_type_id,
            "worker_node_type": cluster.node_type_id,
            "worker_count": cluster.max_workers if is_fixed else None,
            "min_autoscale_workers": None if is_fixed else cluster.min_workers,
            "max_autoscale_workers": None if is_fixed else cluster.max_workers,
            "auto_termination_minutes": cluster.idle_minutes,
            "tags": dict(cluster.custom_tags),
            "cluster_source": "JOB",
            "change_time": _time(session.started_at),
            "change_date": _time(session.started_at).date(),
        }


def _minutes(record: RunRecord, session_index: int, session: RunSession) -> Iterator[Row]:
    """The metrics of this machine in each minute in which a cluster's stages ran, as those of the cluster's driver."""
    end = record.sessions[session_index + 1].started_at if session_index + 1 < len(record.sessions) else None
    for minute in record.minutes:
        if minute["start"] < session.started_at or (end is not None and minute["start"] >= end):
            continue
        profiles = {session.profiles.get(stage) for stage in minute["stages"]} & session.rates.keys()
        for profile in sorted(map(str, profiles)):
            yield {
                **OWNER,
                "cluster_id": cluster_id(record, session_index, profile),
                "instance_id": session.machine["name"],
                "start_time": _time(minute["start"]),
                "end_time": _time(minute["end"]),
                "driver": True,
                **{name: minute[name] for name in METRICS},
                "node_type": local_node_type(session),
            }


def local_node_type(session: RunSession) -> str:
    """The node type of this machine. Its own name keeps its metrics apart from those of a cluster's node."""
    return f"LOCAL:{session.machine['cores']}x{session.machine['memory_bytes'] // MIB}MB"


def _node_types(record: RunRecord) -> Iterator[Row]:
    """The sizes of all nodes in the run's rates, and of the machines that it ran on."""
    sizes: dict[str, tuple[int, int, int]] = {}
    for session in record.sessions:
        if session.machine:
            sizes[local_node_type(session)] = (session.machine["cores"], session.machine["memory_bytes"] // MIB, 0)
        for value in session.rates.values():
            for node in Rate.from_json(value).nodes:
                sizes[node.node_type_id] = (node.vcpu, int(node.memory_gb * 1024), node.gpus)
    for name, (cores, memory_mb, gpus) in sizes.items():
        size = {"core_count": float(cores), "memory_mb": memory_mb, "gpu_count": gpus}
        yield {"account_id": LOCAL, "node_type": name, **size}


def _job(record: RunRecord) -> Row:
    return {
        **OWNER,
        "job_id": record.pipeline,
        "name": record.pipeline,
        "tags": {"pipeline": record.pipeline},
        "change_time": _time(record.started_at),
    }


def _tasks(record: RunRecord) -> Iterator[Row]:
    for name, stage in record.stages.items():
        yield {
            **OWNER,
            "job_id": record.pipeline,
            "task_key": name,
            "depends_on_keys": list(stage.depends_on),
            "change_time": _time(record.sessions[-1].started_at),
        }


def _run_slices(record: RunRecord) -> Iterator[Row]:
    """One slice for each session that has ended; one that died has no result, and ends with its last attempt."""
    for index, session in enumerate(record.sessions):
        if session.finished_at is None and index + 1 == len(record.sessions):
            continue  # it may still be running
        ends = [attempt.finished_at for attempt in _attempts_of(record, index) if attempt.finished_at]
        yield {
            **OWNER,
            "job_id": record.pipeline,
            "run_id": record.run_id,
            "period_start_time": _time(session.started_at),
            "period_end_time": _time(session.finished_at or max(ends, default=session.started_at)),
            "trigger_type": "ONETIME",
            "result_state": _RUN_STATE.get(session.status),
            "run_type": "JOB_RUN",
            "run_name": record.run_id,
            "compute_ids": [row["cluster_id"] for row in _clusters(record, index, session)],
        }


def _attempts_of(record: RunRecord, session_index: int, stage: str | None = None) -> list[Attempt]:
    """The attempts that started in a session; of one stage, or of all."""
    stages = record.stages.values() if stage is None else [record.stages[stage]]
    begin = _time(record.sessions[session_index].started_at)
    is_last = session_index + 1 == len(record.sessions)
    end = None if is_last else _time(record.sessions[session_index + 1].started_at)
    starts = ((_time(attempt.started_at), attempt) for stage_record in stages for attempt in stage_record.attempts)
    return [attempt for start, attempt in starts if begin <= start and (end is None or start < end)]


def _attempts(record: RunRecord) -> Iterator[Row]:
    for index, session in enumerate(record.sessions):
        for name in record.stages:
            profile = session.profiles.get(name)
            clusters = [cluster_id(record, index, str(profile))] if profile in session.rates else []
            for attempt in _attempts_of(record, index, name):
                if attempt.finished_at is not None:
                    yield _attempt(record, name, attempt, attempt.finished_at, clusters)


def _attempt(record: RunRecord, stage: str, attempt: Attempt, finished_at: str, clusters: list[str]) -> Row:
    return {
        **OWNER,
        "job_id": record.pipeline,
        "run_id": f"{record.run_id}/{stage}/{attempt.n}",
        "period_start_time": _time(attempt.started_at),
        "period_end_time": _time(finished_at),
        "task_key": stage,
        "compute_ids": clusters,
        "result_state": _ATTEMPT_STATE[attempt.status],
        "job_run_id": record.run_id,
        "parent_run_id": record.run_id,
    }


def _unique(prices: Iterator[Row]) -> list[Row]:
    return list({(row["cloud"], row["sku_name"]): row for row in prices}.values())


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
