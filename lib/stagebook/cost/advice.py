"""What would make a pipeline cheaper, as measured: first what is sure, each step given those before it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from stagebook.cost import rules
from stagebook.cost.rules import Advice, Subject
from stagebook.cost.sizing import HEADROOM, RUNTIME_GB, SPARE_CORES, Keys, Need, Replay, Step, in_words, needs, smaller


@dataclass(frozen=True)
class Advised:
    """All advice. US dollars of a run, on average over `runs`, as the file says now and with all that has `keys`.

    `unjudged` says why nothing is said of the size of stages; `machines` are those that were measured on.
    """

    advice: tuple[Advice, ...]
    runs: int
    usd_now: Decimal
    usd_then: Decimal
    unjudged: Mapping[str, str]
    machines: tuple[str, ...]

    @property
    def keys(self) -> Keys:
        """What an overlay sets: the last word on each key."""
        return {key: value for one in self.advice for key, value in one.keys.items()}

    @property
    def basis(self) -> str:
        """How far measurements of one machine tell anything of a cluster."""
        where = "; ".join(self.machines) or "machines that the journals do not name"
        return (
            f"Measured on {where}. A vCPU is taken to be as fast as one of these cores, and a stage to take as long on "
            f"every machine that is large enough for it: {SPARE_CORES} times its mean use of cores (never more than "
            f"there were), {HEADROOM} times the memory of its largest process, and {RUNTIME_GB} GiB for the cluster's "
            "own runtime, which is a guess. What computes in one process has no use for workers. What Spark's server "
            "took, spill, skew and disks are not in these figures. Try a change once before you rely on it."
        )


def advise(subject: Subject) -> Advised:
    """All that the data decide."""
    replay, settings = Replay.of(subject.records), subject.settings
    usd_now = usd = replay.usd_per_run(settings)
    advice: list[Advice] = []
    for profile in settings.rates:
        for rule in (rules.all_purpose, rules.photon):
            if told := rule(subject, settings, profile):
                found, settings = told
                after = replay.usd_per_run(settings)
                advice.append(replace(found, usd_per_run=usd - after if replay.records else None))
                usd = after
    measured, unjudged = needs(subject.records)
    known = {name: need for name, need in measured.items() if settings.rate(name)}
    for step in smaller(settings, known, replay, subject.pipeline.market):
        advice.append(_size(step, known))
        settings, usd = step.change.settings, step.after
    more = (
        rules.auto_termination, rules.start_up, rules.autoscaling, rules.retries, rules.recomputed, rules.collected,
        rules.tables,
    )  # fmt: skip
    advice += [found for rule in more for found in rule(subject, settings, replay)]
    priced = subject.settings
    return Advised(
        advice=tuple(advice),
        runs=len(replay.records),
        usd_now=usd_now,
        usd_then=usd,
        unjudged={name: why for name, why in unjudged.items() if priced.rate(name)},
        machines=_machines(replay),
    )


def overlay(keys: Keys) -> dict[str, Any]:
    """Keys and values as the mapping of a parameter file."""
    values: dict[str, Any] = {}
    for (*outer, last), value in keys.items():
        inner = values
        for name in outer:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return values


def _size(step: Step, known: Mapping[str, Need]) -> Advice:
    change = step.change
    used = "; ".join(f"{stage} used {known[stage].to_text()}" for stage in change.stages)
    to = ", ".join(f"{path[-1]}: {'null' if value is None else value}" for path, value in change.keys.items())
    first = next(iter(change.keys))
    key, to = (".".join(first), str(change.keys[first])) if len(change.keys) == 1 else (".".join(first[:-1]), to)
    found = f"{used}. It has {in_words(change.before)}: {change.text}"
    return Advice("size", change.about, found, key, to, step.before - step.after, change.keys)


def _machines(replay: Replay) -> tuple[str, ...]:
    legs = [leg.machine for record in replay.records for leg in record.legs if leg.machine]
    told = (f"{leg['cores']} cores and {leg['memory_bytes'] / 1024**3:.1f} GiB ({leg['name']})" for leg in legs)
    return tuple(dict.fromkeys(told))
