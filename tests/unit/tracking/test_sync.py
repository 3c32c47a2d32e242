"""MLflow agrees with the record after any number of calls, crashes and lost files."""

import copy
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fixtures.processes import HANG_SECONDS, SLOW_SECONDS
from mlflow import MlflowClient

from stagebook.errors import TrackingRefused, TrackingUnavailable
from stagebook.model.context import StageContext
from stagebook.model.pipeline import Tracking
from stagebook.model.record import AttemptStatus, RunStatus, StageStatus
from stagebook.tracking.connection import connected
from stagebook.tracking.run_views import RunView
from stagebook.tracking.send import close, send
from stagebook.tracking.sync import ensure_stage_run, sync


def server_state(tracking):
    """All runs of the server as plain data: by name, without ids."""
    with connected(tracking) as client:
        experiment = client.get_experiment_by_name(tracking.experiment)
        runs = client.search_runs([experiment.experiment_id])
        assert len({run.info.run_name for run in runs}) == len(runs)
        names = {run.info.run_id: run.info.run_name for run in runs}
        return {
            run.info.run_name: {
                "status": (run.info.status, run.info.start_time, run.info.end_time),
                "parent": names.get(run.data.tags.get("mlflow.parentRunId", "")),
                "tags": {key: value for key, value in run.data.tags.items() if key.startswith("stagebook.")},
                "params": run.data.params,
                "metrics": run.data.metrics,
                "history": {key: len(client.get_metric_history(run.info.run_id, key)) for key in run.data.metrics},
                "inputs": sorted(
                    (item.dataset.name, item.dataset.digest, item.dataset.source) for item in run.inputs.dataset_inputs
                ),
                "artifacts": sorted(artifacts(client, run.info.run_id)),
            }
            for run in runs
        }


def artifacts(client, run_id, path=None):
    for entry in client.list_artifacts(run_id, path):
        yield from artifacts(client, run_id, entry.path) if entry.is_dir else [entry.path]


def test_a_finished_run_is_sent_completely(tracking, record, run_dir):
    linked = sync(record, tracking, run_dir, final=True)
    runs = server_state(tracking)
    assert set(runs) == {record.run_id, "prep", "train"}
    run, train = runs[record.run_id], runs["train"]
    assert run["status"] == ("FINISHED", 1795399200000, 1795399500000)
    assert (run["parent"], train["parent"], runs["prep"]["parent"]) == (None, record.run_id, record.run_id)
    assert run["tags"]["stagebook.run_id"] == record.run_id
    assert run["metrics"]["train.roc_auc"] == train["metrics"]["roc_auc"] == 0.68
    assert train["metrics"]["seconds"] == 60.0
    assert not any("cost" in name for name in [*run["metrics"], *train["metrics"]])
    assert run["params"]["gate.slices"] == '["origin"]'
    assert [(name, json.loads(source)) for name, _, source in train["inputs"]] == [
        ("flights", {"delta_table_name": "flights", "delta_table_version": 7}),
        ("weather", {"delta_table_name": "weather", "delta_table_version": 2}),
    ]
    assert run["artifacts"] == [
        "report.html",
        "run.json",
        "stages/train/attempt-1.ipynb",
        "stages/train/attempt-2.html",
        "stages/train/attempt-2.ipynb",
    ]
    assert set(linked) == {"tracking_uri", "experiment_id", "run_id", "stages", "notes"}
    assert linked["notes"] == ["metric 'prep.infinite' is left out: MLflow does not keep inf"]
    assert run["tags"]["stagebook.notes"] == linked["notes"][0]
    assert set(linked["stages"]) == {"prep", "train"}


def test_a_second_sync_changes_nothing(tracking, record, run_dir):
    first = sync(record, tracking, run_dir, final=True)
    before = server_state(tracking)
    assert sync(record, tracking, run_dir, final=True) == first
    assert sync(record, tracking, run_dir, final=False) == first
    assert server_state(tracking) == before
    assert all(count == 1 for run in before.values() for count in run["history"].values())


def test_lost_ids_are_found_again_by_tag(tracking, record, run_dir):
    first = sync(record, tracking, run_dir, final=True)
    before = server_state(tracking)
    (run_dir / "mlflow.json").unlink()
    assert sync(record, tracking, run_dir, final=True) == first
    assert server_state(tracking) == before


def test_a_run_is_sent_while_it_grows(tracking, record, run_dir):
    finished = copy.deepcopy(record)
    record.status, record.finished_at, record.exit_code = RunStatus.RUNNING, None, None
    train = record.stages.pop("train")
    sync(record, tracking, run_dir, final=False)
    assert set(server_state(tracking)) == {record.run_id, "prep"}
    assert server_state(tracking)[record.run_id]["status"][0] == "RUNNING"
    record.stages["train"] = train
    train.status, train.scraps = StageStatus.RUNNING, {}
    train.attempts[-1].status, train.attempts[-1].finished_at, train.attempts[-1].seconds = (
        AttemptStatus.RUNNING,
        None,
        None,
    )
    sync(record, tracking, run_dir, final=False)
    assert server_state(tracking)["train"]["status"][0] == "RUNNING"
    assert server_state(tracking)["prep"]["status"][0] == "FINISHED"
    assert not server_state(tracking)[record.run_id]["artifacts"]
    sync(finished, tracking, run_dir, final=True)
    grown = server_state(tracking)
    assert grown["train"]["metrics"]["seconds"] == 60.0
    assert grown["train"]["status"][0] == grown[record.run_id]["status"][0] == "FINISHED"


def test_a_killed_run_does_not_stay_running(tracking, record, run_dir):
    """Fault 20: MLflow leaves the run of a killed process RUNNING."""
    record.status, record.finished_at = RunStatus.RUNNING, None
    train = record.stages["train"]
    train.status, train.attempts[-1].status, train.attempts[-1].finished_at = (
        StageStatus.RUNNING,
        AttemptStatus.RUNNING,
        None,
    )
    sync(record, tracking, run_dir, final=False)
    sync(record, tracking, run_dir, final=True)
    closed = server_state(tracking)
    assert (closed[record.run_id]["status"][0], closed["train"]["status"][0]) == ("KILLED", "KILLED")
    sync(record, tracking, run_dir, final=True)
    assert server_state(tracking) == closed


def test_a_resumed_run_is_reopened(tracking, record, run_dir):
    finished = copy.deepcopy(record)
    record.status = RunStatus.FAILED
    record.stages["train"].status = StageStatus.FAILED
    sync(record, tracking, run_dir, final=True)
    assert server_state(tracking)["train"]["status"][0] == "FAILED"
    record.status, record.finished_at, record.stages["train"].status = RunStatus.RUNNING, None, StageStatus.RUNNING
    sync(record, tracking, run_dir, final=False)
    assert server_state(tracking)[record.run_id]["status"][0] == "RUNNING"
    sync(finished, tracking, run_dir, final=True)
    assert {run["status"][0] for run in server_state(tracking).values()} == {"FINISHED"}


def test_a_logged_parameter_keeps_its_value_and_metrics_are_updated(tracking, record, run_dir):
    """Fault 23: changing a logged parameter raises."""
    sync(record, tracking, run_dir, final=True)
    record.parameters["seed"], record.parameters["new"] = 14, 1
    record.stages["train"].scraps["roc_auc"] = 0.70
    sync(record, tracking, run_dir, final=True)
    run = server_state(tracking)[record.run_id]
    assert (run["params"]["seed"], run["params"]["new"]) == ("13", "1")
    assert run["metrics"]["train.roc_auc"] == 0.70


def test_hundreds_of_parameters_and_metrics_are_sent_in_batches(tracking, record, run_dir, monkeypatch):
    record.parameters = {f"p{i}": "y" * 5000 for i in range(250)}
    record.stages["prep"].scraps = {f"m{i}": i for i in range(1200)}
    batches, log_batch = [], MlflowClient.log_batch
    monkeypatch.setattr(
        MlflowClient, "log_batch", lambda *args, **kwargs: (batches.append(1), log_batch(*args, **kwargs))
    )
    sync(record, tracking, run_dir, final=True)
    assert 2 <= len(batches) <= 20
    runs = server_state(tracking)
    assert len(runs[record.run_id]["params"]) == 250
    assert len(runs["prep"]["metrics"]) == 1201


def test_only_changed_artifacts_are_sent_again(tracking, record, run_dir):
    linked = sync(record, tracking, run_dir, final=True)
    with connected(tracking) as client:
        stored = client.get_run(linked["run_id"]).info.artifact_uri.removeprefix("file://").replace("%20", " ")
    untouched = Path(stored, "stages/train/attempt-1.ipynb").stat().st_ctime_ns
    (run_dir / "report.html").write_text("a newer report")
    sync(record, tracking, run_dir, final=True)
    assert Path(stored, "report.html").read_text() == "a newer report"
    assert Path(stored, "stages/train/attempt-1.ipynb").stat().st_ctime_ns == untouched


def test_a_deleted_run_is_refused_with_the_command_that_restores_it(tracking, record, run_dir):
    linked = sync(record, tracking, run_dir, final=False)
    with connected(tracking) as client:
        client.delete_run(linked["run_id"])
    with pytest.raises(TrackingRefused, match=f"mlflow runs restore --run-id {linked['run_id']}"):
        sync(record, tracking, run_dir, final=True)


@pytest.mark.parametrize("links_saved", [True, False])
def test_a_deleted_experiment_is_refused_with_the_command_that_restores_it(tracking, record, run_dir, links_saved):
    linked = sync(record, tracking, run_dir, final=False)
    with connected(tracking) as client:
        client.delete_experiment(linked["experiment_id"])
    if not links_saved:
        (run_dir / "mlflow.json").unlink()
    with pytest.raises(TrackingRefused, match="was deleted.*\n?.*mlflow (runs|experiments) restore"):
        sync(record, tracking, run_dir, final=True)


def test_a_replaced_database_gets_the_run_anew(tracking, record, run_dir, prepared_folder, database_file):
    import shutil

    from mlflow.tracking._tracking_service.utils import _get_store

    first = sync(record, tracking, run_dir, final=True)
    _get_store(tracking.uri).engine.dispose()
    shutil.copy(prepared_folder / "mlflow.db", database_file)
    shutil.copy(prepared_folder / "mlflow.db.prepared.json", database_file.with_name("mlflow.db.prepared.json"))
    renewed = sync(record, tracking, run_dir, final=True)
    assert renewed["run_id"] != first["run_id"]
    assert set(server_state(tracking)) == {record.run_id, "prep", "train"}


HOSTILE = {
    "a//b": 1,
    "/lead": 2,
    "../up": 3,
    "x%": 4,
    "x_": 5,
    "seconds": 6,
    "": 7,
    "y" * 900: 8,
    "n\0\ud800": 9,
    ".": 10,
}


def test_hostile_names_neither_block_nor_overwrite_anything(tracking, record, run_dir):
    record.stages["train"].scraps = {**HOSTILE, "huge": {"a": 10**400}, "roc_auc": 0.68}
    record.parameters = {**HOSTILE, "text": "a\0b\ud800"}
    linked = sync(record, tracking, run_dir, final=True)
    runs = server_state(tracking)
    assert {run["status"][0] for run in runs.values()} == {"FINISHED"}
    metrics = runs["train"]["metrics"]
    assert set(HOSTILE.values()) <= set(metrics.values())
    assert (metrics["roc_auc"], metrics["seconds"], metrics["x_"], metrics["x:25:"]) == (0.68, 60.0, 5, 4)
    assert len(runs[record.run_id]["params"]) == len(HOSTILE) + 1
    assert "metric 'train.x%' is named 'train.x:25:'" in linked["notes"]
    assert "metric 'train.huge.a' is left out: MLflow does not keep a whole number of 1,329 bits" in linked["notes"]
    assert "'x:25:'" in runs["train"]["tags"]["stagebook.notes"]


def test_a_refused_item_does_not_hold_up_the_others(tracking, record, run_dir):
    linked = sync(record, tracking, run_dir, final=True)
    names = ["a//b", *(f"m{i}" for i in range(40)), "../up"]
    view = RunView(
        "x",
        None,
        "FAILED",
        ended_ms=5,
        metrics=dict.fromkeys(names, (1.0, 0)),
        params=dict.fromkeys(names, "1"),
        tags={"/t": "1", "good": "1"},
    )
    with connected(tracking) as client:
        run, refused = send(client, linked["run_id"], view)
        close(client, run, view)
        sent = client.get_run(linked["run_id"])
    assert {name for name in names if name in sent.data.metrics} == set(names) - {"a//b", "../up"}
    assert {name for name in names if name in sent.data.params} == set(names) - {"a//b", "../up"}
    assert sent.data.tags["good"] == "1"
    assert [line.split(" is refused")[0] for line in refused] == [
        "parameter 'a//b'",
        "parameter '../up'",
        "metric 'a//b'",
        "metric '../up'",
        "tag '/t'",
    ]
    assert (sent.info.status, sent.info.end_time) == ("FAILED", 5)
    assert "metric 'a//b' is refused" in sent.data.tags["stagebook.notes"]


def test_a_server_that_refuses_everything_is_not_asked_for_each_item(tracking, record, run_dir):
    linked = sync(record, tracking, run_dir, final=True)
    view = RunView("x", None, "FAILED", metrics={f"/{i}": (1.0, 0) for i in range(400)})
    with pytest.raises(TrackingRefused, match="Invalid value"), connected(tracking) as client:
        send(client, linked["run_id"], view)


def test_a_file_that_cannot_be_sent_holds_up_neither_the_others_nor_the_end(tracking, record, run_dir):
    damaged = run_dir / "stages/train/attempt-1.ipynb"
    damaged.unlink()
    damaged.symlink_to("nowhere")
    with pytest.raises(TrackingRefused, match=r"stages/train/attempt-1.ipynb: FileNotFoundError"):
        sync(record, tracking, run_dir, final=True)
    runs = server_state(tracking)
    assert {run["status"][0] for run in runs.values()} == {"FINISHED"}
    assert len(runs[record.run_id]["artifacts"]) == 4


def test_a_stage_whose_run_was_deleted_does_not_keep_the_run_open(tracking, record, run_dir):
    linked = sync(record, tracking, run_dir, final=False)
    with connected(tracking) as client:
        client.delete_run(linked["stages"]["prep"])
    record.stages["prep"].scraps["rows"] = 1
    record.status = RunStatus.FAILED
    with pytest.raises(TrackingRefused, match=f"stage 'prep'.*mlflow runs restore --run-id {linked['stages']['prep']}"):
        sync(record, tracking, run_dir, final=True)
    assert server_state(tracking)[record.run_id]["status"][0] == "FAILED"


STAGE_RUN_SCRIPT = """
import json, sys
from pathlib import Path
from stagebook.model.context import StageContext
from stagebook.tracking.run_views import RunView
from stagebook.tracking.send import close, send
from stagebook.tracking.sync import ensure_stage_run
print(ensure_stage_run(StageContext.from_json(json.loads(sys.argv[1]))))
"""


@pytest.mark.slow
def test_a_notebook_and_the_runner_use_the_same_run_for_a_stage(tracking, record, run_dir):
    context = StageContext(record.run_id, "train", 1, run_dir, run_dir, run_dir, "pandas", tracking)
    notebook = subprocess.Popen(
        [sys.executable, "-c", STAGE_RUN_SCRIPT, json.dumps(context.to_json())], stdout=subprocess.PIPE, text=True
    )
    linked = sync(record, tracking, run_dir, final=False)
    from_notebook = notebook.communicate(timeout=HANG_SECONDS)[0].strip()
    assert from_notebook == linked["stages"]["train"] == ensure_stage_run(context)
    assert set(server_state(tracking)) == {record.run_id, "prep", "train"}


def test_an_interactive_notebook_gets_a_run_of_its_own(tracking, tmp_path):
    context = StageContext(
        "interactive-1", "interactive", 1, tmp_path / "runs" / "interactive-1", tmp_path, tmp_path, "pandas", tracking
    )
    run_id = ensure_stage_run(context)
    assert ensure_stage_run(context) == run_id
    runs = server_state(tracking)
    assert runs["interactive"]["parent"] == "interactive-1"
    assert runs["interactive-1"]["tags"] == {"stagebook.run_id": "interactive-1"}


@pytest.mark.slow
def test_runs_that_a_stopped_server_missed_are_sent_when_it_runs(
    tracking, record, run_dir, tmp_path, server, free_port
):
    """Fault 21: nothing blocks, nothing is lost, and the server ends up as if it had always run."""
    served = Tracking(f"http://127.0.0.1:{free_port}", "flights", "flight_delay")
    record.stages["train"].scraps |= HOSTILE
    running = copy.deepcopy(record)
    running.status, running.finished_at = RunStatus.RUNNING, None
    for snapshot, final in ((running, False), (record, True)):
        start = time.monotonic()
        with pytest.raises(TrackingUnavailable, match="does not answer"):
            sync(snapshot, served, run_dir, final=final)
        assert time.monotonic() - start < SLOW_SECONDS, "MLflow itself tries for four minutes"
    server(free_port)
    linked = sync(record, served, run_dir, final=True)
    assert sync(record, served, run_dir, final=True) == linked
    direct = Tracking(tracking.uri, "direct", "flight_delay", str(tmp_path / "direct"))
    sync(record, direct, run_dir, final=True)
    assert server_state(served) == server_state(direct)
