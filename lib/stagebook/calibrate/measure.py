"""Measures a calibration of this machine: each kind of work, on each engine, for several sizes."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from stagebook.calibrate import data
from stagebook.delta.log import DeltaLog
from stagebook.engines.calibration import KINDS, Calibration, CalibrationPoint
from stagebook.errors import JavaMissing, StagebookError
from stagebook.model.pipeline import SparkSettings
from stagebook.spark import java, server

SIZES = (100_000, 1_000_000, 3_000_000)
COLD_START_SECONDS = 15.0
LONG_SECONDS = 5.0


class NotMeasured(StagebookError):
    """A measurement failed."""


def calibrate(
    spark: SparkSettings,
    *,
    sizes: Sequence[int] = SIZES,
    folder: Path | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Calibration:
    """Measure this machine; Spark is omitted where there is no Java.

    Args:
        sizes: rows, ascending.
        folder: where the tables are stored; a temporary folder by default.
        report: called with a line of text for each measurement.

    Raises:
        NotMeasured: a measurement failed.
    """
    engines = ["pandas", "polars", *(["spark"] if _has_java() else [])]
    points: dict[str, dict[str, list[CalibrationPoint]]] = {engine: {kind: [] for kind in KINDS} for engine in engines}
    starts: dict[str, list[float]] = {engine: [] for engine in engines}
    with tempfile.TemporaryDirectory(prefix="stagebook-calibrate-") as temporary:
        tables = folder or Path(temporary)
        cold = _cold_start(spark) if "spark" in engines else COLD_START_SECONDS
        for rows in sizes:
            events, people = data.make_tables(tables, rows)
            size = DeltaLog().size(events, version=0).memory_bytes or 0
            if "spark" in engines and rows == sizes[0]:
                cold += _warm_up(events, people, Path(temporary) / "out", spark)
            for engine in engines:
                for kind in KINDS:
                    result = _fastest(engine, kind, events, people, Path(temporary) / "out", spark)
                    point = CalibrationPoint(size, round(result["seconds"], 3), result["peak_bytes"])
                    points[engine][kind].append(point)
                    starts[engine].append(result["start_seconds"])
                    report(f"{rows:>12,} rows  {kind:10} {engine:7} {result['seconds']:7.2f} s")
    start_seconds = {engine: round(median(seconds), 2) for engine, seconds in starts.items()}
    start_seconds.setdefault("spark", 0.0)
    start_seconds["spark_cold"] = round(start_seconds["spark"] + cold, 2)
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Calibration(points, start_seconds, os.cpu_count() or 1, measured_at)


def _fastest(engine: str, kind: str, events: Path, people: Path, out: Path, spark: SparkSettings) -> dict[str, Any]:
    """The fastest of three measurements: a disturbance only ever makes one slower. Long work is measured once."""
    results = [measure(engine, kind, events, people, out, spark)]
    if results[0]["seconds"] <= LONG_SECONDS:
        results += [measure(engine, kind, events, people, out, spark) for _ in range(2)]
    return min(results, key=lambda result: result["seconds"])


def measure(engine: str, kind: str, events: Path, people: Path, out: Path, spark: SparkSettings) -> dict[str, Any]:
    """Measure one piece of work in a process of its own: `seconds`, `peak_bytes`, `start_seconds`.

    Raises:
        NotMeasured: the process failed; with the last line of its stderr.
    """
    order = {"engine": engine, "kind": kind, "table": str(events), "other": str(people), "out": str(out)}
    process = subprocess.run(
        [sys.executable, "-m", "stagebook.calibrate.work"],
        input=json.dumps({**order, "spark": asdict(spark)}),
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        error = process.stderr.strip().splitlines()[-1:] or [f"exit status {process.returncode}"]
        raise NotMeasured(f"{kind} on {engine} could not be measured: {error[0]}")
    return json.loads(process.stdout.splitlines()[-1])


def _has_java() -> bool:
    try:
        java.home()
    except JavaMissing:
        return False
    return True


def _cold_start(spark: SparkSettings) -> float:
    """Seconds until a new Spark server listens; a default where one is running or is not this machine's to start."""
    if not spark.needs_server or server.running(spark):
        return COLD_START_SECONDS
    started = time.perf_counter()
    server.ensure(spark)
    return time.perf_counter() - started


def _warm_up(events: Path, people: Path, out: Path, spark: SparkSettings) -> float:
    """Seconds by which a new server's first join is slower than its second: Spark compiles code when it is used."""
    cold, warm = (measure("spark", "join", events, people, out, spark)["seconds"] for _ in range(2))
    return max(0.0, cold - warm)
