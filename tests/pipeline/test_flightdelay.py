"""The shipped pipeline on the real year, through a kill -9 of its runner in the middle of training."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from deltalake import DeltaTable
from fixtures.processes import HANG_SECONDS
from fixtures.real_year import ROOT, run_command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first test may wait for a run of another worker

TABLES = {
    "flights": 336_776, "weather": 26_114, "planes": 3_322, "airports": 1_458, "airlines": 16,
    "features": 336_776, "predictions": 28_135, "thresholds": 19,
}  # fmt: skip


@pytest.fixture(scope="module")
def record(real_year) -> dict:
    """The record of a run whose runner was killed while it trained, and that was then resumed."""
    return real_year("pandas").record


@pytest.fixture(scope="module")
def paths(real_year) -> Path:
    return Path(real_year("pandas").folder)


def test_finished_stages_are_not_run_again(record):
    attempts = {name: [a["status"] for a in stage["attempts"]] for name, stage in record["stages"].items()}
    assert attempts["data_prep"] == attempts["feature_build"] == ["succeeded"]
    assert attempts["train"] == ["interrupted", "succeeded"]
    assert {stage["status"] for stage in record["stages"].values()} == {"succeeded"}


def test_each_table_has_exactly_one_commit_of_the_run(record, paths):
    for name in {table for stage in record["stages"].values() for table in stage["outputs"]}:
        history = DeltaTable(paths / "warehouse/tables" / name).history()
        assert Counter(commit.get("stagebook.run_id") for commit in history) == {"real": 1}


def test_tables_hold_what_the_year_holds(record):
    written = {n: t["rows"] for stage in record["stages"].values() for n, t in stage["outputs"].items()}
    assert {name: written[name] for name in TABLES} == TABLES
    assert record["stages"]["train"]["scraps"]["dropped_without_arrival"] == 9_430


def test_the_model_is_honest_and_beats_the_baseline(record):
    scraps = record["stages"]["validate"]["scraps"]
    assert scraps["metrics"]["roc_auc"] == pytest.approx(0.7488, abs=5e-4)
    assert scraps["metrics"]["log_loss"] < scraps["baseline"]["log_loss"]
    assert scraps["gate"]["passed"]


def test_there_is_a_champion_and_mlflow_agrees_with_the_record(record, paths):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{paths / 'warehouse/mlflow.db'}")
    champion = client.get_model_version_by_alias("flight_delay", "champion")
    assert champion.tags["stagebook.run_id"] == "real"
    runs = client.search_runs([record["mlflow"]["experiment_id"]])
    assert len(runs) == 7
    assert {run.info.status for run in runs} == {"FINISHED"}
    ids = {run.info.run_id: run for run in runs}
    validate = ids[record["mlflow"]["stages"]["validate"]].data
    assert validate.metrics["metrics.roc_auc"] == record["stages"]["validate"]["scraps"]["metrics"]["roc_auc"]
    records = {"": record, **record["stages"]}
    logged = {"": ids[record["mlflow"]["run_id"]], **{n: ids[i] for n, i in record["mlflow"]["stages"].items()}}
    assert records[""]["cost"]["estimated_usd"] > 0
    assert {name: run.data.metrics["cost.estimated_usd"] for name, run in logged.items()} == {
        name: stage["cost"]["estimated_usd"] for name, stage in records.items()
    }


def test_the_run_leaves_a_report_and_a_page_for_every_finished_attempt(record, paths):
    folder = paths / "runs/real"
    assert "Succeeded" in (folder / "report.html").read_text()
    for name, stage in record["stages"].items():
        last = stage["attempts"][-1]["n"]
        assert (folder / f"stages/{name}/attempt-{last}.html").exists()


READER = """
# %%
from stagebook import stage
stage.glue("rows", stage.count(stage.read("features", columns=["flight"])))
"""

ANOTHER = f"""
pipeline: another
stages:
  again:
    notebook: {ROOT}/notebooks/02_feature_build.py
    reads: [flights, weather, planes, airlines]
    writes: [features]
  reader:
    notebook: reader.py
    depends_on: [again]
    reads: [features]
"""


def test_another_pipeline_builds_no_month_again_and_reads_the_features_by_name(record, paths):
    (paths / "reader.py").write_text(READER)
    (paths / "another.yaml").write_text(ANOTHER)
    table, built = paths / "warehouse/tables/features", record["stages"]["feature_build"]
    files = DeltaTable(table).file_uris()
    words = [*run_command(paths, "--engine", "polars", "--json")]
    words[words.index("dev.yaml")] = str(paths / "another.yaml")
    process = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert process.returncode == 0, process.stderr
    stages = json.loads(process.stdout)["stages"]
    assert (stages["again"]["scraps"]["built_months"], stages["reader"]["scraps"]["rows"]) == ([], 336_776)
    assert stages["again"]["outputs"]["features"]["version"] == built["outputs"]["features"]["version"] + 1
    assert DeltaTable(table).file_uris() == files


def test_a_challenger_that_is_no_better_registers_but_a_refused_one_is_not_promoted(record, paths):
    words = ["--from", "validate", "-p", "gate=[{metric: roc_auc, threshold: 0.9}]", "--json"]
    refused = subprocess.run(run_command(paths, *words), cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert refused.returncode == 4, refused.stderr
    stages = json.loads(refused.stdout)["stages"]
    assert (stages["train"]["status"], stages["deploy"]["status"]) == ("reused", "skipped")
    assert stages["register_model"]["scraps"] == {"model_name": "flight_delay", "model_version": "2", "promoted": False}
    listed = subprocess.run(
        [sys.executable, "-m", "stagebook.cli", "models", "list", "--warehouse", str(paths / "warehouse")],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}, check=True,
    ).stdout  # fmt: skip
    rows = {line.split()[1]: line for line in listed.splitlines() if "flight_delay" in line}
    assert "champion" in rows["1"]
    assert "candidate" in rows["2"]


def test_a_typo_in_any_parameter_of_any_stage_ends_at_once(paths):
    for stage in ("data_prep", "feature_build", "train", "validate", "register_model", "deploy"):
        process = subprocess.run(
            run_command(paths, "-p", f"{stage}.late_aftr_min=1"), cwd=ROOT, capture_output=True, text=True
        )
        assert process.returncode == 2
        assert f"stage '{stage}' has no parameter 'late_aftr_min'" in process.stderr
