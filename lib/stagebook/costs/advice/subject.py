"""What advice is about: a pipeline, its profiles, its runs and its tables; and what one piece of advice says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from stagebook.costs import bill
from stagebook.costs.prediction import MAX_RUNS
from stagebook.costs.rates import rate
from stagebook.model.maintenance import TableDescription
from stagebook.model.pipeline import Pipeline
from stagebook.model.pricing import Cluster, Rate
from stagebook.model.record import RunRecord

Overlay = Mapping[tuple[str, ...], Any]
"""Keys of a parameter file, as paths, and the values that they should have."""


@dataclass(frozen=True)
class ProfileAssignment:
    """The profile of each stage, and the rate of each priced profile."""

    profiles: Mapping[str, str | None]
    rates: Mapping[str, Rate]

    def rate(self, stage: str) -> Rate | None:
        """The rate of a stage's profile; None where it costs nothing."""
        return self.rates.get(self.profiles.get(stage) or "")

    def stages_of(self, profile: str) -> list[str]:
        """The stages that have this profile."""
        return [stage for stage, assigned in self.profiles.items() if assigned == profile]

    def with_profile(self, stage: str, profile: str) -> "ProfileAssignment":
        """The assignment with another profile for a stage."""
        return replace(self, profiles={**self.profiles, stage: profile})

    def with_rate(self, rate: Rate) -> "ProfileAssignment":
        """The assignment with another rate, and so another cluster, for the profile that the rate names."""
        return replace(self, rates={**self.rates, rate.profile: rate})


@dataclass(frozen=True)
class Replay:
    """Earlier runs, to be billed again under another profile assignment."""

    records: tuple[RunRecord, ...]

    @classmethod
    def of(cls, records: Iterable[RunRecord]) -> "Replay":
        """The last 30 runs in which any stage ran."""
        with_attempts = [record for record in records if any(stage.attempts for stage in record.stages.values())]
        return cls(tuple(with_attempts[-MAX_RUNS:]))

    def bills(self, assignment: ProfileAssignment) -> list[bill.Bill]:
        """What each run would have cost, had each stage taken as long as it did."""
        profiles, rates = dict(assignment.profiles), {name: rate.to_json() for name, rate in assignment.rates.items()}
        bills = []
        for record in self.records:
            sessions = [replace(session, profiles=profiles, rates=rates) for session in record.sessions]
            bills.append(bill.of(replace(record, sessions=sessions)))
        return bills

    def usd_per_run(self, assignment: ProfileAssignment) -> Decimal:
        """US dollars of a run, on average; 0 without runs."""
        return self.average(run_bill.total.total.likely for run_bill in self.bills(assignment))

    def average(self, usd: Iterable[Decimal]) -> Decimal:
        """The sum of the amounts, divided by the number of runs."""
        return sum(usd, Decimal(0)) / max(1, len(self.records))


@dataclass(frozen=True)
class TableFacts:
    """A table as its log describes it, and what is wrong with small partitions (empty: nothing)."""

    name: str
    description: TableDescription
    small_partitions: str = ""


@dataclass(frozen=True)
class AdviceSubject:
    """A pipeline, its runs that have ended, oldest first, and its tables."""

    pipeline: Pipeline
    records: Sequence[RunRecord]
    tables: Sequence[TableFacts] = ()

    @property
    def assignment(self) -> ProfileAssignment:
        """The profiles and rates of the parameter file."""
        profiles = {name: stage.profile for name, stage in self.pipeline.stages.items()}
        return ProfileAssignment(profiles, self.pipeline.rates)

    def engine(self, stage: str) -> str | None:
        """The engine of a stage when it last ran; None where it never did."""
        stage_records = [record.stages[stage] for record in self.records if stage in record.stages]
        return next((record.engine for record in reversed(stage_records) if record.attempts), None)

    def rate(self, profile: str, cluster: Cluster) -> Rate | None:
        """The rate of a profile with another cluster; None where that has no price."""
        market = self.pipeline.market
        return rate(profile, cluster, market.terms, market.book)

    def with_cluster(self, assignment: ProfileAssignment, profile: str, **changes: Any) -> ProfileAssignment | None:
        """The assignment with other properties of a profile's cluster; None where that has no price."""
        changed = self.rate(profile, replace(assignment.rates[profile].cluster, **changes))
        return assignment.with_rate(changed) if changed else None


@dataclass(frozen=True)
class Advice:
    """One piece of advice: the finding, with figures, and the key to change to `new_value`.

    `overlay` is what `--apply` writes; empty where a person has to decide. `usd_per_run` is what it saves of a run,
    on average; None where no run shows it.
    """

    rule: str
    target: str
    finding: str
    key: str
    new_value: str = ""
    usd_per_run: Decimal | None = None
    overlay: Overlay = field(default_factory=dict)


def cluster_in_words(rate: Rate) -> str:
    """`r5d.2xlarge, 8 vCPU, 64 GiB, 4 workers beside the driver`."""
    if not rate.nodes:
        return "serverless"
    node, cluster = rate.nodes[0], rate.cluster
    low, high = cluster.min_workers, cluster.max_workers
    count = str(low) if low == high else f"{low} to {high}"
    workers = f", {count} worker{'' if high == 1 else 's'} beside the driver" if high else ""
    return f"{node.node_type_id}, {node.vcpu} vCPU, {node.memory_gb.normalize():f} GiB{workers}"


def dollars(usd: Decimal | int) -> str:
    """An amount within a sentence: cents, or four decimals below a dollar."""
    return f"{usd:.2f}" if abs(usd) >= 1 else f"{usd:.4f}"
