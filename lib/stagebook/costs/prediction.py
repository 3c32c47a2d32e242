"""How long a stage will take: quantiles of its seconds over the earlier runs that are most similar."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stagebook.model.pricing import Range
from stagebook.model.record import RunRecord, StageRecord, StageStatus

MAX_RUNS = 30
"""How many of the newest runs count; older ones say little about today."""

SIMILAR_FACTOR = 2
"""Inputs whose sizes differ by at most this factor count as about as large."""


@dataclass(frozen=True)
class StageQuery:
    """A stage as it is going to run. What is not known beforehand is None, or missing from `parameters`."""

    stage: str
    parameters: Mapping[str, Any]
    engine: str | None = None
    input_bytes: int | None = None


@dataclass(frozen=True)
class Prediction:
    """Seconds of one successful attempt (None: no run to predict from), and which runs they come from."""

    seconds: Range | None
    basis: str


@dataclass(frozen=True)
class _Sample:
    seconds: Decimal
    parameters: Mapping[str, Any]
    engine: str | None
    input_bytes: int | None


def predict(query: StageQuery, records: Sequence[RunRecord], sizes: Mapping[tuple[str, int], int]) -> Prediction:
    """The 10, 50 and 90 % quantiles of the seconds that the stage took in the most similar runs.

    Args:
        records: runs of this pipeline, oldest first; the stage's last 30 successes count.
        sizes: bytes of the tables that those runs read, see `table_bytes`.
    """
    stages = [record.stages[query.stage] for record in records if query.stage in record.stages]
    samples = [sample for stage in stages if (sample := _sample(stage, sizes))][-MAX_RUNS:]
    on_engine = [sample for sample in samples if query.engine in (None, sample.engine)]
    with_parameters = [sample for sample in on_engine if all(_has(sample, *item) for item in query.parameters.items())]
    with_size = [sample for sample in with_parameters if _is_similar(sample.input_bytes, query.input_bytes)]
    tiers = (
        (with_size, " with these parameters and about as large inputs"),
        (with_parameters, " with these parameters"),
        (on_engine, f" on {query.engine}, with other parameters" if query.engine else ", with other parameters"),
        (samples, ", on other engines"),
    )
    for tier, description in tiers:
        if tier:
            basis = f"from {runs_in_words(len(tier))}{description}"
            return Prediction(_quantiles([sample.seconds for sample in tier]), basis)
    return Prediction(None, "no run of it has succeeded yet")


def runs_in_words(count: int) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} run" if count == 1 else f"{count} runs"


def table_bytes(records: Iterable[RunRecord]) -> dict[tuple[str, int], int]:
    """(table, version) → bytes, for all tables that the runs wrote."""
    return {
        (name, output["version"]): output["bytes"]
        for record in records
        for stage in record.stages.values()
        for name, output in stage.outputs.items()
        if output.get("bytes") is not None
    }


def input_bytes(inputs: Mapping[str, int], sizes: Mapping[tuple[str, int], int]) -> int | None:
    """Bytes of all inputs together; None where there is none, or the size of one is unknown."""
    known_sizes = [sizes[item] for item in inputs.items() if item in sizes]
    return sum(known_sizes) if inputs and len(known_sizes) == len(inputs) else None


def _sample(stage: StageRecord, sizes: Mapping[tuple[str, int], int]) -> _Sample | None:
    is_whole = stage.status is StageStatus.SUCCEEDED and stage.ended_early is None
    if not is_whole or not stage.attempts or stage.attempts[-1].seconds is None:
        return None
    seconds = Decimal(str(stage.attempts[-1].seconds))
    return _Sample(seconds, stage.parameters, stage.engine, input_bytes(stage.inputs, sizes))


def _has(sample: _Sample, name: str, value: Any) -> bool:
    return name in sample.parameters and sample.parameters[name] == value


def _is_similar(size: int | None, expected_size: int | None) -> bool:
    if size is None or expected_size is None:
        return False
    return max(size, expected_size) <= SIMILAR_FACTOR * min(size, expected_size)


def _quantiles(values: Sequence[Decimal]) -> Range:
    ordered = sorted(values)

    def at(percent: int) -> Decimal:
        """The quantile, interpolated between the two values beside it."""
        index, remainder = divmod((len(ordered) - 1) * percent, 100)
        above = ordered[min(index + 1, len(ordered) - 1)]
        return ordered[index] + (above - ordered[index]) * remainder / 100

    return Range(at(10), at(50), at(90))
