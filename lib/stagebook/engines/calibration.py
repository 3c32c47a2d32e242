"""Measured seconds and peak memory of each engine, by kind of work and input size, with interpolation."""

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from stagebook.errors import ConfigError

KINDS = ("scan", "join", "aggregate", "window", "fit")
"""Kinds of work. A scan reads rows; the others read and then join, group, compute windows, or fit a model."""

MIB = 1024**2


@dataclass(frozen=True)
class CalibrationPoint:
    """One measurement: the seconds and peak memory for an input of `input_bytes` in memory."""

    input_bytes: int
    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Calibration:
    """Measurements by engine and kind of work, in ascending sizes; seconds to start each engine.

    `start_seconds` has `pandas`, `polars`, `spark` (its server is running) and `spark_cold` (it is not).
    `cores` are those of the measured machine.
    """

    points: Mapping[str, Mapping[str, Sequence[CalibrationPoint]]]
    start_seconds: Mapping[str, float]
    cores: int
    measured_at: str = ""

    def seconds(self, engine: str, kind: str, input_bytes: float) -> float:
        """Seconds that the work takes on a started engine, interpolated between measurements or extrapolated."""
        return _interpolate([(p.input_bytes, p.seconds) for p in self.points[engine][kind]], input_bytes)

    def peak_bytes(self, engine: str, kind: str, input_bytes: float) -> float:
        """Peak memory in bytes, interpolated likewise."""
        return _interpolate([(p.input_bytes, float(p.peak_bytes)) for p in self.points[engine][kind]], input_bytes)

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
            engine: {kind: [CalibrationPoint(*point) for point in row] for kind, row in kinds.items()}
            for engine, kinds in value["points"].items()
        }
        return cls(points, value["start_seconds"], value["cores"], value["measured_at"])


def shipped_calibration() -> Calibration:
    """The calibration that is part of the package, measured on two cores."""
    return Calibration.from_json(json.loads((files("stagebook.engines") / "calibration.json").read_text("utf-8")))


def load_calibration(path: Path) -> Calibration:
    """The calibration that `stagebook calibrate` wrote to `path`; the shipped one where there is no file.

    Raises:
        ConfigError: the file is not a calibration.
    """
    if not path.exists():
        return shipped_calibration()
    try:
        return Calibration.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as fault:
        message = f"{path} is not a calibration ({fault!r}).\n  Create a new one: `stagebook calibrate`."
        raise ConfigError(message) from None


def _interpolate(line: Sequence[tuple[int, float]], at: float) -> float:
    """The value at a size on the line through the measurements; below the first one its value.

    Beyond the last one the slope is that of all measurements: between the last two it would be mostly noise.
    """
    sizes = [size for size, _ in line]
    if at <= sizes[0]:
        return line[0][1]
    upper = bisect_left(sizes, at)
    (start, low), (end, high) = (line[upper - 1], line[upper]) if upper < len(line) else (line[0], line[-1])
    return max(low, low + (high - low) * (at - start) / (end - start)) if end > start else high
