"""Features that are built month by month equal a full rebuild, whatever has changed, on every engine."""

import random

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from flightdelay import features, months, prep, schema, source
from stagebook.engines.local import LocalEngine
from stagebook.engines.polars import PolarsEngine
from stagebook.tables.warehouse import Warehouse, Writer

KEY = list(schema.FEATURES.key)


@pytest.fixture(scope="module")
def inputs() -> dict[str, pd.DataFrame]:
    """Every 40th flight from January to May, weather and planes."""
    raw = {name: source.read(name) for name in ("flights", "weather", "planes", "airports")}
    flights = prep.flights(raw["flights"], raw["airports"])
    weather, planes = prep.weather(raw["weather"]), prep.planes(raw["planes"])
    few = months.only(flights, range(201301, 201306)).iloc[::40]
    return {"flights": few.reset_index(drop=True), "weather": weather, "planes": planes}


@pytest.fixture
def warehouse(engine, tmp_path):
    return Warehouse(tmp_path, engine)


def build(warehouse, tables, run):
    """What the notebook does: gives the months that were built, with reasons, and the commit."""
    engine = warehouse.engine
    frames = {name: engine.frame(table[list(features.READS[name])]) for name, table in tables.items()}
    parts = features.parts(
        flights=engine.fingerprints(months.numbered(frames["flights"], "dep_date_local"), "yyyymm"),
        weather=engine.fingerprints(months.numbered(frames["weather"], "date_local"), "yyyymm"),
        planes=engine.fingerprints(frames["planes"], None)[None],
    )
    stale = warehouse.stale(schema.FEATURES, parts)
    built = features.build(**frames, months=stale.to_make)
    commit = warehouse.write(built, schema.FEATURES, writer=Writer(run, "feature_build", 1), stale=stale)
    return stale.why, commit


def in_order(frame):
    return frame.sort_values(KEY, ignore_index=True)


def held(warehouse):
    return in_order(warehouse.to_pandas(warehouse.read("features", version=None)))


def delayed(flights, month, chance):
    """The flights with other delays in some random rows of one month."""
    rows = flights.index[flights["dep_date_local"].astype(str).str.startswith(month)]
    hit = chance.sample(list(rows), 50)
    delay = pd.array([chance.randrange(0, 900) for _ in hit], dtype=flights["arr_delay_min"].dtype)
    changed = flights.copy()
    changed.loc[hit, "arr_delay_min"] = delay
    changed.loc[hit, "arr_at"] = changed.loc[hit, "sched_arr_at"] + pd.to_timedelta(list(delay), unit="min")
    return changed.astype(flights.dtypes)


def other_seats(planes):
    changed = planes.copy()
    changed.loc[0, "seats"] += 1
    return changed


def test_built_month_by_month_it_equals_a_full_rebuild_row_by_row(warehouse, inputs):
    chance, flights = random.Random(7), inputs["flights"]
    by_month = [months.only(flights, range(201301, last)) for last in (201305, 201306)]
    late = delayed(by_month[1], "2013-02", chance)
    steps = [
        ("the first four months", {"flights": by_month[0]}, {201301, 201302, 201303, 201304}),
        ("nothing", {}, set()),
        ("random rows of February, and May", {"flights": late}, {201302, 201303, 201305}),
        ("a plane", {"planes": other_seats(inputs["planes"])}, {201301, 201302, 201303, 201304, 201305}),
        (
            "no May any more, and no March",
            {"flights": months.only(late, [201301, 201302, 201304])},
            {201303, 201304, 201305},
        ),
    ]
    now = dict(inputs)
    for step, change, expected in steps:
        now |= change
        files = set(DeltaTable(warehouse.path("features")).file_uris()) if warehouse.exists("features") else set()
        why, commit = build(warehouse, now, step)
        assert set(why) == expected, step
        assert commit.version == warehouse.latest("features")
        if not expected:
            assert set(DeltaTable(warehouse.path("features")).file_uris()) == files, step
        full = features.build(now["flights"], now["weather"], now["planes"])
        pd.testing.assert_frame_equal(held(warehouse), in_order(full), obj=step)


def test_what_pandas_has_built_polars_does_not_build_again(tmp_path, inputs):
    build(Warehouse(tmp_path, LocalEngine()), inputs, "pandas")
    assert build(Warehouse(tmp_path, PolarsEngine()), inputs, "polars")[0] == {}


def test_other_code_builds_all_months_and_keeps_those_of_the_old_code(tmp_path, inputs, monkeypatch):
    warehouse = Warehouse(tmp_path, PolarsEngine())
    january = inputs | {"flights": months.only(inputs["flights"], [201301, 201302])}
    build(warehouse, january, "old")
    before = held(warehouse)
    monkeypatch.setattr(features, "version", lambda: "new code")
    why, commit = build(warehouse, january, "new")
    assert why == {201301: "new", 201302: "new"}
    assert commit.rows == 2 * len(before)
    old, new = (
        warehouse.to_pandas(warehouse.read("features", version=None, where=features.of_version(version)))
        for version in (before["feature_version"].iloc[0], "new code")
    )
    pd.testing.assert_frame_equal(in_order(old), before)
    text = pd.ArrowDtype(pa.string())
    pd.testing.assert_frame_equal(
        in_order(new).assign(feature_version=pd.array(list(before["feature_version"]), dtype=text)), before
    )
