"""The identity of the rows of a version, and whether a version can still be read."""

import pandas as pd
import pytest
from deltalake import DeltaTable

from stagebook.delta.pandas_engine import LocalEngine
from stagebook.model.tables import Column, Kind, PartitionSources, TableSchema
from stagebook.tables.warehouse import Warehouse, Writer

SCHEMA = TableSchema("t", "rows", (Column("month", Kind.INT32, "month"), Column("x", Kind.INT64, "a number")))


def frame(*months, x=1):
    return pd.DataFrame(
        {"month": pd.array(months, "int32[pyarrow]"), "x": pd.array([x] * len(months), "int64[pyarrow]")}
    )


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(tmp_path, LocalEngine())


@pytest.fixture
def write(warehouse):
    """`write("run", frame)` commits and returns the identity of the version."""

    def call(run, rows, **options):
        commit = warehouse.write(rows, SCHEMA, writer=Writer(run, "stage", 1), **options)
        return warehouse.identity("t", commit.version)

    return call


def test_equal_content_of_another_run_has_the_same_identity_and_other_content_has_not(warehouse, write):
    original, different, equal = write("a", frame(1, 2)), write("b", frame(1, 3)), write("c", frame(1, 2))
    assert original == equal != different
    assert warehouse.latest("t") == 2


def test_replacing_some_rows_never_has_the_identity_of_a_table_of_only_these(write):
    write("a", frame(1, 2))
    replacement = write("b", frame(2, x=5), replace=[("month", "=", 2)])
    assert replacement != write("c", frame(2, x=5))


def test_compaction_changes_no_identity(warehouse, write):
    write("a", frame(1, 2))
    before = write("b", frame(2, x=5), replace=[("month", "=", 2)])
    DeltaTable(warehouse.path("t")).optimize.z_order(["month"])
    assert warehouse.latest("t") == 2
    assert warehouse.identity("t", 2) == before


def test_a_commit_that_records_that_nothing_was_stale_keeps_the_identity(warehouse):
    def build(run):
        stale = warehouse.stale_partitions(SCHEMA, PartitionSources("month", {1: {"code": "v1"}}))
        commit = warehouse.write(frame(1), SCHEMA, writer=Writer(run, "stage", 1), stale=stale)
        return commit.version, warehouse.identity("t", commit.version)

    (version, identity), (next_version, next_identity) = build("a"), build("b")
    assert (next_identity, next_version) == (identity, version + 1)


def test_a_recreated_table_has_another_identity_at_the_same_version(warehouse, write, tmp_path):
    write("a", frame(1))
    before = write("a", frame(1, 2), replace=[("month", ">", 0)])
    warehouse.path("t").rename(tmp_path / "old")
    write("a", frame(1))
    assert write("b", frame(1, 2), replace=[("month", ">", 0)]) != before


def test_a_version_without_its_log_file_has_no_identity(warehouse, write):
    write("a", frame(1))
    (warehouse.path("t") / "_delta_log" / f"{0:020d}.json").unlink()
    assert warehouse.identity("t", 0) is None


def test_a_version_is_complete_while_all_its_files_exist(warehouse, write):
    write("a", frame(1))
    write("b", frame(2))
    assert [warehouse.is_complete("t", version) for version in (0, 1)] == [True, True]
    table = DeltaTable(warehouse.path("t"))
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    assert [warehouse.is_complete("t", version) for version in (0, 1)] == [False, True]
