"""The shipped pipeline on the real year gives equal tables, metrics and verdicts on every engine.

The run on pandas was killed and resumed (`tests/pipeline/test_flightdelay.py`); the others ran without a break. Spark's
takes minutes and is part of the campaign; by default `tests/pipeline/test_emulated_job.py` compares it on every sixth flight.
"""

from collections.abc import Callable

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from fixtures.comparison import assert_same_rows, differences
from fixtures.real_year import RealYearRun

from flightdelay import schema
from stagebook.delta.pandas_engine import LocalEngine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RealYear = Callable[[str], RealYearRun]
COMPARED_ENGINES = (pytest.param("spark", marks=pytest.mark.campaign), "polars")
ENGINES = (*COMPARED_ENGINES, "pandas")
"""Slowest first: another worker may be running pandas meanwhile."""


def table(run: RealYearRun, name: str) -> pa.Table:
    return LocalEngine().read_arrow(run.tables / name, version=run.versions[name])


@pytest.mark.parametrize("engine_name", ENGINES)
def test_the_pipeline_succeeds_on_the_engine_of_its_parameters(real_year: RealYear, engine_name):
    record = real_year(engine_name).record
    assert (record["status"], record["exit_code"]) == ("succeeded", 0)
    assert {stage["engine"] for stage in record["stages"].values()} == {engine_name}
    assert sorted(real_year(engine_name).versions) == sorted(schema.TABLES)


@pytest.mark.parametrize("name", schema.TABLES)
@pytest.mark.parametrize("engine_name", COMPARED_ENGINES)
def test_a_table_has_the_same_rows(real_year: RealYear, engine_name, name):
    actual, expected = table(real_year(engine_name), name), table(real_year("pandas"), name)
    assert expected.num_rows
    assert_same_rows(actual, expected, by=schema.TABLES[name].key, rel=1e-9)


@pytest.mark.parametrize("engine_name", ENGINES)
def test_every_reader_of_delta_reads_the_tables(real_year: RealYear, engine_name):
    run = real_year(engine_name)
    protocols = {table: DeltaTable(str(run.tables / table)).protocol() for table in run.versions}
    assert {table: (p.min_reader_version, p.min_writer_version) for table, p in protocols.items()} == dict.fromkeys(
        run.versions, (1, 2)
    )


@pytest.mark.parametrize("engine_name", COMPARED_ENGINES)
def test_tables_are_declared_the_same(real_year: RealYear, engine_name):
    """Names, types, nullability, comments and layout: all that a reader sees besides the rows."""

    def declared(run: RealYearRun) -> dict[str, object]:
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

    assert declared(real_year(engine_name)) == declared(real_year("pandas"))


@pytest.mark.parametrize("engine_name", COMPARED_ENGINES)
def test_the_same_rows_are_refused(real_year: RealYear, engine_name):
    def dropped_rows(run: RealYearRun) -> dict[str, object]:
        return {
            table: LocalEngine().commit(run.tables / table, v).dropped_by_rule
            for table, v in sorted(run.versions.items())
        }

    assert dropped_rows(real_year(engine_name)) == dropped_rows(real_year("pandas"))
    assert dropped_rows(real_year(engine_name))["weather"] == {"wind_speed_mph <= 200": 1}


@pytest.mark.parametrize("engine_name", COMPARED_ENGINES)
def test_metrics_and_all_other_scraps_are_the_same(real_year: RealYear, engine_name):
    actual, expected = real_year(engine_name).scraps, real_year("pandas").scraps
    assert expected["validate"]["metrics"]["roc_auc"] > 0.7
    assert not differences(actual, expected, rel=1e-6)


@pytest.mark.parametrize("engine_name", COMPARED_ENGINES)
def test_the_gate_gives_the_same_verdict(real_year: RealYear, engine_name):
    def verdict(run: RealYearRun) -> list[tuple[str, bool]]:
        gate = run.scraps["validate"]["gate"]
        return [("all", gate["passed"]), *((rule["rule"], rule["passed"]) for rule in gate["rules"])]

    assert verdict(real_year(engine_name)) == verdict(real_year("pandas"))
    assert len(verdict(real_year(engine_name))) == 6
