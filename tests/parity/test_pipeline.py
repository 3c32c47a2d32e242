"""The shipped pipeline on the real year gives the same on every engine: tables, metrics, verdict.

The run on pandas was killed and resumed (`tests/pipeline/test_flightdelay.py`); the others ran straight through.
"""

from collections.abc import Callable

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from fixtures.alike import assert_same_rows, differences
from fixtures.real_year import Ran

from flightdelay import schema
from stagebook.engines.local import LocalEngine

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(900)]

RealYear = Callable[[str], Ran]
OTHERS = ("spark", "polars")
ENGINES = (*OTHERS, "pandas")
"""Slowest first: another worker may be running pandas meanwhile."""


def table(run: Ran, name: str) -> pa.Table:
    return LocalEngine().read_arrow(run.tables / name, version=run.versions[name])


@pytest.mark.parametrize("name", ENGINES)
def test_the_pipeline_ends_well_and_computes_on_the_engine_that_it_is_told(real_year: RealYear, name):
    record = real_year(name).record
    assert (record["status"], record["exit_code"]) == ("succeeded", 0)
    assert {stage["engine"] for stage in record["stages"].values()} == {name}
    assert sorted(real_year(name).versions) == sorted(schema.TABLES)


@pytest.mark.parametrize("name", schema.TABLES)
@pytest.mark.parametrize("engine_name", OTHERS)
def test_a_table_has_the_same_rows(real_year: RealYear, engine_name, name):
    found, expected = table(real_year(engine_name), name), table(real_year("pandas"), name)
    assert expected.num_rows
    assert_same_rows(found, expected, by=schema.TABLES[name].key, rel=1e-9)


@pytest.mark.parametrize("name", ENGINES)
def test_every_reader_of_delta_reads_the_tables(real_year: RealYear, name):
    run = real_year(name)
    protocols = {table: DeltaTable(str(run.tables / table)).protocol() for table in run.versions}
    assert {table: (p.min_reader_version, p.min_writer_version) for table, p in protocols.items()} == dict.fromkeys(
        run.versions, (1, 2)
    )


@pytest.mark.parametrize("name", OTHERS)
def test_tables_are_declared_the_same(real_year: RealYear, name):
    """Names, types, nullability, comments, layout: what a reader sees of a table before its rows."""

    def declared(run: Ran) -> dict[str, object]:
        opened = {table: DeltaTable(str(run.tables / table)) for table in sorted(run.versions)}
        return {
            table: (
                [(f.name, str(f.type), f.nullable, f.metadata) for f in delta.schema().fields],
                delta.metadata().partition_columns,
                delta.metadata().configuration,
                delta.metadata().description,
            )
            for table, delta in opened.items()
        }

    assert declared(real_year(name)) == declared(real_year("pandas"))


@pytest.mark.parametrize("name", OTHERS)
def test_the_same_rows_are_refused(real_year: RealYear, name):
    def dropped(run: Ran) -> dict[str, object]:
        return {table: LocalEngine().commit(run.tables / table, v).dropped for table, v in sorted(run.versions.items())}

    assert dropped(real_year(name)) == dropped(real_year("pandas"))
    assert dropped(real_year(name))["weather"] == {"wind_speed_mph <= 200": 1}


@pytest.mark.parametrize("name", OTHERS)
def test_metrics_and_all_other_scraps_are_the_same(real_year: RealYear, name):
    found, expected = real_year(name).scraps, real_year("pandas").scraps
    assert expected["validate"]["metrics"]["roc_auc"] > 0.7
    assert not differences(found, expected, rel=1e-6)


@pytest.mark.parametrize("name", OTHERS)
def test_the_gate_gives_the_same_verdict(real_year: RealYear, name):
    def verdict(run: Ran) -> list[tuple[str, bool]]:
        gate = run.scraps["validate"]["gate"]
        return [("all", gate["passed"]), *((rule["rule"], rule["passed"]) for rule in gate["rules"])]

    assert verdict(real_year(name)) == verdict(real_year("pandas"))
    assert len(verdict(real_year(name))) == 6
