"""A job from a workspace is imported and run locally, without changes to its notebooks."""

import json
from pathlib import Path

import pytest
from fixtures.databricks_notebooks import databricks_notebook

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
          new_cluster: {spark_version: 17.3.x-scala2.13, node_type_id: i3.xlarge, num_workers: 1}
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
    "total = int(dbutils.widgets.get('total'))\ndbutils.jobs.taskValues.set('total', total)",
    "if total < 100:\n    dbutils.notebook.exit(f'only {total}')",
    "raise RuntimeError('there is nothing like that')",
)


@pytest.fixture
def job(tmp_path, call):
    """The folder of the bundle, imported; the working directory is its parent."""
    folder = tmp_path / "shop"
    databricks_notebook(folder / "src/ingest.py", *INGEST)
    databricks_notebook(folder / "src/lib/common.py", COMMON)
    databricks_notebook(folder / "src/report.py", *REPORT)
    cell = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": CHECK}
    metadata = {"application/vnd.databricks.v1+notebook": {"language": "python"}, "language_info": {"name": "python"}}
    node = {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (folder / "src/check.ipynb").write_text(json.dumps(node))
    (folder / "databricks.yml").write_text(BUNDLE)
    assert call("databricks", "import", "shop/databricks.yml", "--out", "params/nightly.yaml").code == 0
    return folder


def test_the_import_lists_unsupported_fields_and_its_export_includes_all_notebooks(job, call):
    lines = [line for line in Path("params/nightly.yaml").read_text().splitlines() if line.startswith("# - task check")]
    assert lines == ["# - task check: notebook_task.base_parameters.run_id"]
    assert call("databricks", "export", "--params", "nightly", "--out", "exported").code == 0
    assert call("databricks", "validate", "exported/databricks.yml").code == 0
    ingest = json.loads(Path("exported/shop/src/ingest.ipynb").read_text())
    sources = ["".join(cell["source"]) for cell in ingest["cells"]]
    assert COMMON.strip() in sources, "the included notebook is in it"
    assert not any("stagebook" in text for text in sources), "it reads its widgets itself"


def test_an_imported_job_runs_unchanged_and_is_reused_until_something_changes(job, run):
    before = {path: path.read_bytes() for path in job.rglob("*") if path.is_file()}
    ended = run("--params", "nightly", "--engine", "pandas")
    assert ended.code == 0, ended.err + ended.out
    assert ended.statuses == dict.fromkeys(("ingest", "check", "report"), "succeeded")
    assert ended.stage("ingest")["scraps"] == {"rows": 5, "total": 10}
    assert ended.stage("check")["scraps"] == {"enough": True}
    assert "2024-05-01 5 interactive dev" in ended.executed("check")
    assert ended.stage("report")["scraps"] == {"total": 10}
    assert "Notebook exited: only 10" in ended.executed("report")
    assert (job / "src/orders.csv").read_text().startswith("day,amount\n2024-05-01,0\n")
    assert {path: path.read_bytes() for path in before} == before, "no notebook was changed"

    again = run("--params", "nightly", "--engine", "pandas")
    assert again.statuses == {"ingest": "succeeded", "check": "reused", "report": "reused"}
    assert again.stage("ingest")["reasons"] == ["cannot be told: cell 1 installs packages by `%pip`"]

    databricks_notebook(job / "src/ingest.py", INGEST[0], *INGEST[2:])
    run("--params", "nightly", "--engine", "pandas")
    assert run("--params", "nightly", "--engine", "pandas").statuses == dict.fromkeys(ended.statuses, "reused")

    databricks_notebook(job / "src/lib/common.py", COMMON.replace("range(rows)", "range(1, rows + 1)"))
    ended = run("--params", "nightly", "--engine", "pandas")
    assert ended.statuses == {"ingest": "succeeded", "check": "reused", "report": "succeeded"}, "rows did not change"
    assert ended.stage("ingest")["scraps"] == {"rows": 5, "total": 15}

    ended = run("--params", "nightly", "--engine", "pandas", "-p", "ingest.rows=2")
    assert ended.statuses == {"ingest": "succeeded", "check": "succeeded", "report": "skipped"}


def test_an_unsupported_task_value_fails_its_stage_with_a_message_and_without_retries(job, run, call):
    databricks_notebook(job / "src/report.py", "dbutils.widgets.get('total')", "%pip install nowhere-to-be-found==1")
    databricks_notebook(
        job / "src/ingest.py", *INGEST[2:], "other = dbutils.jobs.taskValues.get('later', 'x', default=1)"
    )
    text = Path("params/nightly.yaml").read_text()
    refused = call("run", "--params", "nightly", "--engine", "pandas")
    assert refused.code == 2
    assert "the task value 'x' of 'later', and there is no such stage" in refused.err

    databricks_notebook(
        job / "src/ingest.py", *INGEST[2:], "name = 'later'\ndbutils.jobs.taskValues.get(name, 'x', default=1)"
    )
    Path("params/nightly.yaml").write_text(text.replace("only_if", "run_if: ALL_DONE\n    only_if"))
    ended = run("--params", "nightly", "--engine", "pandas", "--keep-going")
    assert ended.code == 1
    error = ended.stage("ingest")["attempts"][-1]["error"]
    assert (len(ended.stage("ingest")["attempts"]), error["type"]) == (1, "NoTaskValue")
    assert "No task 'later' is upstream of this one" in error["message"]


SQL = """
%sql
CREATE OR REPLACE TEMP VIEW numbers AS SELECT id FROM range(5); -- ; of the session
SELECT count(*) AS n FROM numbers WHERE id >= :least
"""
SPARK_CELLS = (
    "dbutils.widgets.text('least', '2')",
    SQL,
    "dbutils.jobs.taskValues.set('n', _sqldf.first()['n'])\ndisplay(spark.table('numbers'))",
    "from pyspark.sql import SparkSession\ndbutils.jobs.taskValues.set('m', SparkSession.builder.getOrCreate().range(3).count())",
)


def test_spark_and_sql_work_only_if_the_stage_runs_on_spark(java, run, call, params, tmp_path):
    databricks_notebook(tmp_path / "nb/a.py", *SPARK_CELLS)
    params("p", "pipeline: p\ndefaults: {max_retries: 2}\nstages:\n  a: {notebook: nb/a.py}\n")
    ended = run("--params", "p")
    assert ended.code == 0, ended.err + ended.out
    assert ended.stage("a")["engine"] == "spark", "no engine is set"
    assert ended.stage("a")["scraps"] == {"n": 3, "m": 3}
    assert "text/html" in ended.executed("a")
    assert "cannot be told: its notebook may read anything by Spark" in call("run", "--params", "p", "-n").out

    ended = run("--params", "p", "--engine", "pandas")
    (attempt,) = ended.stage("a")["attempts"]
    assert (ended.code, attempt["error"]["type"]) == (1, "NoSparkSession")
    assert "stages.a.engine: spark" in attempt["error"]["message"]
