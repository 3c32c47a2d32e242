"""Features of the real year when one month has changed: that month and the one after, against all of them."""

from collections.abc import Iterator
from pathlib import Path

from side_by_side import Line, compare

from flightdelay import features, months, prep, schema, source
from stagebook.engines.base import Engine
from stagebook.engines.local import LocalEngine
from stagebook.engines.polars import PolarsEngine
from stagebook.model.tables import Stale
from stagebook.tables.warehouse import Warehouse, Writer


def run(folder: Path, *, quick: bool) -> Iterator[Line]:
    """Lines for pandas and polars, from the tables in Delta to the table in Delta."""
    for engine in (LocalEngine(), PolarsEngine()):
        yield from _compare(folder / f"features-{engine.name}", engine, rounds=1 if quick else 3)


def _compare(folder: Path, engine: Engine, rounds: int) -> list[Line]:
    warehouse = Warehouse(folder, engine)
    flights = prep.flights(source.read("flights"), source.read("airports"))
    tables = {"weather": prep.weather(source.read("weather")), "planes": prep.planes(source.read("planes"))}
    june = flights["dep_date_local"].astype(str).str.startswith("2013-06")
    kinds = {"flights": schema.FLIGHTS, "weather": schema.WEATHER, "planes": schema.PLANES}
    count = 0

    def put(name, frame):
        warehouse.write(frame, kinds[name], writer=_writer(count))

    def change():
        nonlocal count
        count += 1
        moved = flights.copy()
        moved.loc[june, "distance_mi"] += count % 2
        put("flights", moved)

    def build(everything):
        frames = {name: warehouse.read(name, version=None, columns=features.READS[name]) for name in kinds}
        parts = features.parts(
            flights=engine.fingerprints(months.numbered(frames["flights"], "dep_date_local"), "yyyymm"),
            weather=engine.fingerprints(months.numbered(frames["weather"], "date_local"), "yyyymm"),
            planes=engine.fingerprints(frames["planes"], None)[None],
        )
        stale: Stale = warehouse.stale(schema.FEATURES, parts, everything=everything)
        built = features.build(**frames, months=stale.to_make)
        warehouse.write(built, schema.FEATURES, writer=_writer(count), stale=stale)
        return stale.to_make

    for name, frame in tables.items():
        put(name, frame)
    change()
    build(True)

    def incremental():
        change()
        assert build(False) == [201306, 201307]

    def rebuild():
        change()
        assert len(build(True)) == 12

    lines = compare("features", f"one month changed, {engine.name}", {"put": change}, rounds=rounds)
    whole, part = compare(
        "features", f"one month changed, {engine.name}", {"rebuild": rebuild, "incremental": incremental}, rounds=rounds
    )
    put_seconds = lines[0].seconds
    return [
        Line(whole.benchmark, whole.case, whole.variant, whole.seconds - put_seconds, 1.0),
        Line(
            part.benchmark,
            part.case,
            part.variant,
            part.seconds - put_seconds,
            (part.seconds - put_seconds) / (whole.seconds - put_seconds),
        ),
    ]


def _writer(count: int) -> Writer:
    return Writer(f"run-{count}", "feature_build", 1)
