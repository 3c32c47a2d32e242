"""Chooses an engine: of those that fit into the machine, the one with the shortest predicted time."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

from stagebook.engines.calibration import Calibration
from stagebook.engines.open import ENGINES

LOCAL = ("pandas", "polars")
PANDAS_FACTOR = 5
"""pandas may need this many times the size of its tables while it computes."""

SEVERAL_KINDS_FACTOR = 2
"""Each kind of work is measured alone; a stage with several holds the result of one while it does the next."""

DEFAULT_WORK = ("scan", "aggregate")
"""The kinds of work of a stage that declares none."""


@dataclass(frozen=True)
class TableInputSize:
    """A table that a stage reads, after pruning: rows, and their bytes in memory and on disk."""

    name: str
    rows: int
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class Machine:
    """The machine to compute on. `spark` is `warm`, `cold`, `cluster`, or empty where there is no Java.

    `spark_memory_bytes` is the heap of the Spark server on this machine.
    """

    memory_bytes: int
    free_bytes: int
    cores: int
    spark: str = ""
    spark_memory_bytes: int = 0


@dataclass(frozen=True)
class EngineCandidate:
    """One engine: its predicted seconds and peak memory, and the reason why it cannot be chosen, if any."""

    engine: str
    seconds: float
    peak_bytes: int
    refusal: str = ""

    def to_json(self) -> dict[str, Any]:
        seconds = round(self.seconds, 2) if isfinite(self.seconds) else None
        return {"seconds": seconds, "bytes": self.peak_bytes, "refused": self.refusal or None}


@dataclass(frozen=True)
class EngineChoice:
    """The engine, the reason in one sentence, and all candidates."""

    engine: str
    reason: str
    candidates: tuple[EngineCandidate, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "why": self.reason,
            "candidates": {candidate.engine: candidate.to_json() for candidate in self.candidates},
        }


def choose_engine(
    work: Sequence[str], inputs: Sequence[TableInputSize], machine: Machine, calibration: Calibration
) -> EngineChoice:
    """The engine for a stage.

    Args:
        work: kinds of work that the stage does, each as often as it does it; see `calibration.KINDS`.
        inputs: the tables that it reads.
    """
    kinds = tuple(work) or DEFAULT_WORK
    candidates = tuple(_candidate(engine, kinds, inputs, machine, calibration) for engine in ENGINES)
    allowed = [candidate for candidate in candidates if not candidate.refusal]
    if not allowed:
        available = [c for c in candidates if isfinite(c.seconds) and (c.engine in LOCAL or machine.spark)]
        smallest = min(available, key=lambda candidate: candidate.peak_bytes)
        reason = f"no engine fits ({smallest.refusal}); {smallest.engine} needs the least memory"
        return EngineChoice(smallest.engine, reason, candidates)
    fastest = min(allowed, key=lambda candidate: candidate.seconds)
    return EngineChoice(fastest.engine, _reason(fastest, candidates, inputs, machine), candidates)


def _candidate(
    engine: str, kinds: Sequence[str], inputs: Sequence[TableInputSize], machine: Machine, calibration: Calibration
) -> EngineCandidate:
    if engine not in calibration.points:
        return EngineCandidate(engine, inf, 0, "it has not been measured here (`stagebook calibrate`)")
    size = sum(table.memory_bytes for table in inputs)
    scan = calibration.seconds(engine, "scan", size)
    seconds = scan + sum(max(0.0, calibration.seconds(engine, kind, size) - scan) for kind in kinds)
    factor = SEVERAL_KINDS_FACTOR if len(kinds) > 1 else 1
    peak = max(calibration.peak_bytes(engine, kind, size) for kind in kinds) * factor
    start = calibration.start_seconds["spark_cold" if engine == "spark" and machine.spark == "cold" else engine]
    return EngineCandidate(engine, start + seconds, int(peak), _refusal(engine, size, peak, machine))


def _refusal(engine: str, size: int, peak: float, machine: Machine) -> str:
    """The reason why this engine cannot do the work on this machine; empty if it can."""
    half = machine.memory_bytes / 2
    if engine == "pandas" and PANDAS_FACTOR * size > half:
        return f"{PANDAS_FACTOR} x {_gb(size)} of tables is more than half of the memory ({_gb(half)})"
    if engine in LOCAL and peak > min(0.8 * machine.free_bytes, 0.6 * machine.memory_bytes):
        return f"would need {_gb(peak)}, and {_gb(machine.free_bytes)} of memory are free"
    if engine == "spark" and not machine.spark:
        return "there is no Java that Spark runs on"
    if engine == "spark" and machine.spark != "cluster" and machine.free_bytes < machine.spark_memory_bytes:
        return f"its server needs {_gb(machine.spark_memory_bytes)}, and {_gb(machine.free_bytes)} of memory are free"
    return ""


def _reason(
    fastest: EngineCandidate, candidates: Sequence[EngineCandidate], inputs: Sequence[TableInputSize], machine: Machine
) -> str:
    """One sentence: how much is read, which engine is fastest, and which cannot do it."""
    rows, size = sum(table.rows for table in inputs), sum(table.memory_bytes for table in inputs)
    amount = f"{rows:,} rows, {_gb(size)} in memory" if inputs else "no table is read"
    alternatives = [candidate for candidate in candidates if candidate is not fastest]
    slower = [f"{c.engine} {c.seconds:.1f} s" for c in alternatives if not c.refusal]
    refused = [f"{c.engine} cannot: {c.refusal}" for c in alternatives if c.refusal]
    place = " on the cluster" if fastest.engine == "spark" and machine.spark == "cluster" else ""
    prediction = f"{amount}: {fastest.engine}{place} is predicted to take {fastest.seconds:.1f} s"
    if slower:
        prediction += f", against {', '.join(slower)}"
    return "; ".join([prediction, *refused])


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.0f} MB"
