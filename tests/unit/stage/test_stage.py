"""A notebook's entrance: scraps, checks, declared tables, files, under a runner and without one."""

import json

import numpy as np
import pandas as pd
import pytest

from stagebook import stage
from stagebook.errors import (
    CheckFailed,
    ConfigError,
    MissingFile,
    ReadOnlyTable,
    ScrapRefused,
    UndeclaredTable,
    UnknownTable,
)
from stagebook.model.context import StageContext
from stagebook.model.pipeline import Tracking
from stagebook.model.tables import Column, Kind, TableSchema
from stagebook.stage import current, registry_usage, scraps, tables
from stagebook.tables.warehouse import Writer

ROWS = TableSchema("rows", "some rows", (Column("x", Kind.INT64, "a number"),))


@pytest.fixture(autouse=True)
def fresh():
    current.current.cache_clear()
    tables.warehouse.cache_clear()
    yield
    current.current.cache_clear()
    tables.warehouse.cache_clear()


@pytest.fixture
def managed(tmp_path, monkeypatch):
    """`managed(reads=…, writes=…, inputs=…)` makes this process a stage of run `r1`."""

    def make(attempt=1, **changes):
        context = StageContext(
            run_id="r1", stage="train", attempt=attempt, run_folder=tmp_path / "runs/r1", warehouse=tmp_path / "w",
            tables=tmp_path / "w/tables", engine="pandas", tracking=Tracking("sqlite:///x", "e", "m"), **changes,
        )  # fmt: skip
        path = tmp_path / "context.json"
        path.write_text(json.dumps(context.to_json()))
        monkeypatch.setenv("STAGEBOOK_CONTEXT", str(path))
        fresh_process()

    return make


def fresh_process():
    current.current.cache_clear()
    tables.warehouse.cache_clear()


def frame(*values):
    return pd.DataFrame({"x": pd.array(values, dtype="int64[pyarrow]")})


@pytest.fixture
def glued(monkeypatch):
    scraps_by_name = {}
    monkeypatch.setattr("scrapbook.glue", scraps_by_name.__setitem__)
    return scraps_by_name


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (pd.Series([1, 2]).sum(), 3),
        ("text", "text"),
        ([np.int64(1), None, {"a": np.float64(2)}], [1, None, {"a": 2.0}]),
        ((1, 2), [1, 2]),
        ({1: "x"}, {"1": "x"}),
    ],
)
def test_scalars_of_numpy_and_pandas_become_plain(glued, value, plain):
    stage.glue("name", value)
    assert glued == {"name": plain}
    assert json.loads(json.dumps(glued["name"])) == plain


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "is nan"),
        (np.float64("inf"), "is inf"),
        ([1, float("nan")], "is nan"),
        (None, "is a NoneType"),
        (frame(1), "is a DataFrame"),
        ("x" * (scraps.MAX_SCRAP_BYTES + 1), "more than 49,152"),
    ],
)
def test_a_value_that_would_come_back_changed_is_refused(glued, value, reason):
    with pytest.raises(ScrapRefused, match=f"the scrap 'name' .*{reason}"):
        stage.glue("name", value)
    assert glued == {}


def test_a_failed_check_ends_the_stage_with_its_statement():
    stage.check(np.bool_(True), "all is well")
    with pytest.raises(CheckFailed, match="this check failed: rows are kept"):
        stage.check(1 > 2, "rows are kept")


def test_the_verdict_of_the_gate_is_handed_on(glued):
    rules = [{"metric": "roc_auc", "threshold": 0.6}]
    verdict = stage.evaluate_gate(rules, model={"roc_auc": 0.5}, baseline={"roc_auc": 0.4}, champion=None)
    assert not verdict.passed
    assert glued["gate_passed"] is False
    assert [rule["passed"] for rule in glued["gate"]["rules"]] == [False]


def test_a_stage_reads_the_version_that_its_run_pinned(managed):
    for attempt, value in ((1, 1), (2, 2), (3, 3)):
        managed(attempt, writes=("rows",))
        stage.write(frame(value), ROWS)
    managed(reads=("rows",), inputs={"rows": 1})
    assert stage.read("rows")["x"].tolist() == [2]


def test_a_stage_touches_no_table_that_it_does_not_declare(managed):
    managed(reads=("other",), writes=("other",))
    with pytest.raises(UndeclaredTable, match=r"stages\.train\.writes: \[other, rows\]"):
        stage.write(frame(1), ROWS)
    with pytest.raises(UndeclaredTable, match=r"stages\.train\.reads: \[other, rows\]"):
        stage.read("rows")


def test_a_stage_reads_what_it_has_written_itself(managed):
    managed(writes=("rows",))
    stage.write(frame(1), ROWS)
    tables.warehouse().write(frame(2), ROWS, writer=Writer("other run", "train", 1))
    assert stage.read("rows")["x"].tolist() == [1]


def test_without_a_runner_a_notebook_uses_the_paths_of_dev_yaml(tmp_path, monkeypatch, notebook, params):
    notebook("a", "1")
    params("dev", "pipeline: d\nstages: {a: {notebook: notebooks/a.ipynb}}\nwarehouse: w")
    monkeypatch.delenv("STAGEBOOK_CONTEXT", raising=False)
    monkeypatch.delenv("STAGEBOOK_WAREHOUSE", raising=False)
    monkeypatch.chdir(tmp_path / "notebooks")
    for value in (1, 2, 1):
        stage.write(frame(value), ROWS)
        assert stage.read("rows")["x"].tolist() == [value]
    assert (tmp_path / "w/tables/rows/_delta_log").is_dir()
    with pytest.raises(UnknownTable, match="'row' does not exist.*Did you mean 'rows'"):
        stage.read("row")


def test_a_context_that_is_gone_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("STAGEBOOK_CONTEXT", str(tmp_path / "gone.json"))
    with pytest.raises(ConfigError, match="STAGEBOOK_CONTEXT names .*gone.json"):
        stage.read("rows")


def test_a_model_goes_from_stage_to_stage_without_pickle(managed):
    from sklearn.linear_model import LinearRegression

    managed()
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])
    reference = stage.save_model(model, "line")
    assert reference == "models/r1/line.skops"
    assert stage.load_model(reference).predict([[2.0]])[0] == pytest.approx(4.0)
    assert stage.load_model("").predict([[2.0]])[0] == pytest.approx(4.0)
    with pytest.raises(MissingFile, match=r"there is no file 'models/r1/other\.skops'"):
        stage.load_model("models/r1/other.skops")


def test_a_text_file_is_kept_for_the_run(managed, tmp_path):
    managed()
    assert stage.save_file("card.md", "# Card") == "files/r1/card.md"
    assert (tmp_path / "w/volumes/files/r1/card.md").read_text() == "# Card"


def test_an_external_table_is_read_at_its_pinned_version_and_never_written(managed, tmp_path):
    from deltalake import write_deltalake

    foreign = tmp_path / "theirs/rows"
    for value in (1, 2):
        write_deltalake(foreign, frame(value), mode="overwrite")
    managed(reads=("rows",), writes=("rows",), inputs={"rows": 0}, external={"rows": foreign})
    assert stage.read("rows")["x"].tolist() == [1]
    with pytest.raises(ReadOnlyTable, match=r"table 'rows' is external \(.*theirs/rows\): it is read, never written"):
        stage.write(frame(3), ROWS)


def test_how_the_registry_was_used_is_noted_beside_the_attempt(managed, tmp_path):
    managed()
    registry_usage.note_read("champion", "1")
    registry_usage.note_set(champion="2")
    registry_usage.note_read("champion", "2")
    registry_usage.note_set(candidate="2")
    noted = json.loads((tmp_path / "runs/r1/stages/train/attempt-1.registry.json").read_text())
    assert noted == {
        "uri": "sqlite:///x",
        "model": "m",
        "reads": {"champion": "1"},
        "sets": {"champion": "2", "candidate": "2"},
    }
