"""What stages need of a machine, as their attempts were measured on this one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil

from stagebook.costs.prediction import MAX_RUNS, runs_in_words
from stagebook.model.pricing import NodeSize, NodeType
from stagebook.model.record import Attempt, AttemptStatus, RunRecord

HEADROOM = Decimal("1.5")
"""Memory that a machine must have, as a multiple of the measured peak."""

RUNTIME_GB = Decimal(4)
"""Memory that the cluster's own runtime takes: a guess."""

SPARE_CORES = 2
"""Cores that a machine must have, as a multiple of the mean use: work comes in bursts."""

BUSY_PERCENT = 90
"""A machine with a higher CPU use than this has no core to spare."""


@dataclass(frozen=True)
class MachineNeed:
    """What a stage used in `runs` runs: the peak memory of its largest process in GiB, the highest mean use of cores.

    `machine_cores` is how many cores its machine had; None where the journals do not say. `crowded`: other work used
    the remaining cores, so that nobody knows how many the stage could have used.
    """

    runs: int
    peak_gb: Decimal
    cores: Decimal
    machine_cores: int | None
    crowded: bool = False

    @property
    def memory_gb(self) -> Decimal:
        """GiB that a machine must have."""
        return self.peak_gb * HEADROOM + RUNTIME_GB

    @property
    def vcpu(self) -> int:
        """Cores that a machine must have for the stage to take as long; never more than its machine had."""
        needed = ceil(self.cores * SPARE_CORES)
        if self.machine_cores is None:
            return max(1, needed)
        return self.machine_cores if self.crowded else max(1, min(needed, self.machine_cores))

    def fits(self, node: NodeSize | NodeType) -> bool:
        """Whether a machine would have been enough."""
        return node.memory_gb >= self.memory_gb and node.vcpu >= self.vcpu

    def to_text(self) -> str:
        """`at most 0.9 GiB and 1.2 of 2 cores in 12 runs`."""
        total = f" of {self.machine_cores}" if self.machine_cores else ""
        crowd = " (other work used the rest)" if self.crowded else ""
        return f"at most {self.peak_gb:.2f} GiB and {self.cores:.1f}{total} cores{crowd} in {runs_in_words(self.runs)}"


def machine_needs(records: Iterable[RunRecord]) -> tuple[dict[str, MachineNeed], dict[str, str]]:
    """The need of each stage; and, for stages that cannot be judged, the reason.

    Args:
        records: runs of one pipeline, oldest first. The last 30 successes of a stage count, on the engine of the last.
    """
    samples: dict[str, list[tuple[str | None, _Sample]]] = {}
    out_of_memory: set[str] = set()
    for record in records:
        for name, stage in record.stages.items():
            for attempt in stage.attempts:
                if attempt.status is AttemptStatus.SUCCEEDED:
                    sample = _Sample(attempt, _machine_cores(record, attempt), _machine_percent(record, attempt))
                    samples.setdefault(name, []).append((stage.engine, sample))
                elif (attempt.error or {}).get("type") == "OutOfMemory":
                    out_of_memory.add(name)
    needs: dict[str, MachineNeed] = {}
    reasons: dict[str, str] = {}
    for name, stage_samples in samples.items():
        last_engine = stage_samples[-1][0]
        need = _need([sample for engine, sample in stage_samples if engine == last_engine][-MAX_RUNS:])
        if last_engine == "spark":
            reasons[name] = "it computes on Spark, whose memory and CPU are not those of the attempt"
        elif name in out_of_memory:
            reasons[name] = "an attempt of it ran out of memory"
        elif need is None:
            reasons[name] = "its attempts were not measured"
        else:
            needs[name] = need
    return needs, reasons


@dataclass(frozen=True)
class _Sample:
    """An attempt, the cores of its machine, and the CPU use of the whole machine while it ran."""

    attempt: Attempt
    machine_cores: int | None
    machine_percent: float | None

    @property
    def cores(self) -> float | None:
        if not self.attempt.cpu_seconds or not self.attempt.seconds:
            return None
        return self.attempt.cpu_seconds / self.attempt.seconds

    @property
    def is_crowded(self) -> bool:
        """Whether the machine had no core to spare, and other work used a good part of them."""
        if self.machine_percent is None or self.machine_percent < BUSY_PERCENT or not self.machine_cores:
            return False
        return (self.cores or 0) < self.machine_cores * BUSY_PERCENT / 100


def _need(samples: Sequence[_Sample]) -> MachineNeed | None:
    peaks = [sample.attempt.peak_rss_bytes for sample in samples if sample.attempt.peak_rss_bytes]
    used_cores = [cores for sample in samples if (cores := sample.cores)]
    if not peaks or not used_cores:
        return None
    machine_cores = [sample.machine_cores for sample in samples if sample.machine_cores is not None]
    return MachineNeed(
        runs=len(samples),
        peak_gb=Decimal(max(peaks)) / 1024**3,
        cores=Decimal(str(max(used_cores))),
        machine_cores=max(machine_cores, default=None),
        crowded=all(sample.is_crowded for sample in samples),
    )


def _machine_percent(record: RunRecord, attempt: Attempt) -> float | None:
    """The mean CPU use of the machine, in percent, over the minutes in which an attempt ran."""
    end = attempt.finished_at or attempt.started_at
    percents = [
        minute["cpu_user_percent"] + minute["cpu_system_percent"]
        for minute in record.minutes
        if minute["start"] < end and minute["end"] > attempt.started_at
    ]
    return sum(percents) / len(percents) if percents else None


def _machine_cores(record: RunRecord, attempt: Attempt) -> int | None:
    """The cores of the machine that an attempt ran on."""
    sessions = [session for session in record.sessions if session.started_at <= attempt.started_at]
    return sessions[-1].machine.get("cores") if sessions else None
