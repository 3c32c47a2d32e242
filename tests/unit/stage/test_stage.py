"""A notebook's entrance: scraps, checks, declared tables, files, under a runner and without one."""

import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from stagebook import stage
from stagebook.errors import (
    CheckFailed,
    ConfigError,
    MissingFile,
    PermanentError,
    ReadOnlyTable,
    SchemaViolation,
    ScrapRefused,
    UndeclaredTable,
    UnknownTable,
)
from stagebook.model.context import StageContext
from stagebook.model.pipeline import Tracking
from stagebook.model.tables import Column, Kind, Layout, TableSchema
from stagebook.stage import current, registry_usage, scraps, tables
from stagebook.tables import maintenance
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


def test_a_table_written_by_its_name_takes_its_schema_from_the_first_frame_and_keeps_it(managed):
    managed(writes=("plain",))
    first = pd.DataFrame(
        {"a": [1, 2], "e": [[0.5], [1.5]], "m": [Decimal("1.10"), None], "t": pd.to_datetime(["2024-01-01"] * 2)}
    )
    assert stage.write(first, "plain").rows == 2
    kinds = {
        name: str(kind) for name, kind in zip(*(lambda f: (f.columns, f.dtypes))(stage.read("plain")), strict=True)
    }
    assert kinds["e"].startswith("list<") and kinds["m"].startswith("decimal128(3, 2)")
    with pytest.raises(SchemaViolation, match="column 'a' is declared as int64, but the frame has string"):
        stage.write(first.assign(a=["x", "y"]), "plain")
    with pytest.raises(SchemaViolation, match="not declared: b"):
        stage.write(first.assign(b=1), "plain")
    with pytest.raises(SchemaViolation, match="missing: e"):
        stage.write(first.drop(columns="e"), "plain")
    wider = first.assign(b=1, m=[Decimal("100.123"), None], t=[None, None])
    stage.write(wider, "plain", evolve=True)
    assert stage.read("plain")["m"].dropna().tolist() == [Decimal("100.123")]
    assert stage.read("plain").columns.tolist() == ["a", "e", "m", "t", "b"]
    with pytest.raises(SchemaViolation, match="column 'a' is int64, and no type holds it and the frame's string"):
        stage.write(wider.assign(a=["x", "y"]), "plain", evolve=True)


def test_a_table_keeps_descriptions_and_layout_when_it_is_written_by_its_name(managed):
    managed(writes=("rows",))
    stage.write(frame(1), replace(ROWS, layout=Layout(z_order=("x",), reason="sorted")))
    stage.write(frame(2, 3), "rows")
    described = maintenance.describe(tables.warehouse(), "rows")
    assert (described.rows, described.layout.reason, described.columns[0].description) == (2, "sorted", "a number")


WRONG_CALLS = [
    (("rows", pd.DataFrame()), {}, "frame and table are in the wrong order"),
    ((ROWS, frame(1)), {}, "frame and table are in the wrong order"),
    ((frame(1), 5), {}, "a value of type int does not name a table"),
    ((frame(1), None), {}, "a value of type NoneType does not name a table"),
    ((frame(1), ROWS), {"evolve": True}, "`evolve` widens a schema that no code declares"),
    ((frame(1), ROWS), {"zone": "UTC"}, "`zone` is given without `coerce`"),
    ((frame(1), ROWS), {"zone": "Europe/Berln", "coerce": True}, "no time zone 'Europe/Berln'(?s:.*)Did you mean 'Europe/Berlin'"),
    ((iter([frame(1)]), "rows"), {}, "an iterator of frames does not tell the types"),
    (([{"x": 1}], "rows"), {}, "table 'rows': a list is no frame"),
    ((pd.DataFrame({"x": [None]}), "rows"), {}, "column 'x' holds only nulls"),
    ((pd.DataFrame({"x": pd.to_timedelta([1])}), "rows"), {}, "column 'x' is duration.*, which no table keeps"),
    ((pd.DataFrame({"x y": [1]}), "rows"), {}, "column 'x y': a name is 1 to 255 bytes"),
    ((frame(1), "a/b"), {}, "cannot be a table's name"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "options", "problem"), WRONG_CALLS, ids=[problem[:40] for *_, problem in WRONG_CALLS]
)
def test_a_wrong_call_of_write_is_a_sentence_that_no_retry_repeats(managed, arguments, options, problem):
    managed(writes=("rows", "a/b"))
    with pytest.raises(PermanentError, match=problem):
        stage.write(*arguments, **options)
    assert tables.warehouse().names() == []


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
