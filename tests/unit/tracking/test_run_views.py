"""The views of a run: what MLflow is to hold of it."""

import json

import pytest
from fixtures.run_builder import RunBuilder, rate_of

from stagebook.model.record import AttemptStatus, RunStatus, StageStatus
from stagebook.runs.folders import to_json
from stagebook.tracking.run_views import MAX_VALUE, run_view, stage_views


def test_the_run_has_flat_parameters_and_long_values_are_cut_with_a_note(record):
    params = run_view(record, final=True).params
    assert {key: params[key] for key in params if key != "note"} == {
        "seed": "13",
        "gate.roc_auc": "0.6",
        "gate.slices": '["origin"]',
        "nothing": "null",
    }
    assert len(params["note"]) == MAX_VALUE
    assert params["note"].endswith("… (cut, 9,000 characters)")


def test_the_run_has_the_metrics_of_every_stage_and_its_own_seconds(record):
    metrics = {key: value for key, (value, _) in run_view(record, final=True).metrics.items()}
    assert metrics == {
        "prep.rows": 336_776,
        "prep.seconds": 30.0,
        "train.roc_auc": 0.68,
        "train.losses.log": 0.4,
        "train.losses.brier": 0.15,
        "train.seconds": 60.0,
        "deploy.auc": 0.5,
        "seconds": 300.0,
    }


def test_a_stage_has_its_own_metrics_tags_and_inputs(record):
    views = stage_views(record, final=True)
    assert list(views) == ["prep", "train"]  # the reused stage ran in another run
    train = views["train"]
    assert {key: value for key, (value, _) in train.metrics.items()} == {
        "roc_auc": 0.68,
        "losses.log": 0.4,
        "losses.brier": 0.15,
        "seconds": 60.0,
    }
    assert train.tags == {
        "stagebook.run_id": record.run_id,
        "stagebook.stage": "train",
        "stagebook.engine": "pandas",
        "stagebook.attempts": "2",
        "stagebook.git_commit": "9f1c2ab34de5",
        "stagebook.git_dirty": "true",
        "mlflow.source.git.commit": "9f1c2ab34de5",
        "mlflow.source.name": "notebooks/02_train.py",
        "mlflow.source.type": "NOTEBOOK",
    }
    assert [(table.name, table.version, table.rows) for table in train.inputs] == [
        ("flights", 7, 336_776),
        ("weather", 2, None),
    ]
    assert views["prep"].tags["stagebook.output.flights"] == "7"


def test_the_digest_of_a_table_depends_on_name_and_version(record):
    flights, weather = stage_views(record, final=True)["train"].inputs
    assert flights.digest != weather.digest
    assert len(flights.digest) == 12


@pytest.mark.parametrize(
    ("status", "final", "expected"),
    [
        (RunStatus.RUNNING, False, "RUNNING"),
        (RunStatus.RUNNING, True, "KILLED"),
        (RunStatus.SUCCEEDED, False, "FINISHED"),
        (RunStatus.FAILED, True, "FAILED"),
        (RunStatus.INTERRUPTED, True, "KILLED"),
    ],
)
def test_the_status_of_a_run(record, status, final, expected):
    record.status = status
    view = run_view(record, final=final)
    assert view.status == expected
    assert (view.ended_ms is None) is (expected == "RUNNING")


@pytest.mark.parametrize(
    ("stage", "attempt", "final", "expected"),
    [
        (StageStatus.RUNNING, AttemptStatus.RUNNING, False, "RUNNING"),
        (StageStatus.RUNNING, AttemptStatus.RUNNING, True, "KILLED"),
        (StageStatus.RUNNING, AttemptStatus.FAILED, False, "RUNNING"),
        (StageStatus.RUNNING, AttemptStatus.INTERRUPTED, False, "KILLED"),
        (StageStatus.SUCCEEDED, AttemptStatus.SUCCEEDED, False, "FINISHED"),
        (StageStatus.FAILED, AttemptStatus.TIMEOUT, True, "FAILED"),
    ],
)
def test_the_status_of_a_stage(record, stage, attempt, final, expected):
    record.stages["train"].status = stage
    record.stages["train"].attempts[-1].status = attempt
    assert stage_views(record, final=final)["train"].status == expected


def test_values_that_are_not_finite_numbers_are_left_out(record):
    record.stages["prep"].scraps = {
        "nan": float("nan"),
        "huge": 10**400,
        "empty": {},
        "mixed": {"a": 1, "b": "x"},
        "part": {"a": 1, "b": float("inf")},
    }
    assert set(stage_views(record, final=True)["prep"].metrics) == {"seconds", "part.a"}


def test_what_is_left_out_is_noted(record):
    record.stages["prep"].scraps = {"nan": float("nan"), "huge": 10**400, "part": {"a": 1, "b": 10**400}, "text": "x"}
    record.parameters = {"huge": 10**5000, "set": {"a": {1}, ("b",): 2}, "deep": {"a": {"b": [1]}}}
    view = stage_views(record, final=True)["prep"]
    assert set(view.metrics) == {"seconds", "part.a"}
    assert view.notes == (
        "metric 'nan' is left out: MLflow does not keep nan",
        "metric 'huge' is left out: MLflow does not keep a whole number of 1,329 bits",
        "metric 'part.b' is left out: MLflow does not keep a whole number of 1,329 bits",
    )
    view = run_view(record, final=True)
    assert set(view.params) == {"set.a", "set.:28::27:b:27::2c::29:", "deep.a.b"}
    assert "metric 'prep.nan' is left out: MLflow does not keep nan" in view.notes
    assert any(note.startswith("parameter 'huge' is left out: Exceeds the limit") for note in view.notes)


def test_names_that_mlflow_refuses_are_changed_and_noted(record):
    record.parameters, record.stages["prep"].scraps = {"späte Ärzte?": 1, "a/b-c.d e": 2}, {"x{y}": 1}
    view = run_view(record, final=True)
    assert set(view.params) == {"späte Ärzte:3f:", "a/b-c.d e"}
    assert "prep.x:7b:y:7d:" in view.metrics
    assert "metric 'prep.x{y}' is named 'prep.x:7b:y:7d:'" in view.notes
    assert "parameter 'späte Ärzte?' is named 'späte Ärzte:3f:'" in view.notes


def test_a_name_of_the_kit_is_not_taken_by_a_scrap(record):
    record.stages["prep"].scraps = {
        "seconds": 1,
        "cost.estimated_usd": 2,
        "Rows": 3,
        "rows": 4,
        "a.b": 5,
        "a": {"b": 6},
    }
    metrics = {key: value for key, (value, _) in stage_views(record, final=True)["prep"].metrics.items()}
    assert metrics == {
        "seconds": 30.0,
        "seconds::": 1,
        "cost.estimated_usd::": 2,
        "Rows": 3,
        "rows::": 4,
        "a.b": 5,
        "a.b::": 6,
    }
    assert {key: value for key, (value, _) in run_view(record, final=True).metrics.items() if "prep" in key} == {
        f"prep.{key}": value for key, value in metrics.items()
    }


def test_the_fingerprint_of_a_view_changes_with_its_content(record):
    before = run_view(record, final=True).fingerprint
    assert run_view(record, final=True).fingerprint == before
    record.stages["train"].scraps["roc_auc"] = 0.69
    assert run_view(record, final=True).fingerprint != before


def test_a_view_contains_only_text_and_finite_numbers(record):
    from dataclasses import asdict

    json.dumps(asdict(run_view(record, final=True)), allow_nan=False)


def test_run_and_stages_have_the_cost_that_is_in_the_record():
    builder = RunBuilder({"x": "p", "y": None}, [rate_of()]).attempt("x", 0, 60, "failed").attempt("x", 90, 600)
    record = builder.attempt("y", 700, 5).reused("y", 0.5).ended(800).record
    document, view = to_json(record), run_view(record, final=True)
    for name in ("estimated_usd", "wasted_usd", "idle_usd", "saved_usd"):
        assert view.metrics[f"cost.{name}"][0] == document["cost"][name]
        assert view.metrics[f"x.cost.{name}"][0] == document["stages"]["x"]["cost"][name]
    stage = stage_views(record, final=True)["x"].metrics
    assert stage["cost.estimated_usd"][0] == document["stages"]["x"]["cost"]["estimated_usd"] > 0.6


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_while_a_run_goes_on_gives_no_negative_time_or_cost(hours):
    run = RunBuilder({"a": "p"}, [rate_of()]).attempt("a", 10, 10).resumed(20).attempt("a", 21, 5)
    record = run.ended(30 + hours * 3600).record
    metrics = run_view(record, final=True).metrics
    assert all(value >= 0 for value, _ in metrics.values()), metrics
