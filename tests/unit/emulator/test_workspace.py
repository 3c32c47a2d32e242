"""Tasks in processes of their own, with stand-ins for what Databricks puts into a notebook; without Spark."""

from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from emulator.bundle import read
from emulator.schedule import Ended, Moment, Order, run
from emulator.workspace import Workspace

NOW = Moment(run_id=7, started_at=datetime(2026, 3, 1, tzinfo=UTC))


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace", secrets={"mail": {"key": "hush-hush"}})


@pytest.fixture
def source(tmp_path):
    """`source("a", "x = 1", …)` writes a notebook in Databricks' source format; returns its path."""

    def write(name, *cells):
        path = tmp_path / "bundle/notebooks" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# Databricks notebook source\n" + "\n\n# COMMAND ----------\n\n".join(cells) + "\n")
        return path

    return write


def order(path: Path, parameters=None, upstream=None, timeout=None) -> Order:
    return Order(f"{path.stem}-1", path, parameters or {}, upstream or {}, timeout)


def test_a_task_sees_widgets_values_secrets_and_volumes_and_no_names_of_another(workspace, source):
    path = source(
        "a",
        "x = dbutils.widgets.get('x') + dbutils.jobs.taskValues.get('before', 'y')",
        "dbutils.jobs.taskValues.set('x', x)\ndbutils.fs.put('/Volumes/main/a/b/note.txt', x)",
        "import os\nassert dbutils.secrets.get('mail', 'key') == 'hush-hush'\nprint(os.path.basename(os.getcwd()))",
        "assert 'spark' not in globals()\ndisplay(x)",
    )
    assert workspace.run(order(path, {"x": "1"}, {"before": {"y": "2"}})) == Ended({"x": "12"})
    assert (workspace.folder / "Volumes/main/a/b/note.txt").read_text() == "12"
    kept = nbformat.read(workspace.folder / "tasks/a-1/executed.ipynb", as_version=4)
    assert [output.get("text") for output in kept.cells[2].outputs] == ["notebooks\n"]
    assert kept.cells[3].outputs[0].data["text/plain"] == "'12'"
    other = workspace.run(order(source("b", "x")))
    assert other.error == "NameError: name 'x' is not defined"


def test_a_notebook_that_exits_has_succeeded_and_the_rest_is_not_run(workspace, source):
    path = source("a", "dbutils.jobs.taskValues.set('a', 1)\ndbutils.notebook.exit('enough')", "1 / 0")
    assert workspace.run(order(path)) == Ended({"a": 1})


def test_a_failed_notebook_tells_its_error_and_keeps_its_values(workspace, source):
    path = source("a", "dbutils.jobs.taskValues.set('a', 1)", "1 / 0", "dbutils.jobs.taskValues.set('a', 2)")
    assert workspace.run(order(path)) == Ended({"a": 1}, "ZeroDivisionError: division by zero")


def test_a_process_that_is_gone_is_a_failure_and_one_that_takes_too_long_is_ended(workspace, source):
    assert workspace.run(order(source("dies", "import os\nos._exit(9)"))).error == "its process ended with 9"
    assert workspace.run(order(source("sleeps", "import time\ntime.sleep(60)"), timeout=3)).timed_out


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.py", "# %%\nprint(1)\n", "expected a notebook for notebook_task but got a file"),
        ("b.ipynb", None, "not found"),
    ],
)
def test_what_is_no_notebook_to_databricks_is_refused(workspace, tmp_path, name, text, said):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    assert said in str(workspace.run(order(path)).error)


BUNDLE = """\
bundle: {name: demo}
resources:
  jobs:
    demo:
      tasks:
        - {task_key: list, notebook_task: {notebook_path: notebooks/list.py}}
        - task_key: each
          depends_on: [{task_key: list}]
          for_each_task:
            inputs: "{{tasks.list.values.months}}"
            concurrency: 2
            task:
              task_key: each_month
              max_retries: 1
              notebook_task:
                notebook_path: notebooks/month.py
                base_parameters: {month: "{{input}}", attempt: "{{task.execution_count}}"}
        - task_key: mourn
          depends_on: [{task_key: each}]
          run_if: AT_LEAST_ONE_FAILED
          notebook_task: {notebook_path: notebooks/list.py}
        - task_key: celebrate
          depends_on: [{task_key: each}]
          notebook_task: {notebook_path: notebooks/list.py}
"""


def test_a_job_whose_loop_needs_a_retry_and_fails_in_one_iteration(workspace, source, tmp_path):
    source("list", "dbutils.jobs.taskValues.set('months', [1, 2, 3])")
    source("month", "month, attempt = (int(dbutils.widgets.get(name)) for name in ('month', 'attempt'))",
           "assert month > 1 or attempt > 1, 'once more'\nassert month < 3, 'never'")  # fmt: skip
    (tmp_path / "bundle/databricks.yml").write_text(BUNDLE)
    result = run(read(tmp_path / "bundle")["demo"], workspace, NOW)
    assert result.states == {"list": "SUCCESS", "each": "FAILED", "mourn": "SUCCESS", "celebrate": "UPSTREAM_FAILED"}
    assert [(str(one.state), one.attempts) for one in result.tasks["each"].iterations] == [
        ("SUCCESS", 2), ("SUCCESS", 1), ("FAILED", 2),
    ]  # fmt: skip
    assert result.tasks["each"].iterations[2].why == "AssertionError: never"
    assert result.state == "FAILED"
