"""Features of the real year when one month has changed: that month and the next one, against all of them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from side_by_side import Line, compare

from flightdelay import features, prep, schema, source
from stagebook import stage
from stagebook.model.context import VARIABLE, StageContext
from stagebook.model.pipeline import Tracking
from stagebook.stage import current, tables

SCHEMAS = {"flights": schema.FLIGHTS, "weather": schema.WEATHER, "planes": schema.PLANES}


def run(folder: Path, *, quick: bool) -> Iterator[Line]:
    """Lines for pandas and polars, from the tables in Delta to the table in Delta."""
    for engine in ("pandas", "polars"):
        yield from _compare(folder / f"features-{engine}", engine, rounds=1 if quick else 3)


def _compare(folder: Path, engine: str, rounds: int) -> list[Line]:
    folder.mkdir(parents=True, exist_ok=True)
    flights = prep.flights(source.read("flights"), source.read("airports"))
    june = flights["dep_date_local"].astype(str).str.startswith("2013-06")
    count = 0

    def write(name, frame):
        _start_run(folder, engine, count)
        stage.write(stage.from_local(frame), SCHEMAS[name])

    def change():
        nonlocal count
        count += 1
        changed = flights.copy()
        changed.loc[june, "distance_mi"] += count % 2
        write("flights", changed)

    def build(*, rebuild):
        _start_run(folder, engine, count)
        return stage.build_partitions(
            schema.FEATURES, features.build, by="dep_month", sources=features.SOURCES, rebuild=rebuild
        ).built

    write("weather", prep.weather(source.read("weather")))
    write("planes", prep.planes(source.read("planes")))
    change()
    build(rebuild=True)

    def incremental():
        change()
        assert build(rebuild=False) == [201306, 201307]

    def rebuild():
        change()
        assert len(build(rebuild=True)) == 12

    case = f"one month changed, {engine}"
    (writing,) = compare("features", case, {"write": change}, rounds=rounds)
    built = compare("features", case, {"rebuild": rebuild, "incremental": incremental}, rounds=rounds)
    seconds = [line.seconds - writing.seconds for line in built]
    return [
        Line("features", case, line.variant, own_seconds, own_seconds / seconds[0])
        for line, own_seconds in zip(built, seconds, strict=True)
    ]


def _start_run(folder: Path, engine: str, count: int) -> None:
    """Make this process the stage of a run."""
    context = StageContext(
        run_id=f"run-{count}", stage="feature_build", attempt=1, run_folder=folder / "runs", warehouse=folder,
        tables=folder / "tables", engine=engine, tracking=Tracking("sqlite:///x", "e", "m"), reads=tuple(SCHEMAS),
        writes=(*SCHEMAS, "features"),
    )  # fmt: skip
    path = folder / "context.json"
    path.write_text(json.dumps(context.to_json()))
    os.environ[VARIABLE] = str(path)
    current.current.cache_clear()
    tables.warehouse.cache_clear()
