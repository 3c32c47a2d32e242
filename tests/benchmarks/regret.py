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
from stagebook.delta.log import DeltaLog
from stagebook.engines.calibration import KINDS, load_calibration
from stagebook.engines.choice import EngineChoice, TableInputSize, choose_engine
from stagebook.engines.facts import calibration_file, current_machine
from stagebook.model.pipeline import SparkSettings
from stagebook.spark import server

SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)


def run(folder: Path, *, quick: bool) -> Iterator[Line]:
    """A line for each size and kind, then the median and the worst."""
    settings, ratios = SparkSettings(), []
    server.ensure(settings)
    measure("spark", "join", *data.make_tables(folder / "regret", SIZES[0]), folder / "regret/out", settings)
    for rows in SIZES[:2] if quick else SIZES:
        for kind in KINDS:
            line = _line(folder / "regret", kind, rows, settings)
            ratios.append(line.ratio)
            yield line
    yield Line("regret", "all", "median", 0.0, median(ratios))
    yield Line("regret", "all", "worst", 0.0, max(ratios))


def _line(folder: Path, kind: str, rows: int, settings: SparkSettings) -> Line:
    events, people = data.make_tables(folder, rows)
    size = DeltaLog().size(events, version=0)
    memory = size.memory_bytes or 0
    choice = choose_engine(
        [kind], [TableInputSize("events", rows, memory, size.column_bytes)], current_machine(settings), _calibration()
    )
    seconds = {
        engine: _seconds(engine, kind, events, people, folder / "out", settings) for engine in _fitting_engines(choice)
    }
    best = min(seconds, key=lambda engine: seconds[engine])
    details = {engine: round(value, 2) for engine, value in seconds.items()}
    chosen_seconds = seconds[choice.engine]
    return Line(
        "regret", f"{rows:,} rows, {kind}", choice.engine, chosen_seconds, chosen_seconds / seconds[best], details
    )


def _fitting_engines(choice: EngineChoice) -> list[str]:
    return [option.engine for option in choice.candidates if not option.refusal or option.engine == choice.engine]


def _seconds(engine: str, kind: str, events: Path, people: Path, out: Path, settings: SparkSettings) -> float:
    def once() -> float:
        measured = measure(engine, kind, events, people, out, settings)
        return measured["seconds"] + measured["start_seconds"]

    first = once()
    return first if first > 5 else min(first, once(), once())


def _calibration():
    return load_calibration(calibration_file())
