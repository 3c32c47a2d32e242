"""What this machine did, minute by minute, while attempts ran: processor, memory, network, as Databricks tells it."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from stagebook.machine import memory
from stagebook.model.record import RunRecord
from stagebook.runs.recorder import RunRecorder, stamp

SAMPLE_SECONDS = 5.0
"""Memory is sampled this often; a minute's figure is the mean."""

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class MachineCounters:
    """What the machine has counted so far. Processor times are seconds over all cores; memory is shares, 0 to 100."""

    at: datetime
    user: float
    system: float
    wait: float
    total: float
    sent: int
    received: int
    mem_used: float
    mem_swap: float
    disk_free: Mapping[str, int] = field(default_factory=dict)


def read(at: datetime, folder: Path) -> MachineCounters:
    """The counters as they are now, and what is free on the disk of a folder."""
    import psutil

    cpu = psutil.cpu_times()._asdict()
    net, ram = psutil.net_io_counters(), memory()
    disk = next(part for part in (folder, *folder.parents) if part.is_mount())
    return MachineCounters(
        at=at,
        user=cpu["user"] + cpu.get("nice", 0.0),
        system=cpu["system"] + cpu.get("irq", 0.0) + cpu.get("softirq", 0.0),
        wait=cpu.get("iowait", 0.0),
        total=sum(seconds for name, seconds in cpu.items() if not name.startswith("guest")),  # in `user` already
        sent=net.bytes_sent if net else 0,
        received=net.bytes_recv if net else 0,
        mem_used=100 * (1 - ram.free / ram.total),
        mem_swap=psutil.swap_memory().percent,
        disk_free={str(disk): psutil.disk_usage(str(disk)).free},
    )


def minute(readings: list[MachineCounters]) -> dict[str, Any]:
    """What happened between the first reading and the last, as `compute.node_timeline` has it."""
    first, last = readings[0], readings[-1]
    busy = max(last.total - first.total, 1e-9)

    def share(name: str) -> float:
        return round(min(100.0, max(0.0, 100 * (getattr(last, name) - getattr(first, name)) / busy)), 2)

    def mean(name: str) -> float:
        return round(sum(getattr(reading, name) for reading in readings) / len(readings), 2)

    return {
        "start": stamp(first.at),
        "end": stamp(last.at),
        "cpu_user_percent": share("user"),
        "cpu_system_percent": share("system"),
        "cpu_wait_percent": share("wait"),
        "mem_used_percent": mean("mem_used"),
        "mem_swap_percent": mean("mem_swap"),
        "network_sent_bytes": max(0, last.sent - first.sent),
        "network_received_bytes": max(0, last.received - first.received),
        "disk_free_bytes_per_mount_point": dict(last.disk_free),
    }


def running(record: RunRecord, start: datetime, end: datetime) -> list[str]:
    """The stages of which an attempt ran at some time between two instants."""
    return [
        name
        for name, stage in record.stages.items()
        for attempt in stage.attempts[-1:]
        if datetime.fromisoformat(attempt.started_at) < end
        and (attempt.finished_at is None or datetime.fromisoformat(attempt.finished_at) > start)
    ]


@contextmanager
def measure_minutes(recorder: RunRecorder, clock: Callable[[], datetime], *, is_needed: bool) -> Iterator[None]:
    """Record each minute of the clock in which an attempt ran; the last one as far as it went.

    Args: is_needed: whether there is anything to measure.
    """
    if not is_needed:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_measure, args=(recorder, clock, ended), name="meter", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _measure(recorder: RunRecorder, clock: Callable[[], datetime], ended: threading.Event) -> None:
    folder = recorder.folder.path.absolute()
    readings = [read(clock(), folder)]
    while True:
        last = ended.wait(_seconds_to_wait(readings[-1].at))
        readings.append(read(clock(), folder))
        first, now = readings[0].at, readings[-1].at
        if last or _minute_of(first) != _minute_of(now):
            if now > first and (stages := running(recorder.record, first, now)):
                recorder.emit_optional("minute_measured", stages=stages, **minute(readings))
            readings = readings[-1:]
        if last:
            return


def _seconds_to_wait(now: datetime) -> float:
    """Until memory is sampled again, or the minute ends."""
    return min(SAMPLE_SECONDS, (_minute_of(now) + MINUTE - now).total_seconds())


def _minute_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0)
