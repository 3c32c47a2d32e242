"""What stages needed of a machine, as measured, and which profiles would have been enough for them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import ceil
from typing import Any

from stagebook.cost import bill
from stagebook.cost.history import LAST
from stagebook.cost.rates import rate
from stagebook.model.pricing import Market, NodeSize, NodeType, Rate
from stagebook.model.record import Attempt, AttemptStatus, RunRecord

HEADROOM = Decimal("1.5")
"""Memory that a machine must have, as a multiple of the most that was held."""

RUNTIME_GB = Decimal(4)
"""Memory that the cluster's own runtime takes: a guess."""

SPARE_CORES = 2
"""Cores that a machine must have, as a multiple of the mean use: work comes in bursts."""

LEAST_SHARE = Decimal("0.01")
"""What saves less than this share of a run is not worth a change."""

_ARM = re.compile(r"[a-z]+\d+g[a-z]*\.|Standard_[A-Z]+\d+p")

Keys = Mapping[tuple[str, ...], Any]
"""Keys of a parameter file, and the values that they should have."""


@dataclass(frozen=True)
class Settings:
    """The profile of each stage, and what each profile costs."""

    profiles: Mapping[str, str | None]
    rates: Mapping[str, Rate]

    def rate(self, stage: str) -> Rate | None:
        """What a stage's profile costs; None where it costs nothing."""
        return self.rates.get(self.profiles.get(stage) or "")

    def users(self, profile: str) -> list[str]:
        """The stages of a profile."""
        return [stage for stage, other in self.profiles.items() if other == profile]

    def moved(self, stage: str, profile: str) -> "Settings":
        """With another profile for a stage."""
        return replace(self, profiles={**self.profiles, stage: profile})

    def rated(self, found: Rate) -> "Settings":
        """With another cluster under a profile's name."""
        return replace(self, rates={**self.rates, found.profile: found})


@dataclass(frozen=True)
class Need:
    """What a stage took: the most memory of its largest process in GiB, the highest mean use of cores, in `runs` runs.

    `cores_there` is how many the machine had that it ran on; None where the journals do not tell.
    """

    runs: int
    peak_gb: Decimal
    cores: Decimal
    cores_there: int | None

    @property
    def memory_gb(self) -> Decimal:
        """GiB that a machine must have."""
        return self.peak_gb * HEADROOM + RUNTIME_GB

    @property
    def vcpu(self) -> int:
        """Cores that a machine must have, for a stage to take as long: it cannot have used more than were there."""
        wanted = ceil(self.cores * SPARE_CORES)
        return max(1, wanted if self.cores_there is None else min(wanted, self.cores_there))

    def fits(self, node: NodeSize | NodeType) -> bool:
        """Whether a machine would have been enough."""
        return node.memory_gb >= self.memory_gb and node.vcpu >= self.vcpu

    def to_text(self) -> str:
        """`at most 0.9 GiB and 1.2 of 2 cores in 12 runs`."""
        there = f" of {self.cores_there}" if self.cores_there else ""
        runs = "1 run" if self.runs == 1 else f"{self.runs} runs"
        return f"at most {self.peak_gb:.2f} GiB and {self.cores:.1f}{there} cores in {runs}"


def needs(records: Iterable[RunRecord]) -> tuple[dict[str, Need], dict[str, str]]:
    """What each stage needed, and why nothing can be said of others.

    Args:
        records: runs of one pipeline, oldest first. The last 30 successes of a stage count, on the engine of the last.
    """
    told: dict[str, list[tuple[str | None, Attempt, int | None]]] = {}
    died: set[str] = set()
    for record in records:
        for name, stage in record.stages.items():
            for attempt in stage.attempts:
                if attempt.status is AttemptStatus.SUCCEEDED:
                    told.setdefault(name, []).append((stage.engine, attempt, _cores_there(record, attempt)))
                elif (attempt.error or {}).get("type") == "OutOfMemory":
                    died.add(name)
    found: dict[str, Need] = {}
    unknown: dict[str, str] = {}
    for name, samples in told.items():
        engine = samples[-1][0]
        alike = [(attempt, there) for used, attempt, there in samples if used == engine][-LAST:]
        need = _need(alike)
        if engine == "spark":
            unknown[name] = "it computes on Spark, whose memory and CPU are not those of the attempt"
        elif name in died:
            unknown[name] = "an attempt of it ran out of memory"
        elif need is None:
            unknown[name] = "its attempts were not measured"
        else:
            found[name] = need
    return found, unknown


def _need(samples: Sequence[tuple[Attempt, int | None]]) -> Need | None:
    peaks = [attempt.peak_rss_bytes for attempt, _ in samples if attempt.peak_rss_bytes]
    used = [attempt.cpu_seconds / attempt.seconds for attempt, _ in samples if attempt.cpu_seconds and attempt.seconds]
    if not peaks or not used:
        return None
    there = [cores for _, cores in samples if cores is not None]
    return Need(len(samples), Decimal(max(peaks)) / 1024**3, Decimal(str(max(used))), max(there, default=None))


def _cores_there(record: RunRecord, attempt: Attempt) -> int | None:
    """The cores of the machine that an attempt ran on."""
    legs = [leg for leg in record.legs if leg.started_at <= attempt.started_at]
    return legs[-1].machine.get("cores") if legs else None


@dataclass(frozen=True)
class Replay:
    """Runs that have cost something, to be billed again under other settings."""

    records: tuple[RunRecord, ...]

    @classmethod
    def of(cls, records: Iterable[RunRecord]) -> "Replay":
        """The last 30 runs in which anything ran."""
        ran = [record for record in records if any(stage.attempts for stage in record.stages.values())]
        return cls(tuple(ran[-LAST:]))

    def bills(self, settings: Settings) -> list[bill.Bill]:
        """What each run would have cost, had each stage taken as long."""
        rates = {name: found.to_json() for name, found in settings.rates.items()}
        found = []
        for record in self.records:
            legs = [replace(leg, profiles=dict(settings.profiles), rates=rates) for leg in record.legs]
            found.append(bill.of(replace(record, legs=legs)))
        return found

    def usd_per_run(self, settings: Settings) -> Decimal:
        """US dollars of a run, on average; 0 where there is none."""
        return self.average(billed.total.total.likely for billed in self.bills(settings))

    def average(self, usd: Iterable[Decimal]) -> Decimal:
        """An amount that is the sum over these runs, for one of them."""
        return sum(usd, Decimal(0)) / max(1, len(self.records))


@dataclass(frozen=True)
class Change:
    """Another size for stages: `before` is what they have, `keys` is what the parameter file should say."""

    about: str
    stages: tuple[str, ...]
    before: Rate
    text: str
    keys: Keys
    settings: Settings


@dataclass(frozen=True)
class Step:
    """A change that is worth it: US dollars of a run before it, and after it."""

    change: Change
    before: Decimal
    after: Decimal


def smaller(settings: Settings, found: Mapping[str, Need], replay: Replay, market: Market) -> Iterator[Step]:
    """The changes that save the most, one after the other, until none is left that is worth it.

    What a change saves is told by billing the runs again: a stage that moves to a cluster of others spares a
    start-up, and may let that cluster wait.
    """
    now = replay.usd_per_run(settings)
    least = now * LEAST_SHARE
    while True:
        tried = [(replay.usd_per_run(change.settings), change) for change in _changes(settings, found, market)]
        if not tried:
            return
        after, best = min(tried, key=lambda one: one[0])
        if now - after <= least:
            return
        yield Step(best, now, after)
        settings, now = best.settings, after


def _changes(settings: Settings, found: Mapping[str, Need], market: Market) -> Iterator[Change]:
    for profile in settings.rates:
        yield from _other_node(settings, profile, found, market)
    for stage, need in found.items():
        priced = settings.rate(stage)
        if priced is None or not priced.nodes:
            continue
        for name, other in settings.rates.items():
            if other.nodes and name != priced.profile and _as_good(other.nodes[0], priced.nodes[0], need):
                text = f"profile `{name}` ({in_words(other)}) would have been enough"
                keys = {("stages", stage, "profile"): name}
                yield Change(stage, (stage,), priced, text, keys, settings.moved(stage, name))


def _other_node(settings: Settings, profile: str, found: Mapping[str, Need], market: Market) -> Iterator[Change]:
    """The cheapest single machine that is enough for all stages of a profile: they compute in one process."""
    users, before = settings.users(profile), settings.rates[profile]
    if not users or not before.nodes or any(stage not in found for stage in users):
        return
    options = [
        priced
        for node in market.book.nodes
        if node.cloud == before.cloud and node.price_check.startswith("ok")
        if all(_as_good(node, before.nodes[0], found[stage]) for stage in users)
        if (priced := _single(profile, before, node, market))
    ]
    if not options:
        return
    best = min(options, key=lambda option: option.usd_per_hour.likely)
    if best.cluster == before.cluster:
        return
    where = ("profiles", profile)
    keys: dict[tuple[str, ...], Any] = {}
    if best.cluster.node_type_id != before.cluster.node_type_id:
        keys[*where, "node_type_id"] = best.cluster.node_type_id
    if before.cluster.driver_node_type_id is not None:
        keys[*where, "driver_node_type_id"] = None
    if before.cluster.min_workers != before.cluster.max_workers:
        keys[*where, "autoscale"] = None
    if before.cluster.max_workers:
        keys[*where, "num_workers"] = 0
    text = f"{in_words(best)} would have been enough"
    yield Change(f"profile {profile}", tuple(users), before, text, keys, settings.rated(best))


def _as_good(node: NodeSize | NodeType, before: NodeSize, need: Need) -> bool:
    """Whether a machine is enough. Whether GPUs were used nobody has measured: as many stay, and the architecture."""
    kept = node.gpus == before.gpus and _is_arm(node.node_type_id) == _is_arm(before.node_type_id)
    return kept and need.fits(node)


def _is_arm(node_type_id: str) -> bool:
    """Whether its name is one of an ARM machine: `m6gd.xlarge` on AWS, `Standard_D4pds_v5` on Azure."""
    return bool(_ARM.match(node_type_id))


def _single(profile: str, before: Rate, node: NodeType, market: Market) -> Rate | None:
    alone = {"node_type_id": node.node_type_id, "driver_node_type_id": None, "min_workers": 0, "max_workers": 0}
    return rate(profile, replace(before.cluster, **alone), market.terms, market.book)


def in_words(found: Rate) -> str:
    """`r5d.2xlarge, 8 vCPU, 64 GiB, 4 workers beside the driver`."""
    if not found.nodes:
        return "serverless"
    node, cluster = found.nodes[0], found.cluster
    low, high = cluster.min_workers, cluster.max_workers
    many = str(low) if low == high else f"{low} to {high}"
    beside = f", {many} worker{'' if high == 1 else 's'} beside the driver" if high else ""
    return f"{node.node_type_id}, {node.vcpu} vCPU, {node.memory_gb.normalize():f} GiB{beside}"
