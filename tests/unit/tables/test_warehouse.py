"""The warehouse: pinned reads, one commit per run, stage and content, and names that are refused."""

import subprocess
import sys

import pandas as pd
import pytest
from deltalake import DeltaTable

from stagebook.delta.pandas_engine import LocalEngine
from stagebook.errors import ConfigError, SchemaViolation, UnknownTable
from stagebook.model.tables import Column, Kind, TableSchema
from stagebook.tables.warehouse import Warehouse, Writer

SCHEMA = TableSchema(
    "predictions",
    "scores",
    (
        Column("model", Kind.INT32, "version"),
        Column("month", Kind.INT32, "month"),
        Column("score", Kind.FLOAT64, "p", maximum=1),
    ),
    max_bad_share=0.5,
)


def frame(model=1, month=12, score=0.5, n=2):
    return pd.DataFrame({"model": [model] * n, "month": [month] * n, "score": [score] * n})


def by(run, attempt=1, stage="deploy"):
    return Writer(run, stage, attempt)


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(tmp_path / "tables", LocalEngine())


def test_a_new_warehouse_is_empty(warehouse):
    assert (warehouse.names(), warehouse.exists("predictions"), warehouse.latest("predictions")) == ([], False, None)
    assert warehouse.committed("predictions", run_id="r", stage="s") is None


def test_a_write_makes_a_version_that_names_its_writer(warehouse):
    commit = warehouse.write(frame(), SCHEMA, writer=by("r1", attempt=2))
    assert (commit.version, commit.rows, commit.run_id, commit.stage, commit.attempt) == (0, 2, "r1", "deploy", 2)
    assert warehouse.commit("predictions", 0) == commit
    assert warehouse.names() == ["predictions"]
    history = DeltaTable(str(warehouse.path("predictions"))).history()
    assert [(entry["stagebook.run_id"], entry["stagebook.stage"], entry["stagebook.attempt"]) for entry in history] == [
        ("r1", "deploy", 2)
    ]


def test_a_pinned_version_does_not_change(warehouse):
    warehouse.write(frame(score=0.1), SCHEMA, writer=by("r1"))
    warehouse.write(frame(score=0.2), SCHEMA, writer=by("r2"))
    assert warehouse.read("predictions", version=0, columns=["score"])["score"].tolist() == [0.1, 0.1]
    assert warehouse.read("predictions", version=None)["score"].tolist() == [0.2, 0.2]
    assert warehouse.latest("predictions") == 1


def test_predictions_are_replaced_per_model_and_month(warehouse):
    def write(run, model, month, score):
        where = [("model", "=", model), ("month", "=", month)]
        return warehouse.write(frame(model, month, score), SCHEMA, writer=by(run), replace=where)

    for run, model, month, score in [("r1", 1, 11, 0.1), ("r2", 1, 12, 0.2), ("r3", 2, 12, 0.3), ("r4", 1, 12, 0.4)]:
        write(run, model, month, score)
    scores = warehouse.read("predictions", version=None).groupby(["model", "month"])["score"].agg(["mean", "size"])
    assert scores.to_dict("index") == {
        (1, 11): {"mean": 0.1, "size": 2},
        (1, 12): {"mean": 0.4, "size": 2},
        (2, 12): {"mean": 0.3, "size": 2},
    }
    assert write("r4", 1, 12, 0.4).repeated
    assert warehouse.committed("predictions", run_id="r2", stage="deploy").version == 1
    assert warehouse.committed("predictions", run_id="r2", stage="train") is None


def test_the_order_of_conditions_does_not_matter(warehouse):
    where = [("model", "=", 1), ("month", "=", 12)]
    warehouse.write(frame(), SCHEMA, writer=by("r"), replace=where)
    assert warehouse.write(frame(), SCHEMA, writer=by("r", 2), replace=where[::-1]).repeated


def test_the_commit_counts_dropped_rows(warehouse):
    data = pd.concat([frame(), frame(score=2.0, n=1)], ignore_index=True)
    commit = warehouse.write(data, SCHEMA, writer=by("r"))
    assert (commit.rows, commit.dropped_by_rule) == (2, {"score <= 1": 1})
    assert warehouse.commit("predictions", 0).dropped_by_rule == {"score <= 1": 1}


def test_checked_rows_are_written_without_a_second_check(warehouse):
    checked = warehouse.check(frame(), SCHEMA)
    assert warehouse.check(checked, SCHEMA) is checked
    assert warehouse.write(checked, SCHEMA, writer=by("r")).rows == 2


def test_a_refused_frame_leaves_nothing_behind(warehouse):
    with pytest.raises(SchemaViolation, match="2 of 2 rows break its schema"):
        warehouse.write(frame(score=2.0), SCHEMA, writer=by("r"))
    assert not warehouse.root.exists()


def test_a_second_write_of_the_same_content_is_the_same_commit(warehouse):
    first = warehouse.write(frame(), SCHEMA, writer=by("r"))
    repeated = warehouse.write(frame(), SCHEMA, writer=by("r", attempt=2))
    assert (repeated.version, repeated.attempt, repeated.repeated) == (first.version, 1, True)


def test_other_content_of_the_same_stage_is_a_new_commit(warehouse):
    """A stage that failed after its write is corrected and resumed: its last write counts."""
    versions = [
        warehouse.write(frame(score=score), SCHEMA, writer=by("r", attempt=n)).version
        for n, score in enumerate([0.1, 0.2, 0.1, 0.1], start=1)
    ]
    assert versions == [0, 1, 2, 2]
    assert warehouse.read("predictions", version=None)["score"].tolist() == [0.1, 0.1]


def test_an_unknown_table_is_refused_with_the_nearest_name(warehouse):
    with pytest.raises(UnknownTable, match=r"does not exist in .*tables\.\n  it holds: no tables yet"):
        warehouse.read("predictions", version=None)
    warehouse.write(frame(), SCHEMA, writer=by("r"))
    with pytest.raises(UnknownTable, match=r"table 'prediction' does not exist in .* Did you mean 'predictions'\?"):
        warehouse.read("prediction", version=None)


@pytest.mark.parametrize("version", [-1, 1, 99])
def test_an_unknown_version_is_refused_with_those_that_exist(warehouse, version):
    warehouse.write(frame(), SCHEMA, writer=by("r"))
    for command in (
        lambda: warehouse.read("predictions", version=version),
        lambda: warehouse.commit("predictions", version),
    ):
        with pytest.raises(UnknownTable, match=f"has no version {version}; its versions are 0 to 0"):
            command()


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", ".hidden", "a..b", "a.b.c.d", "x%20y", "1st"])
def test_a_name_that_is_no_name_is_refused(warehouse, name):
    with pytest.raises(UnknownTable, match="cannot be a table's name"):
        warehouse.path(name)


def test_folders_that_are_no_tables_are_not_listed(warehouse):
    warehouse.write(frame(), SCHEMA, writer=by("r"))
    (warehouse.root / "empty" / "_delta_log").mkdir(parents=True)
    (warehouse.root / "notes").mkdir()
    assert warehouse.names() == ["predictions"]


@pytest.mark.parametrize("folder", ["with space", "ümlaut#", "100%"])
def test_the_folder_may_have_any_name(tmp_path, folder):
    warehouse = Warehouse(tmp_path / folder, LocalEngine())
    warehouse.write(frame(), SCHEMA, writer=by("r1"))
    warehouse.write(frame(), SCHEMA, writer=by("r2"), replace=[("month", "=", 12)])
    assert len(warehouse.read("predictions", version=1)) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == [folder]


def test_a_folder_whose_name_delta_rs_would_decode_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds a percent sign before two hex digits"):
        Warehouse(tmp_path / "a%20b", LocalEngine())


def test_importing_the_warehouse_imports_nothing_heavy():
    code = (
        "import sys, stagebook.tables.warehouse, stagebook.delta.pandas_engine, stagebook.promote, stagebook.tracking.sync,"
        " stagebook.tracking.registry, stagebook.tracking.database;"
        "print([m for m in ('pandas', 'pyarrow', 'numpy', 'deltalake', 'pandera', 'mlflow', 'sklearn') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
