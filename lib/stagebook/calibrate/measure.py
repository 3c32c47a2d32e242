"""The calibration of this machine: work of each kind, on each engine, over sizes."""

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
from stagebook.choice.calibration import KINDS, Calibration, Point
from stagebook.engines.deltalog import DeltaLog
from stagebook.engines.spark import java, server
from stagebook.errors import JavaMissing, StagebookError
from stagebook.model.pipeline import SparkSettings

SIZES = (100_000, 1_000_000, 3_000_000)
COLD_START_SECONDS = 15.0
LONG_SECONDS = 5.0


class NotMeasured(StagebookError):
    """A piece of work did not end well."""


def calibrate(
    spark: SparkSettings,
    *,
    sizes: Sequence[int] = SIZES,
    folder: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Calibration:
    """Measure this machine; Spark is left out where there is no Java.

    Args:
        sizes: rows, rising. folder: where the tables are kept; a temporary one by default.
        tell: called with a line for each measurement.
    """
    engines = ["pandas", "polars", *(["spark"] if _has_java() else [])]
    points: dict[str, dict[str, list[Point]]] = {engine: {kind: [] for kind in KINDS} for engine in engines}
    starts: dict[str, list[float]] = {engine: [] for engine in engines}
    with tempfile.TemporaryDirectory(prefix="stagebook-calibrate-") as temporary:
        place = folder or Path(temporary)
        cold = _cold_start(spark) if "spark" in engines else COLD_START_SECONDS
        for rows in sizes:
            events, people = data.make(place, rows)
            size = DeltaLog().size(events, version=0).memory_bytes or 0
            if "spark" in engines and rows == sizes[0]:
                cold += _warm_up(events, people, Path(temporary) / "out", spark)
            for engine in engines:
                for kind in KINDS:
                    told = _least(engine, kind, events, people, Path(temporary) / "out", spark)
                    points[engine][kind].append(Point(size, round(told["seconds"], 3), told["peak_bytes"]))
                    starts[engine].append(told["start_seconds"])
                    tell(f"{rows:>12,} rows  {kind:10} {engine:7} {told['seconds']:7.2f} s")
    start_seconds = {engine: round(median(found), 2) for engine, found in starts.items()}
    start_seconds.setdefault("spark", 0.0)
    start_seconds["spark_cold"] = round(start_seconds["spark"] + cold, 2)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Calibration(points, start_seconds, os.cpu_count() or 1, now)


def _least(engine: str, kind: str, events: Path, people: Path, out: Path, spark: SparkSettings) -> dict[str, Any]:
    """The fastest of three measurements: what disturbs one only ever makes it slower. Long ones are made once."""
    first = measure(engine, kind, events, people, out, spark)
    if first["seconds"] > LONG_SECONDS:
        return first
    again = [measure(engine, kind, events, people, out, spark) for _ in range(2)]
    return min(first, *again, key=lambda told: told["seconds"])


def measure(engine: str, kind: str, events: Path, people: Path, out: Path, spark: SparkSettings) -> dict[str, Any]:
    """One piece of work in a process of its own: `seconds`, `peak_bytes`, `start_seconds`.

    Raises:
        NotMeasured: the process ended badly; with its last words.
    """
    order = {"engine": engine, "kind": kind, "table": str(events), "other": str(people), "out": str(out)}
    ended = subprocess.run(
        [sys.executable, "-m", "stagebook.calibrate.work"],
        input=json.dumps({**order, "spark": asdict(spark)}),
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        last = ended.stderr.strip().splitlines()[-1:] or [f"exit status {ended.returncode}"]
        raise NotMeasured(f"{kind} on {engine} could not be measured: {last[0]}")
    return json.loads(ended.stdout.splitlines()[-1])


def _has_java() -> bool:
    try:
        java.home()
    except JavaMissing:
        return False
    return True


def _cold_start(spark: SparkSettings) -> float:
    """Seconds until a server listens, on this machine where it starts them; else what is known of others."""
    if not spark.needs_server or server.running(spark):
        return COLD_START_SECONDS
    started = time.perf_counter()
    server.ensure(spark)
    return time.perf_counter() - started


def _warm_up(events: Path, people: Path, out: Path, spark: SparkSettings) -> float:
    """Seconds by which a new server's first join is slower than its second: Spark's code is compiled by use."""
    first, second = (measure("spark", "join", events, people, out, spark)["seconds"] for _ in range(2))
    return max(0.0, first - second)
