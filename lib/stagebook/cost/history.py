"""How long a stage will take, from how long it took: quantiles over the runs that are most like this one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stagebook.model.pricing import Range
from stagebook.model.record import RunRecord, StageRecord, StageStatus

LAST = 30
"""Older runs than the last so many say nothing about today."""

ABOUT = 2
"""Inputs within this factor are about as large."""


@dataclass(frozen=True)
class Wanted:
    """A stage as it is going to run; what is not known beforehand is None, or left out of `parameters`."""

    stage: str
    parameters: Mapping[str, Any]
    engine: str | None = None
    input_bytes: int | None = None


@dataclass(frozen=True)
class Prediction:
    """Seconds of one attempt that succeeds (None: no run tells), and which runs tell it."""

    seconds: Range | None
    why: str


@dataclass(frozen=True)
class _Sample:
    seconds: Decimal
    parameters: Mapping[str, Any]
    engine: str | None
    input_bytes: int | None


def predict(wanted: Wanted, records: Sequence[RunRecord], sizes: Mapping[tuple[str, int], int]) -> Prediction:
    """The 10, 50 and 90 % quantiles of the seconds that the stage took in the runs most like this one.

    Args:
        records: runs of this pipeline, oldest first; the stage's last 30 successes count.
        sizes: bytes of the tables that those runs read, see `table_bytes`.
    """
    stages = [record.stages[wanted.stage] for record in records if wanted.stage in record.stages]
    samples = [sample for stage in stages if (sample := _sample(stage, sizes))][-LAST:]
    alike = [sample for sample in samples if wanted.engine in (None, sample.engine)]
    same = [sample for sample in alike if all(_has(sample, *item) for item in wanted.parameters.items())]
    sized = [sample for sample in same if _about(sample.input_bytes, wanted.input_bytes)]
    tiers = (
        (sized, " with these parameters and about as large inputs"),
        (same, " with these parameters"),
        (alike, f" on {wanted.engine}, with other parameters" if wanted.engine else ", with other parameters"),
        (samples, ", on other engines"),
    )
    for found, what in tiers:
        if found:
            told = f"from {runs_in_words(len(found))}{what}"
            return Prediction(_quantiles([sample.seconds for sample in found]), told)
    return Prediction(None, "no run of it has succeeded yet")


def runs_in_words(count: int) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} run" if count == 1 else f"{count} runs"


def table_bytes(records: Iterable[RunRecord]) -> dict[tuple[str, int], int]:
    """(table, version) → bytes, of all tables that the runs wrote."""
    return {
        (name, made["version"]): made["bytes"]
        for record in records
        for stage in record.stages.values()
        for name, made in stage.outputs.items()
        if made.get("bytes") is not None
    }


def input_bytes(inputs: Mapping[str, int], sizes: Mapping[tuple[str, int], int]) -> int | None:
    """Bytes of all inputs together; None where one is not known, or there is none."""
    known = [sizes.get(item) for item in inputs.items()]
    return sum(size for size in known if size is not None) if known and None not in known else None


def _sample(stage: StageRecord, sizes: Mapping[tuple[str, int], int]) -> _Sample | None:
    if stage.status is not StageStatus.SUCCEEDED or not stage.attempts or stage.attempts[-1].seconds is None:
        return None
    seconds = Decimal(str(stage.attempts[-1].seconds))
    return _Sample(seconds, stage.parameters, stage.engine, input_bytes(stage.inputs, sizes))


def _has(sample: _Sample, name: str, value: Any) -> bool:
    return name in sample.parameters and sample.parameters[name] == value


def _about(one: int | None, other: int | None) -> bool:
    if one is None or other is None:
        return False
    return max(one, other) <= ABOUT * min(one, other)


def _quantiles(values: Sequence[Decimal]) -> Range:
    ordered = sorted(values)

    def at(percent: int) -> Decimal:
        place, rest = divmod((len(ordered) - 1) * percent, 100)
        above = ordered[min(place + 1, len(ordered) - 1)]
        return ordered[place] + (above - ordered[place]) * rest / 100

    return Range(at(10), at(50), at(90))
