"""Rules about profiles, one function each. A rule gives advice with figures, or nothing where the data are unclear."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

from stagebook.costs.advice.subject import (
    Advice,
    AdviceSubject,
    ProfileAssignment,
    Replay,
    cluster_in_words,
    dollars,
)
from stagebook.costs.prediction import input_bytes, table_bytes
from stagebook.model.pricing import Compute, Rate

LONG_MINUTES = 30
"""An idle cluster that runs on for longer than this is reported."""

SHORT_MINUTES = 10
"""The shortest auto-termination time that Databricks offers."""

VARIES = 4
"""Inputs whose sizes differ by this factor call for clusters of different sizes."""


def all_purpose(
    subject: AdviceSubject, assignment: ProfileAssignment, profile: str
) -> tuple[Advice, ProfileAssignment] | None:
    """Jobs on all-purpose compute."""
    current, users = assignment.rates[profile], assignment.stages_of(profile)
    if current.cluster.compute is not Compute.ALL_PURPOSE or not users:
        return None
    changed = subject.with_cluster(assignment, profile, compute=Compute.JOBS)
    if changed is None:
        return None
    finding = (
        f"{', '.join(users)} run on all-purpose compute, {_hourly(current)}; "
        f"as jobs {_hourly(changed.rates[profile])}, and nothing for waiting after the last stage"
    )
    key = ("profiles", profile, "compute")
    advice = Advice("all_purpose", f"profile {profile}", finding, ".".join(key), "jobs", overlay={key: "jobs"})
    return advice, changed


def photon(
    subject: AdviceSubject, assignment: ProfileAssignment, profile: str
) -> tuple[Advice, ProfileAssignment] | None:
    """Photon where no stage computes on Spark."""
    current, users = assignment.rates[profile], assignment.stages_of(profile)
    engines = {subject.engine(stage) for stage in users}
    if not current.cluster.photon or not users or not engines <= {"pandas", "polars"}:
        return None
    changed = subject.with_cluster(assignment, profile, photon=False)
    if changed is None:
        return None
    finding = (
        f"{', '.join(users)} computed on {', '.join(sorted(map(str, engines)))}, which Photon does not make faster; "
        f"with it {_hourly(current)}, without {_hourly(changed.rates[profile])}"
    )
    key = ("profiles", profile, "runtime_engine")
    advice = Advice("photon", f"profile {profile}", finding, ".".join(key), "STANDARD", overlay={key: "STANDARD"})
    return advice, changed


def auto_termination(subject: AdviceSubject, assignment: ProfileAssignment, replay: Replay) -> Iterator[Advice]:
    """All-purpose clusters that never stop by themselves, or late. Clusters of jobs end with their last task."""
    for name, current in subject.assignment.rates.items():
        if current.cluster.compute is not Compute.ALL_PURPOSE:
            continue
        target, key = f"profile {name}", f"profiles.{name}.autotermination_minutes"
        minutes = current.cluster.idle_minutes
        waiting = f"each hour that it waits costs {dollars(current.usd_per_hour.likely)} USD"
        if not minutes:
            finding = f"it never stops by itself; {waiting}"
            yield Advice("auto_termination", target, finding, key, str(SHORT_MINUTES))
        elif minutes > LONG_MINUTES:
            shorter = subject.with_cluster(subject.assignment, name, idle_minutes=SHORT_MINUTES)
            saved = replay.usd_per_run(subject.assignment) - replay.usd_per_run(shorter) if shorter else None
            finding = f"it waits {minutes} minutes until it stops by itself; {waiting}; counted for all-purpose compute"
            yield Advice("auto_termination", target, finding, key, str(SHORT_MINUTES), saved)


def start_up(subject: AdviceSubject, assignment: ProfileAssignment, replay: Replay) -> Iterator[Advice]:
    """Clusters that start for longer than they work, where the parameter file has a serverless profile."""
    serverless = [name for name, rate in assignment.rates.items() if not rate.shared]
    usd_now = replay.usd_per_run(assignment)
    for name, current in assignment.rates.items():
        users = assignment.stages_of(name)
        if not replay.records or not current.shared or not users or not serverless:
            continue
        usd = {profile: replay.usd_per_run(_with_profile(assignment, users, profile)) for profile in serverless}
        cheapest = min(usd, key=lambda profile: usd[profile])
        splits = [run_bill.stage(stage) for run_bill in replay.bills(assignment) for stage in users]
        idle = replay.average(split.idle.likely for split in splits)
        total = replay.average(split.total.likely for split in splits)
        if usd[cheapest] < usd_now and idle * 2 > total:
            finding = (
                f"{dollars(idle)} of the {dollars(total)} USD of {', '.join(users)} go into starting and waiting. "
                f"`{cheapest}` does neither. Try it if {assignment.rates[cheapest].cluster.dbu_per_hour} DBU an hour, "
                "the file's own figure, is what it takes, and its size is enough"
            )
            key = ", ".join(f"stages.{stage}.profile" for stage in users)
            yield Advice("start_up", f"profile {name}", finding, key, cheapest, usd_now - usd[cheapest])


def _with_profile(assignment: ProfileAssignment, stages: Sequence[str], profile: str) -> ProfileAssignment:
    for stage in stages:
        assignment = assignment.with_profile(stage, profile)
    return assignment


def autoscaling(subject: AdviceSubject, assignment: ProfileAssignment, replay: Replay) -> Iterator[Advice]:
    """A fixed number of workers, on Spark, for inputs whose size varies."""
    sizes = table_bytes(subject.records)
    for name, current in assignment.rates.items():
        low, high = current.cluster.min_workers, current.cluster.max_workers
        if low != high or high < 2:
            continue
        for stage in assignment.stages_of(name):
            if subject.engine(stage) != "spark":
                continue
            stage_records = [record.stages[stage] for record in subject.records if stage in record.stages]
            read_bytes = [
                size for record in stage_records if record.attempts and (size := input_bytes(record.inputs, sizes))
            ]
            if read_bytes and max(read_bytes) >= VARIES * min(read_bytes):
                finding = (
                    f"{high} workers, whether {stage} reads {min(read_bytes) / 1e6:,.0f} or "
                    f"{max(read_bytes) / 1e6:,.0f} MB; "
                    f"a worker costs {dollars(_worker_usd_per_hour(subject, current))} USD an hour"
                )
                bounds = f"{{min_workers: 1, max_workers: {high}}}"
                yield Advice("autoscaling", f"profile {name}", finding, f"profiles.{name}.autoscale", bounds)
                break


def _worker_usd_per_hour(subject: AdviceSubject, current: Rate) -> Decimal:
    count = current.cluster.max_workers - 1
    with_one_less = subject.rate(current.profile, replace(current.cluster, min_workers=count, max_workers=count))
    return current.usd_per_hour.likely - with_one_less.usd_per_hour.likely if with_one_less else Decimal(0)


def _hourly(rate: Rate) -> str:
    return f"{dollars(rate.usd_per_hour.likely)} USD an hour ({cluster_in_words(rate)})"
