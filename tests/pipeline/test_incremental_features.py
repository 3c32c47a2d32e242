"""Features that are built month by month equal a full rebuild, whatever has changed, on every engine."""

import random
from pathlib import Path

import narwhals as nw
import pandas as pd
import pytest
from deltalake import DeltaTable
from fixtures.stage_runs import StageRuns, clear_caches

from flightdelay import features, prep, schema, source
from stagebook import stage
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.delta.polars_engine import PolarsEngine
from stagebook.stage.partitions import PartitionBuild

KEY = list(schema.FEATURES.key)
SCHEMAS = {"flights": schema.FLIGHTS, "weather": schema.WEATHER, "planes": schema.PLANES}


class FeatureBuild:
    """The stage that builds the features, in run after run on one engine."""

    def __init__(self, engine, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.runs, self.engine, self.table = StageRuns(engine, folder, patch), engine, folder / "tables/features"

    def write(self, tables: dict[str, pd.DataFrame]) -> None:
        for name, table in tables.items():
            self.runs.start(writes=(name,))
            stage.write(self.engine.from_local(table), SCHEMAS[name])

    def build(self) -> PartitionBuild:
        """What the notebook does."""
        self.runs.start(reads=tuple(SCHEMAS), writes=("features",))
        return stage.build_partitions(schema.FEATURES, features.build, by="dep_month", sources=features.SOURCES)

    @property
    def rows(self) -> pd.DataFrame:
        return in_order(stage.to_pandas(stage.read("features")))

    @property
    def files(self) -> set[str]:
        return set(DeltaTable(self.table).file_uris()) if self.table.exists() else set()


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(KEY, ignore_index=True)


def in_months(flights: pd.DataFrame, months) -> pd.DataFrame:
    return nw.from_native(flights).filter(features.yyyymm("dep_date_local").is_in(list(months))).to_native()


@pytest.fixture(scope="module")
def inputs() -> dict[str, pd.DataFrame]:
    """Every 40th flight from January to May, weather and planes."""
    raw = {name: source.read(name) for name in ("flights", "weather", "planes", "airports")}
    flights = in_months(prep.flights(raw["flights"], raw["airports"]), range(201301, 201306))
    weather = prep.weather(raw["weather"])
    return {
        "flights": flights.iloc[::40].reset_index(drop=True),
        "weather": weather[~(weather["wind_speed_mph"] > 200).fillna(value=False)].reset_index(drop=True),
        "planes": prep.planes(raw["planes"]),
    }


@pytest.fixture
def feature_build(engine, tmp_path, monkeypatch):
    yield FeatureBuild(engine, tmp_path, monkeypatch)
    clear_caches()


def delayed(flights, month, chance):
    """The flights with other delays in some random rows of one month."""
    rows = flights.index[flights["dep_date_local"].astype(str).str.startswith(month)]
    sample = chance.sample(list(rows), 50)
    delay = pd.array([chance.randrange(0, 900) for _ in sample], dtype=flights["arr_delay_min"].dtype)
    changed = flights.copy()
    changed.loc[sample, "arr_delay_min"] = delay
    changed.loc[sample, "arr_at"] = changed.loc[sample, "sched_arr_at"] + pd.to_timedelta(list(delay), unit="min")
    return changed.astype(flights.dtypes)


def other_seats(planes):
    changed = planes.copy()
    changed.loc[0, "seats"] += 1
    return changed


def one_more_seat(frame):
    return nw.from_native(frame).with_columns((nw.col("seats") + 1).cast(nw.Int16())).to_native()


def test_built_month_by_month_the_features_equal_a_full_rebuild_row_by_row(feature_build, inputs):
    chance, flights = random.Random(7), inputs["flights"]
    until_april, until_may = (in_months(flights, range(201301, last)) for last in (201305, 201306))
    late = delayed(until_may, "2013-02", chance)
    steps = [
        ("the first four months", {**inputs, "flights": until_april}, {201301, 201302, 201303, 201304}),
        ("nothing", {}, set()),
        ("random rows of February, and May", {"flights": late}, {201302, 201303, 201305}),
        ("a plane", {"planes": other_seats(inputs["planes"])}, {201301, 201302, 201303, 201304, 201305}),
        (
            "no May any more, and no March",
            {"flights": in_months(late, [201301, 201302, 201304])},
            {201303, 201304, 201305},
        ),
    ]
    if feature_build.engine.name == "spark":  # many seconds a step
        steps = steps[:3]
    tables = dict(inputs)
    for step, change, stale_months in steps:
        tables |= change
        feature_build.write(change)
        files = feature_build.files
        result = feature_build.build()
        assert set(result.reasons) == stale_months, step
        assert (feature_build.files == files) is (not stale_months), step
        full = features.build(tables["flights"], tables["weather"], tables["planes"])
        pd.testing.assert_frame_equal(feature_build.rows, in_order(full), obj=step)


def test_what_pandas_has_built_polars_does_not_build_again(tmp_path, monkeypatch, inputs):
    on_pandas = FeatureBuild(LocalEngine(), tmp_path, monkeypatch)
    on_pandas.write(inputs)
    assert on_pandas.build().built == [201301, 201302, 201303, 201304, 201305]
    assert FeatureBuild(PolarsEngine(), tmp_path, monkeypatch).build().built == []
    clear_caches()


def test_other_code_builds_all_months_in_place_and_older_versions_keep_the_rows_of_the_old_code(
    tmp_path, monkeypatch, inputs
):
    feature_build = FeatureBuild(PolarsEngine(), tmp_path, monkeypatch)
    feature_build.write({**inputs, "flights": in_months(inputs["flights"], [201301, 201302])})
    old, rows = feature_build.build(), feature_build.rows
    monkeypatch.setattr("stagebook.stage.partitions.function_digest", lambda function: "other code")
    build = features.build
    monkeypatch.setattr(features, "build", lambda **frames: one_more_seat(build(**frames)))
    new = feature_build.build()
    assert new.reasons == dict.fromkeys((201301, 201302), "the code changed")
    pd.testing.assert_frame_equal(feature_build.rows, one_more_seat(rows))
    old_version = DeltaTable(feature_build.table, version=old.commit.version).to_pyarrow_table()
    pd.testing.assert_frame_equal(in_order(old_version.to_pandas(types_mapper=pd.ArrowDtype)), rows)
