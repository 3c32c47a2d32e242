"""What MLflow shall hold: pure cases."""

import json

import pytest
from fixtures.bills import Story, rated

from stagebook.model.record import AttemptStatus, RunStatus, StageStatus
from stagebook.storage.runs import to_json
from stagebook.track.projection import MAX_VALUE, run_view, stage_views


def test_the_run_holds_parameters_flat_and_what_is_long_is_cut_with_a_mark(record):
    params = run_view(record, final=True).params
    assert {key: params[key] for key in params if key != "note"} == {
        "seed": "13",
        "gate.roc_auc": "0.6",
        "gate.slices": '["origin"]',
        "nothing": "null",
    }
    assert len(params["note"]) == MAX_VALUE
    assert params["note"].endswith("… (cut, 9,000 characters)")


def test_the_run_holds_every_stages_figures_and_its_own_seconds(record):
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


def test_a_stage_holds_its_own(record):
    views = stage_views(record, final=True)
    assert list(views) == ["prep", "train"]  # the reused one ran elsewhere
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


def test_the_digest_of_a_table_is_of_name_and_version(record):
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


def test_numbers_that_are_none_are_left_out(record):
    record.stages["prep"].scraps = {
        "nan": float("nan"),
        "huge": 10**400,
        "empty": {},
        "mixed": {"a": 1, "b": "x"},
        "part": {"a": 1, "b": float("inf")},
    }
    assert set(stage_views(record, final=True)["prep"].metrics) == {"seconds", "part.a"}


def test_names_that_mlflow_refuses_are_changed(record):
    record.parameters, record.stages["prep"].scraps = {"späte Ärzte?": 1, "a/b-c.d e": 2}, {"x{y}": 1}
    assert set(run_view(record, final=True).params) == {"späte Ärzte_", "a/b-c.d e"}
    assert "x_y_" in stage_views(record, final=True)["prep"].metrics


def test_a_view_knows_when_it_changed(record):
    before = run_view(record, final=True).fingerprint
    assert run_view(record, final=True).fingerprint == before
    record.stages["train"].scraps["roc_auc"] = 0.69
    assert run_view(record, final=True).fingerprint != before


def test_nothing_of_it_is_anything_but_text_and_numbers(record):
    from dataclasses import asdict

    json.dumps(asdict(run_view(record, final=True)), allow_nan=False)


def test_run_and_stages_hold_the_cost_that_the_record_tells():
    story = Story({"x": "p", "y": None}, [rated()]).attempt("x", 0, 60, "failed").attempt("x", 90, 600)
    record = story.attempt("y", 700, 5).reused("y", 0.5).ended(800).record
    told, view = to_json(record), run_view(record, final=True)
    for name in ("estimated_usd", "wasted_usd", "idle_usd", "saved_usd"):
        assert view.metrics[f"cost.{name}"][0] == told["cost"][name]
        assert view.metrics[f"x.cost.{name}"][0] == told["stages"]["x"]["cost"][name]
    stage = stage_views(record, final=True)["x"].metrics
    assert stage["cost.estimated_usd"][0] == told["stages"]["x"]["cost"]["estimated_usd"] > 0.6
