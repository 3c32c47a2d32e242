"""A job of somebody else's workspace, imported and run here: its notebooks are not changed."""

import json
from pathlib import Path

import pytest
from fixtures.guest_notebooks import source

from stagebook.cli import app

BUNDLE = """\
bundle: {name: shop}
variables:
  least: {default: "4"}
targets:
  prod: {mode: production}
  dev: {mode: development, default: true, variables: {least: "3"}}
resources:
  jobs:
    nightly:
      name: nightly
      parameters:
        - {name: day, default: "2024-05-01"}
      job_clusters:
        - job_cluster_key: small
          new_cluster: {spark_version: 17.3.x-scala2.13, node_type_id: i3.xlarge, num_workers: 0}
      tasks:
        - task_key: ingest
          job_cluster_key: small
          max_retries: 1
          notebook_task: {notebook_path: ./src/ingest.py, base_parameters: {rows: "5"}}
        - task_key: check
          job_cluster_key: small
          depends_on: [{task_key: ingest}]
          notebook_task:
            notebook_path: ./src/check.ipynb
            base_parameters: {least: "${var.least}", place: "${bundle.target}", run_date: "{{job.parameters.day}}", run_id: "{{job.run_id}}"}
        - task_key: enough
          depends_on: [{task_key: check}]
          condition_task: {left: "{{tasks.check.values.enough}}", op: EQUAL_TO, right: "true"}
        - task_key: report
          job_cluster_key: small
          depends_on: [{task_key: enough, outcome: "true"}]
          notebook_task:
            notebook_path: ./src/report
            base_parameters: {total: "{{tasks.ingest.values.total}}"}
"""

INGEST = (
    "%md\n# Orders\nOf one day.",
    "%pip install -q pandas",
    "%run ./lib/common",
    """
    dbutils.widgets.text("day", "1970-01-01", "Day")
    dbutils.widgets.dropdown("rows", "2", ["2", "5", "8"])
    """,
    """
    orders = make(dbutils.widgets.get("day"), int(dbutils.widgets.get("rows")))
    display(orders)
    orders.to_csv("orders.csv", index=False)
    """,
    """
    dbutils.jobs.taskValues.set(key="rows", value=len(orders))
    dbutils.jobs.taskValues.set(key="total", value=int(orders["amount"].sum()))
    """,
)
COMMON = """
import pandas as pd

def make(day, rows):
    return pd.DataFrame({"day": day, "amount": range(rows)})
"""
CHECK = """
dbutils.widgets.text("run_date", "")
dbutils.widgets.text("run_id", "interactive")
dbutils.widgets.text("place", "")
rows = dbutils.jobs.taskValues.get(taskKey="ingest", key="rows", debugValue=0)
print(getArgument("run_date"), rows, dbutils.widgets.get("run_id"), dbutils.widgets.get("place"))
dbutils.jobs.taskValues.set("enough", rows >= int(dbutils.widgets.get("least")))
"""
REPORT = (
    "total = int(dbutils.widgets.get('total'))\ndbutils.jobs.taskValues.set('told', total)",
    "if total < 100:\n    dbutils.notebook.exit(f'only {total}')",
    "raise RuntimeError('there is nothing like that')",
)


@pytest.fixture
def job(tmp_path, monkeypatch):
    """The bundle in a folder, and the folder as the place to be."""
    folder = tmp_path / "shop"
    source(folder / "src/ingest.py", *INGEST)
    source(folder / "src/lib/common.py", COMMON)
    source(folder / "src/report.py", *REPORT)
    cell = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": CHECK}
    mark = {"application/vnd.databricks.v1+notebook": {"language": "python"}, "language_info": {"name": "python"}}
    node = {"cells": [cell], "metadata": mark, "nbformat": 4, "nbformat_minor": 5}
    (folder / "src/check.ipynb").write_text(json.dumps(node))
    (folder / "databricks.yml").write_text(BUNDLE)
    monkeypatch.chdir(tmp_path)
    assert app(["import", "databricks", "shop/databricks.yml", "--out", "params/nightly.yaml"]) == 0
    return folder


def outputs(ended, stage) -> str:
    return (ended.folder / f"stages/{stage}/attempt-1.ipynb").read_text()


def test_a_foreign_job_runs_unchanged_and_is_reused_until_something_changes(job, run):
    before = {path: path.read_bytes() for path in job.rglob("*") if path.is_file()}
    ended = run("--params", "nightly", "--engine", "pandas")
    assert ended.code == 0, ended.err + ended.out
    assert ended.statuses == dict.fromkeys(("ingest", "check", "report"), "succeeded")
    assert ended.stage("ingest")["scraps"] == {"rows": 5, "total": 10}
    assert ended.stage("check")["scraps"] == {"enough": True}
    assert "2024-05-01 5 interactive dev" in outputs(ended, "check")
    assert ended.stage("report")["scraps"] == {"told": 10}
    assert "Notebook exited: only 10" in outputs(ended, "report")
    assert (job / "src/orders.csv").read_text().startswith("day,amount\n2024-05-01,0\n")
    assert {path: path.read_bytes() for path in before} == before, "no notebook was changed"

    assert run("--params", "nightly", "--engine", "pandas").statuses == dict.fromkeys(ended.statuses, "reused")

    source(job / "src/lib/common.py", COMMON.replace("range(rows)", "range(1, rows + 1)"))
    ended = run("--params", "nightly", "--engine", "pandas")
    assert ended.statuses == {"ingest": "succeeded", "check": "reused", "report": "succeeded"}, "rows are as before"
    assert ended.stage("ingest")["scraps"] == {"rows": 5, "total": 15}

    ended = run("--params", "nightly", "--engine", "pandas", "-p", "ingest.rows=2")
    assert ended.statuses == {"ingest": "succeeded", "check": "succeeded", "report": "skipped"}


def test_what_a_foreign_notebook_cannot_have_ends_its_stage_with_words_and_without_retries(job, run):
    source(job / "src/report.py", "dbutils.widgets.get('total')", "%pip install nowhere-to-be-found==1")
    source(job / "src/ingest.py", *INGEST[2:], "other = dbutils.jobs.taskValues.get('later', 'x', default=1)")
    text = Path("params/nightly.yaml").read_text()
    refused = run("--params", "nightly", "--engine", "pandas")
    assert refused.code == 2
    assert "the task value 'x' of 'later', and there is no such stage" in refused.err

    source(job / "src/ingest.py", *INGEST[2:], "name = 'later'\ndbutils.jobs.taskValues.get(name, 'x', default=1)")
    Path("params/nightly.yaml").write_text(text.replace("only_if", "run_if: ALL_DONE\n    only_if"))
    ended = run("--params", "nightly", "--engine", "pandas", "--keep-going")
    assert ended.code == 1
    error = ended.stage("ingest")["attempts"][-1]["error"]
    assert (len(ended.stage("ingest")["attempts"]), error["type"]) == (1, "NoTaskValue")
    assert "No task 'later' is upstream of this one" in error["message"]
