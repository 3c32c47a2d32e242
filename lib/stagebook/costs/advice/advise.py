"""All advice for a pipeline, each step computed on top of those before it; what is certain comes first."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from stagebook.costs.advice import profile_rules, stage_rules
from stagebook.costs.advice.machine_need import HEADROOM, RUNTIME_GB, SPARE_CORES, MachineNeed, machine_needs
from stagebook.costs.advice.sizing import LEAST_SHARE, SizingStep, sizing_steps
from stagebook.costs.advice.subject import Advice, AdviceSubject, Overlay, Replay, cluster_in_words

CERTAIN_RULES = (profile_rules.all_purpose, profile_rules.photon)
"""Rules that change the assignment of profiles; later advice builds on theirs."""

RULES = (
    profile_rules.auto_termination,
    profile_rules.start_up,
    profile_rules.autoscaling,
    stage_rules.retries,
    stage_rules.recomputed,
    stage_rules.collected,
    stage_rules.tables,
)
"""Rules whose advice a person has to decide on."""


@dataclass(frozen=True)
class AdviceReport:
    """All advice, and US dollars of a run (the mean of `runs`): with the parameter file as it is, and with `overlay`.

    `unjudged` is stage → the reason why nothing is said about its size; `machines` are those that were measured on.
    """

    advice: tuple[Advice, ...]
    runs: int
    usd_now: Decimal
    usd_with_overlay: Decimal
    unjudged: Mapping[str, str]
    machines: tuple[str, ...]

    @property
    def overlay(self) -> Overlay:
        """What `--apply` writes; of several values for a key, the last one."""
        return {key: value for advice in self.advice for key, value in advice.overlay.items()}

    @property
    def basis(self) -> str:
        """How far measurements on one machine apply to a cluster."""
        machines = "; ".join(self.machines) or "machines that the journals do not name"
        return (
            f"Measured on {machines}. Assumed: a vCPU is as fast as one of these cores, and a stage takes as long on "
            f"every machine that is large enough for it: {SPARE_CORES} times its mean use of cores (never more than "
            "its machine had; all of them where other work kept them busy), "
            f"{HEADROOM} times the memory of its largest process, and {RUNTIME_GB} GiB for the cluster's "
            "own runtime, which is a guess. What computes in one process does not use workers. The resources of "
            "Spark's server, spill, skew and disks are not in these figures. Try a change once before you rely on it."
        )


def advise(subject: AdviceSubject) -> AdviceReport:
    """All advice that the data decide."""
    replay, assignment = Replay.of(subject.records), subject.assignment
    usd_now = usd = replay.usd_per_run(assignment)
    report: list[Advice] = []
    for profile in assignment.rates:
        for rule in CERTAIN_RULES:
            if outcome := rule(subject, assignment, profile):
                advice, assignment = outcome
                usd_after = replay.usd_per_run(assignment)
                report.append(replace(advice, usd_per_run=usd - usd_after if replay.records else None))
                usd = usd_after
    all_needs, unjudged = machine_needs(subject.records)
    needs = {name: need for name, need in all_needs.items() if assignment.rate(name)}
    for step in sizing_steps(subject, assignment, needs, replay):
        report.append(_size(step, needs))
        assignment, usd = step.change.assignment, step.usd_after
    to_decide = [advice for rule in RULES for advice in rule(subject, assignment, replay)]
    report += [
        advice for advice in to_decide if advice.usd_per_run is None or advice.usd_per_run > usd_now * LEAST_SHARE
    ]
    return AdviceReport(
        advice=tuple(report),
        runs=len(replay.records),
        usd_now=usd_now,
        usd_with_overlay=usd,
        unjudged={name: reason for name, reason in unjudged.items() if subject.assignment.rate(name)},
        machines=_machines(replay),
    )


def nested(overlay: Overlay) -> dict[str, Any]:
    """An overlay as the nested mapping of a parameter file."""
    values: dict[str, Any] = {}
    for (*parents, key), value in overlay.items():
        mapping = values
        for name in parents:
            mapping = mapping.setdefault(name, {})
        mapping[key] = value
    return values


def _size(step: SizingStep, needs: Mapping[str, MachineNeed]) -> Advice:
    change = step.change
    used = "; ".join(f"{stage} used {needs[stage].to_text()}" for stage in change.stages)
    path, value = next(iter(change.overlay.items()))
    key, new_value = ".".join(path), str(value)
    if len(change.overlay) > 1:
        values = {path[-1]: "null" if value is None else value for path, value in change.overlay.items()}
        key, new_value = ".".join(path[:-1]), f"{{{', '.join(f'{name}: {value}' for name, value in values.items())}}}"
    finding = f"{used}. It has {cluster_in_words(change.current)}: {change.text}"
    return Advice("size", change.target, finding, key, new_value, step.usd_before - step.usd_after, change.overlay)


def _machines(replay: Replay) -> tuple[str, ...]:
    machines = [session.machine for record in replay.records for session in record.sessions if session.machine]
    return tuple(dict.fromkeys(map(_machine_in_words, machines)))


def _machine_in_words(machine: Mapping[str, Any]) -> str:
    return f"{machine['cores']} cores and {machine['memory_bytes'] / 1024**3:.1f} GiB ({machine['name']})"
