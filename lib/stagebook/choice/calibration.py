"""What has been measured: seconds and bytes of each engine for each kind of work over sizes, and between them."""

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from stagebook.errors import ConfigError

KINDS = ("scan", "join", "aggregate", "window", "fit")
"""Kinds of work. A scan reads rows; the others read and then join, group, look at neighbours, or learn."""

MIB = 1024**2


@dataclass(frozen=True)
class Point:
    """One measurement: input of so many bytes in memory took so long, and so much memory at its peak."""

    input_bytes: int
    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Calibration:
    """Measurements by engine and kind of work, sizes rising; seconds to start each engine.

    `start_seconds` has `pandas`, `polars`, `spark` (a server that runs) and `spark_cold` (one that does not).
    `cores` are those of the machine that was measured.
    """

    points: Mapping[str, Mapping[str, Sequence[Point]]]
    start_seconds: Mapping[str, float]
    cores: int
    measured_at: str = ""

    def seconds(self, engine: str, kind: str, input_bytes: float) -> float:
        """Seconds that work takes, its engine started: between two measurements, or in proportion beyond them."""
        return _between([(p.input_bytes, p.seconds) for p in self.points[engine][kind]], input_bytes)

    def peak_bytes(self, engine: str, kind: str, input_bytes: float) -> float:
        """Memory at the peak, in bytes, likewise."""
        return _between([(p.input_bytes, float(p.peak_bytes)) for p in self.points[engine][kind]], input_bytes)

    def to_json(self) -> dict[str, Any]:
        points = {
            engine: {kind: [[p.input_bytes, p.seconds, p.peak_bytes] for p in row] for kind, row in kinds.items()}
            for engine, kinds in self.points.items()
        }
        return {
            "measured_at": self.measured_at,
            "cores": self.cores,
            "start_seconds": dict(self.start_seconds),
            "points": points,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        points = {
            engine: {kind: [Point(*point) for point in row] for kind, row in kinds.items()}
            for engine, kinds in value["points"].items()
        }
        return cls(points, value["start_seconds"], value["cores"], value["measured_at"])


def shipped() -> Calibration:
    """The calibration that comes with the kit: a machine of two cores."""
    return Calibration.from_json(json.loads((files("stagebook.choice") / "calibration.json").read_text("utf-8")))


def of_machine(path: Path) -> Calibration:
    """This machine's own calibration, as `stagebook calibrate` wrote it; the shipped one where there is none.

    Raises:
        ConfigError: if the file is not one.
    """
    if not path.exists():
        return shipped()
    try:
        return Calibration.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as fault:
        raise ConfigError(f"{path} is not a calibration ({fault!r}).\n  Make it anew: `stagebook calibrate`.") from None


def _between(line: Sequence[tuple[int, float]], at: float) -> float:
    """On the line through the measurements; below the first one its value.

    Beyond the last one the slope is that of all measurements: that of the last two would be mostly their noise.
    """
    sizes = [size for size, _ in line]
    if at <= sizes[0]:
        return line[0][1]
    upper = bisect_left(sizes, at)
    (left, low), (right, high) = (line[upper - 1], line[upper]) if upper < len(line) else (line[0], line[-1])
    return max(low, low + (high - low) * (at - left) / (right - left)) if right > left else high
