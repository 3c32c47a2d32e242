"""MLflow runs that a notebook starts by itself lie below its stage's run and end as their attempt did."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from stagebook.model.record import Attempt, AttemptStatus
from stagebook.tracking.connection import connected
from stagebook.tracking.notebook_runs import VARIABLE, last_cell_ended, run_tags, status_to_set
from stagebook.tracking.sync import sync

ATTEMPT = Attempt(1, AttemptStatus.FAILED, "2026-11-23T02:00:00+00:00", "a.ipynb", "2026-11-23T02:00:30+00:00")


@pytest.mark.parametrize(
    ("status", "ended", "attempt", "expected"),
    [
        ("RUNNING", None, AttemptStatus.FAILED, "FAILED"),
        ("RUNNING", None, AttemptStatus.TIMEOUT, "FAILED"),
        ("RUNNING", None, AttemptStatus.KERNEL_DIED, "FAILED"),
        ("RUNNING", None, AttemptStatus.INTERRUPTED, "KILLED"),
        ("RUNNING", None, AttemptStatus.SUCCEEDED, "FINISHED"),
        ("FINISHED", 150, AttemptStatus.FAILED, "FAILED"),  # by MLflow, at the kernel's end
        ("FINISHED", 50, AttemptStatus.FAILED, None),  # by the notebook, before the cell that failed
        ("FINISHED", 150, AttemptStatus.SUCCEEDED, None),
        ("FAILED", 50, AttemptStatus.SUCCEEDED, None),  # a trial that the notebook gave up
        ("KILLED", 150, AttemptStatus.FAILED, None),
    ],
)
def test_a_run_that_was_open_at_the_end_is_what_its_attempt_was(status, ended, attempt, expected):
    assert status_to_set(status, ended, replace(ATTEMPT, status=attempt), 100) == expected


def test_without_the_executed_notebook_a_finished_run_stays_finished(tmp_path):
    assert last_cell_ended(tmp_path / "none.ipynb") is None
    assert status_to_set("FINISHED", 150, ATTEMPT, None) is None


def test_tags_that_the_runner_has_itself_are_kept():
    assert json.loads(run_tags("r", "a", 2, '{"team": "x"}')) == {
        "team": "x", "stagebook.run_id": "r", "stagebook.stage": "a", "stagebook.attempt": "2",
    }  # fmt: skip
    assert json.loads(run_tags("r", "a", 1, "not JSON"))["stagebook.run_id"] == "r"


NOTEBOOK = """\
import os, mlflow
mlflow.log_metric("loss", 0.5)
mlflow.end_run()
with mlflow.start_run(run_name="trial"):
    mlflow.log_param("depth", 3)
    with mlflow.start_run(run_name="fold", nested=True):
        pass
mlflow.set_experiment("mine")
mlflow.start_run(run_name="open")
os._exit(1)
"""


def test_runs_of_a_notebook_get_the_stages_run_as_parent_and_no_run_stays_open(tracking, record, run_dir):
    sync(record, tracking, run_dir, final=False)
    environment = {
        "MLFLOW_TRACKING_URI": tracking.uri,
        "MLFLOW_EXPERIMENT_NAME": tracking.experiment,
        VARIABLE: run_tags(record.run_id, "train", 2, None),
    }
    subprocess.run([sys.executable, "-c", NOTEBOOK], env=environment, check=False)
    before = sync(record, tracking, run_dir, final=True)
    assert sync(record, tracking, run_dir, final=True) == before
    with connected(tracking) as client:
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = client.search_runs(experiments, "tags.`stagebook.attempt` = '2'")
        own = {run.info.run_name: run for run in runs if run.info.run_name in ("trial", "fold", "open")}
        unnamed = [run for run in runs if run.info.run_name not in own]
        stage = before["stages"]["train"]
        parents = {name: run.data.tags["mlflow.parentRunId"] for name, run in own.items()}
        assert parents == {"trial": stage, "open": stage, "fold": own["trial"].info.run_id}
        statuses = {name: run.info.status for name, run in own.items()}
        assert statuses == {"trial": "FINISHED", "fold": "FINISHED", "open": "FAILED"}
        assert [(run.data.metrics, run.data.tags["mlflow.parentRunId"]) for run in unnamed] == [({"loss": 0.5}, stage)]
        assert own["trial"].data.tags["stagebook.stage"] == "train"
