"""What stages needed of a machine, as their attempts were measured on this one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil

from stagebook.cost.history import LAST, runs_in_words
from stagebook.model.pricing import NodeSize, NodeType
from stagebook.model.record import Attempt, AttemptStatus, RunRecord

HEADROOM = Decimal("1.5")
"""Memory that a machine must have, as a multiple of the most that was held."""

RUNTIME_GB = Decimal(4)
"""Memory that the cluster's own runtime takes: a guess."""

SPARE_CORES = 2
"""Cores that a machine must have, as a multiple of the mean use: work comes in bursts."""

BUSY_PERCENT = 90
"""A machine that computes more than this leaves nobody what he could use."""


@dataclass(frozen=True)
class Need:
    """What a stage took: the most memory of its largest process in GiB, the highest mean use of cores, in `runs` runs.

    `cores_there` is how many the machine had that it ran on; None where the journals do not tell. `crowded`: other
    work had the rest of them, so that nobody knows how many it could have used.
    """

    runs: int
    peak_gb: Decimal
    cores: Decimal
    cores_there: int | None
    crowded: bool = False

    @property
    def memory_gb(self) -> Decimal:
        """GiB that a machine must have."""
        return self.peak_gb * HEADROOM + RUNTIME_GB

    @property
    def vcpu(self) -> int:
        """Cores that a machine must have, for a stage to take as long: it cannot have used more than were there."""
        wanted = ceil(self.cores * SPARE_CORES)
        if self.cores_there is None:
            return max(1, wanted)
        return self.cores_there if self.crowded else max(1, min(wanted, self.cores_there))

    def fits(self, node: NodeSize | NodeType) -> bool:
        """Whether a machine would have been enough."""
        return node.memory_gb >= self.memory_gb and node.vcpu >= self.vcpu

    def to_text(self) -> str:
        """`at most 0.9 GiB and 1.2 of 2 cores in 12 runs`."""
        there = f" of {self.cores_there}" if self.cores_there else ""
        crowd = ", of which other work had the rest," if self.crowded else ""
        return f"at most {self.peak_gb:.2f} GiB and {self.cores:.1f}{there} cores{crowd} in {runs_in_words(self.runs)}"


def needs(records: Iterable[RunRecord]) -> tuple[dict[str, Need], dict[str, str]]:
    """What each stage needed, and why nothing can be said of others.

    Args:
        records: runs of one pipeline, oldest first. The last 30 successes of a stage count, on the engine of the last.
    """
    told: dict[str, list[tuple[str | None, _Sample]]] = {}
    died: set[str] = set()
    for record in records:
        for name, stage in record.stages.items():
            for attempt in stage.attempts:
                if attempt.status is AttemptStatus.SUCCEEDED:
                    sample = _Sample(attempt, _cores_there(record, attempt), _machine_used(record, attempt))
                    told.setdefault(name, []).append((stage.engine, sample))
                elif (attempt.error or {}).get("type") == "OutOfMemory":
                    died.add(name)
    found: dict[str, Need] = {}
    unknown: dict[str, str] = {}
    for name, samples in told.items():
        engine = samples[-1][0]
        need = _need([sample for used, sample in samples if used == engine][-LAST:])
        if engine == "spark":
            unknown[name] = "it computes on Spark, whose memory and CPU are not those of the attempt"
        elif name in died:
            unknown[name] = "an attempt of it ran out of memory"
        elif need is None:
            unknown[name] = "its attempts were not measured"
        else:
            found[name] = need
    return found, unknown


@dataclass(frozen=True)
class _Sample:
    """An attempt, the cores that were there, and the share of them that the whole machine used meanwhile."""

    attempt: Attempt
    cores_there: int | None
    machine_percent: float | None

    @property
    def cores(self) -> float | None:
        if not self.attempt.cpu_seconds or not self.attempt.seconds:
            return None
        return self.attempt.cpu_seconds / self.attempt.seconds

    @property
    def is_crowded(self) -> bool:
        """Whether the machine had no core left, and others had a good part of them."""
        if self.machine_percent is None or self.machine_percent < BUSY_PERCENT or not self.cores_there:
            return False
        return (self.cores or 0) < self.cores_there * BUSY_PERCENT / 100


def _need(samples: Sequence[_Sample]) -> Need | None:
    peaks = [sample.attempt.peak_rss_bytes for sample in samples if sample.attempt.peak_rss_bytes]
    used = [cores for sample in samples if (cores := sample.cores)]
    if not peaks or not used:
        return None
    there = [sample.cores_there for sample in samples if sample.cores_there is not None]
    crowded = all(sample.is_crowded for sample in samples)
    return Need(len(samples), Decimal(max(peaks)) / 1024**3, Decimal(str(max(used))), max(there, default=None), crowded)


def _machine_used(record: RunRecord, attempt: Attempt) -> float | None:
    """The mean of what the machine used, in percent, in the minutes in which an attempt ran."""
    end = attempt.finished_at or attempt.started_at
    used = [
        minute["cpu_user_percent"] + minute["cpu_system_percent"]
        for minute in record.minutes
        if minute["start"] < end and minute["end"] > attempt.started_at
    ]
    return sum(used) / len(used) if used else None


def _cores_there(record: RunRecord, attempt: Attempt) -> int | None:
    """The cores of the machine that an attempt ran on."""
    legs = [leg for leg in record.legs if leg.started_at <= attempt.started_at]
    return legs[-1].machine.get("cores") if legs else None
