"""The decision: of the engines that fit into the machine, the one that is predicted to be done first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

from stagebook.choice.calibration import Calibration

LOCAL = ("pandas", "polars")
ENGINES = (*LOCAL, "spark")
PANDAS_FACTOR = 5
"""pandas may hold its table so many times over while it computes."""

SEVERAL = 2
"""Each kind of work is measured alone; a stage with several holds the result of one while it does the next."""

UNDECLARED = ("scan", "aggregate")
"""The kinds of work of a stage that declares none."""


@dataclass(frozen=True)
class Input:
    """A table that a stage reads, after pruning: rows, and their bytes in memory and on disk."""

    name: str
    rows: int
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class Machine:
    """What there is to compute on. `spark` is `warm`, `cold`, `cluster`, or empty where there is no Java.

    `spark_memory_bytes` is the heap of the Spark server on this machine.
    """

    memory_bytes: int
    free_bytes: int
    cores: int
    spark: str = ""
    spark_memory_bytes: int = 0


@dataclass(frozen=True)
class Candidate:
    """One engine: what is predicted of it, and why it cannot be taken, if so."""

    engine: str
    seconds: float
    peak_bytes: int
    refused: str = ""

    def to_json(self) -> dict[str, Any]:
        seconds = round(self.seconds, 2) if isfinite(self.seconds) else None
        return {"seconds": seconds, "bytes": self.peak_bytes, "refused": self.refused or None}


@dataclass(frozen=True)
class Choice:
    """The engine, the reason in words, and all candidates."""

    engine: str
    why: str
    candidates: tuple[Candidate, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "why": self.why,
            "candidates": {candidate.engine: candidate.to_json() for candidate in self.candidates},
        }


def choose(work: Sequence[str], inputs: Sequence[Input], machine: Machine, measured: Calibration) -> Choice:
    """The engine for a stage.

    Args:
        work: kinds of work that the stage does, each as often as it does it; see `calibration.KINDS`.
        inputs: the tables that it reads.
    """
    kinds = tuple(work) or UNDECLARED
    candidates = tuple(_candidate(engine, kinds, inputs, machine, measured) for engine in ENGINES)
    open_to_us = [candidate for candidate in candidates if not candidate.refused]
    if not open_to_us:
        there = [found for found in candidates if isfinite(found.seconds) and (found.engine in LOCAL or machine.spark)]
        least = min(there, key=lambda candidate: candidate.peak_bytes)
        why = f"no engine fits ({least.refused}); {least.engine} needs the least memory"
        return Choice(least.engine, why, candidates)
    best = min(open_to_us, key=lambda candidate: candidate.seconds)
    return Choice(best.engine, _why(best, candidates, inputs, machine), candidates)


def _candidate(
    engine: str, kinds: Sequence[str], inputs: Sequence[Input], machine: Machine, measured: Calibration
) -> Candidate:
    if engine not in measured.points:
        return Candidate(engine, inf, 0, "it has not been measured here (`stagebook calibrate`)")
    size = sum(table.memory_bytes for table in inputs)
    scan = measured.seconds(engine, "scan", size)
    seconds = scan + sum(max(0.0, measured.seconds(engine, kind, size) - scan) for kind in kinds)
    peak = max(measured.peak_bytes(engine, kind, size) for kind in kinds) * (SEVERAL if len(kinds) > 1 else 1)
    start = measured.start_seconds["spark_cold" if engine == "spark" and machine.spark == "cold" else engine]
    refused = _refused(engine, size, peak, machine)
    return Candidate(engine, start + seconds, int(peak), refused)


def _refused(engine: str, size: int, peak: float, machine: Machine) -> str:
    """Why this engine cannot do it here; empty if it can."""
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


def _why(best: Candidate, candidates: Sequence[Candidate], inputs: Sequence[Input], machine: Machine) -> str:
    """One sentence: how much is read, who is fastest, who cannot."""
    rows, size = sum(table.rows for table in inputs), sum(table.memory_bytes for table in inputs)
    read = f"{rows:,} rows, {_gb(size)} in memory" if inputs else "no table is read"
    others = [candidate for candidate in candidates if candidate is not best]
    slower = [f"{c.engine} {c.seconds:.1f} s" for c in others if not c.refused]
    cannot = [f"{c.engine} cannot: {c.refused}" for c in others if c.refused]
    where = " on the cluster" if best.engine == "spark" and machine.spark == "cluster" else ""
    told = f"{read}: {best.engine}{where} is predicted to take {best.seconds:.1f} s"
    if slower:
        told += f", against {', '.join(slower)}"
    return "; ".join([told, *cannot])


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.0f} MB"


def predicted(choice: Mapping[str, Any] | None, engine: str) -> Mapping[str, Any]:
    """What a recorded choice predicted of an engine; empty where nothing was."""
    return (choice or {}).get("candidates", {}).get(engine, {})
