"""The engine that `auto` chooses against the best one, over sizes and kinds of work: time of the first / of the second.

Each piece of work runs in a process of its own, from and to Delta; engines that would not fit into the memory are
left out, unless they were chosen.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from side_by_side import Line

from stagebook.calibrate import data
from stagebook.calibrate.measure import measure
from stagebook.choice.calibration import KINDS, of_machine
from stagebook.choice.decide import Choice, Input, choose
from stagebook.engines.deltalog import DeltaLog
from stagebook.engines.spark import server
from stagebook.execute.choosing import calibration_file, machine
from stagebook.model.pipeline import SparkSettings

SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)


def run(folder: Path, *, quick: bool) -> Iterator[Line]:
    """A line for each size and kind, then the median and the worst."""
    settings, found = SparkSettings(), []
    server.ensure(settings)
    measure("spark", "join", *data.make(folder / "regret", SIZES[0]), folder / "regret/out", settings)
    for rows in SIZES[:2] if quick else SIZES:
        for kind in KINDS:
            line = _line(folder / "regret", kind, rows, settings)
            found.append(line.ratio)
            yield line
    yield Line("regret", "all", "median", 0.0, median(found))
    yield Line("regret", "all", "worst", 0.0, max(found))


def _line(folder: Path, kind: str, rows: int, settings: SparkSettings) -> Line:
    events, people = data.make(folder, rows)
    size = DeltaLog().size(events, version=0)
    memory = size.memory_bytes or 0
    choice = choose([kind], [Input("events", rows, memory, size.column_bytes)], machine(settings), _calibration())
    seconds = {engine: _seconds(engine, kind, events, people, folder / "out", settings) for engine in _that_fit(choice)}
    best = min(seconds, key=lambda engine: seconds[engine])
    told = {engine: round(value, 2) for engine, value in seconds.items()}
    taken = seconds[choice.engine]
    return Line("regret", f"{rows:,} rows, {kind}", choice.engine, taken, taken / seconds[best], told)


def _that_fit(choice: Choice) -> list[str]:
    return [found.engine for found in choice.candidates if not found.refused or found.engine == choice.engine]


def _seconds(engine: str, kind: str, events: Path, people: Path, out: Path, settings: SparkSettings) -> float:
    def once() -> float:
        told = measure(engine, kind, events, people, out, settings)
        return told["seconds"] + told["start_seconds"]

    first = once()
    return first if first > 5 else min(first, once(), once())


def _calibration():
    return of_machine(calibration_file())
