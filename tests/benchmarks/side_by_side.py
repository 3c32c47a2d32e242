"""Variants of the same work, measured in turns in one run: ratios hold on a noisy machine, seconds do not."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Line:
    """One variant of one comparison: its median seconds, and those divided by the seconds of the first variant."""

    benchmark: str
    case: str
    variant: str
    seconds: float
    ratio: float
    details: Mapping[str, Any] = field(default_factory=dict)


def compare(
    benchmark: str,
    case: str,
    variants: Mapping[str, Callable[[], Any]],
    *,
    rounds: int = 5,
    details: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Line]:
    """Each variant once unmeasured, then all of them in turns."""
    for run in variants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return lines(benchmark, case, {name: median(durations) for name, durations in seconds.items()}, details)


def lines(
    benchmark: str, case: str, seconds: Mapping[str, float], details: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Line]:
    """Measured seconds as lines; ratios are to the first one."""
    first = next(iter(seconds.values()))
    return [
        Line(benchmark, case, name, value, value / first, (details or {}).get(name, {}))
        for name, value in seconds.items()
    ]


def in_a_process(code: str, **values: Any) -> dict[str, Any]:
    """Run Python code in a process of its own; gives the JSON object that it prints last."""
    header = "import json, sys\nvalues = json.loads(sys.argv[1])\n"
    command = [sys.executable, "-c", header + code, json.dumps(values, default=str)]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    if process.returncode:
        raise RuntimeError(process.stderr[-2000:])
    return json.loads(process.stdout.strip().splitlines()[-1])


def read_bytes() -> int:
    """Bytes that this process has read from files so far, from the disk or not; 0 where Linux does not count them."""
    status = Path("/proc/self/io")
    if not status.exists():
        return 0
    return int(status.read_text().splitlines()[0].split()[1])
