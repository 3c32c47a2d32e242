"""A run as rows of the system tables: pure, from its record alone."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from stagebook.cost import bill
from stagebook.cost.bill import Charge, Line
from stagebook.model.pricing import Rate
from stagebook.model.record import Attempt, AttemptStatus, Leg, RunRecord, RunStatus

Row = dict[str, Any]

LOCAL = "local"
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
EXACT = Decimal("1e-18")
MIB = 1024**2
MEASURED = (
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
    """The rows that a run is told by, table by table; as many runs as there are may tell the same job."""
    billed = bill.of(record)
    clouds = {rate.profile: rate.cloud for rate in billed.rates}
    return {
        "billing.list_prices": _unique(_price(line, clouds[charge.profile]) for charge, line in _lines(billed)),
        "billing.usage": [_usage(record, charge, line, clouds[charge.profile]) for charge, line in _lines(billed)],
        "compute.clusters": [row for place, leg in enumerate(record.legs) for row in _clusters(record, place, leg)],
        "compute.node_timeline": [row for place, leg in enumerate(record.legs) for row in _minutes(record, place, leg)],
        "compute.node_types": list(_node_types(record)),
        "lakeflow.jobs": [_job(record)],
        "lakeflow.job_tasks": list(_tasks(record)),
        "lakeflow.job_run_timeline": list(_run_slices(record)),
        "lakeflow.job_task_run_timeline": list(_attempts(record)),
    }


def sku(line: Line) -> str:
    """A SKU of an estimate: its price is part of its name, so that prices that change or differ never mix."""
    return f"LOCAL_ESTIMATE:{line.item.sku_name}:{line.item.usd_per_unit.normalize():f}"


def cluster_id(record: RunRecord, leg: int, profile: str) -> str:
    """The cluster that a profile's stages share in one leg of a run."""
    return f"{record.run_id}-{leg}-{profile}"


def _lines(billed: bill.Bill) -> Iterator[tuple[Charge, Line]]:
    return ((charge, line) for charge in billed.charges for line in charge.lines)


def _price(line: Line, cloud: str) -> Row:
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


def _usage(record: RunRecord, charge: Charge, line: Line, cloud: str) -> Row:
    """One item of one charge. The quantity is such that quantity × price is the bill's amount, to 18 decimals."""
    price, stage = line.item.usd_per_unit, record.stages[charge.stage]
    rate = Rate.from_json(record.legs[charge.leg].rates[charge.profile])
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
            "cluster_id": cluster_id(record, charge.leg, charge.profile),
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


def _clusters(record: RunRecord, place: int, leg: Leg) -> Iterator[Row]:
    used = {leg.profiles.get(name) for name in record.stages if _attempts_of(record, place, name)}
    for profile in sorted(used & leg.rates.keys(), key=str):
        rate = Rate.from_json(leg.rates[str(profile)])
        cluster = rate.cluster
        fixed = cluster.min_workers == cluster.max_workers
        yield {
            **OWNER,
            "cluster_id": cluster_id(record, place, rate.profile),
            "cluster_name": rate.profile,
            "create_time": _time(leg.started_at),
            "driver_node_type": cluster.driver_node_type_id or cluster.node_type_id,
            "worker_node_type": cluster.node_type_id,
            "worker_count": cluster.max_workers if fixed else None,
            "min_autoscale_workers": None if fixed else cluster.min_workers,
            "max_autoscale_workers": None if fixed else cluster.max_workers,
            "auto_termination_minutes": cluster.idle_minutes,
            "tags": dict(cluster.custom_tags),
            "cluster_source": "JOB",
            "change_time": _time(leg.started_at),
            "change_date": datetime.fromisoformat(leg.started_at).date(),
        }


def _minutes(record: RunRecord, place: int, leg: Leg) -> Iterator[Row]:
    """What the machine did in each minute in which a cluster's stages ran: it stood for the cluster's driver."""
    after = record.legs[place + 1].started_at if place + 1 < len(record.legs) else None
    for minute in record.minutes:
        if minute["start"] < leg.started_at or (after is not None and minute["start"] >= after):
            continue
        profiles = {leg.profiles.get(stage) for stage in minute["stages"]} & leg.rates.keys()
        for profile in sorted(map(str, profiles)):
            yield {
                **OWNER,
                "cluster_id": cluster_id(record, place, profile),
                "instance_id": leg.machine["name"],
                "start_time": _time(minute["start"]),
                "end_time": _time(minute["end"]),
                "driver": True,
                **{name: minute[name] for name in MEASURED},
                "node_type": local_type(leg),
            }


def local_type(leg: Leg) -> str:
    """This machine as a node type: nobody is to take what was measured on it for what a cluster's node did."""
    return f"LOCAL:{leg.machine['cores']}x{leg.machine['memory_bytes'] // MIB}MB"


def _node_types(record: RunRecord) -> Iterator[Row]:
    """The sizes of all nodes that the run is priced by, and of the machines that it ran on."""
    sizes: dict[str, tuple[int, int, int]] = {}
    for leg in record.legs:
        if leg.machine:
            sizes[local_type(leg)] = (leg.machine["cores"], leg.machine["memory_bytes"] // MIB, 0)
        for value in leg.rates.values():
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
            "change_time": _time(record.legs[-1].started_at),
        }


def _run_slices(record: RunRecord) -> Iterator[Row]:
    """One slice for each leg that has ended; one that died has no result, and ends with its last attempt."""
    for place, leg in enumerate(record.legs):
        ends = [at.finished_at for at in _attempts_of(record, place) if at.finished_at]
        end = leg.finished_at or max(ends, default=leg.started_at)
        if leg.finished_at is None and place + 1 == len(record.legs):
            continue  # it may go on
        yield {
            **OWNER,
            "job_id": record.pipeline,
            "run_id": record.run_id,
            "period_start_time": _time(leg.started_at),
            "period_end_time": _time(end),
            "trigger_type": "ONETIME",
            "result_state": _RUN_STATE.get(leg.status),
            "run_type": "JOB_RUN",
            "run_name": record.run_id,
            "compute_ids": [row["cluster_id"] for row in _clusters(record, place, leg)],
        }


def _attempts_of(record: RunRecord, leg: int, stage: str | None = None) -> list[Attempt]:
    """The attempts that started in a leg; of one stage, or of all."""
    stages = record.stages.values() if stage is None else [record.stages[stage]]
    begin = _time(record.legs[leg].started_at)
    end = _time(record.legs[leg + 1].started_at) if leg + 1 < len(record.legs) else None
    found = (attempt for one in stages for attempt in one.attempts)
    return [at for at in found if begin <= _time(at.started_at) and (end is None or _time(at.started_at) < end)]


def _attempts(record: RunRecord) -> Iterator[Row]:
    for place, leg in enumerate(record.legs):
        for name in record.stages:
            profile = leg.profiles.get(name)
            clusters = [cluster_id(record, place, str(profile))] if profile in leg.rates else []
            for attempt in _attempts_of(record, place, name):
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


def _unique(found: Iterator[Row]) -> list[Row]:
    return list({(row["cloud"], row["sku_name"]): row for row in found}.values())


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
