"""Tasks run in processes of their own, with the dbutils shim; without Spark."""

from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from emulator.bundle import read
from emulator.schedule import Attempt, AttemptResult, JobRun, run
from emulator.workspace import Workspace

pytestmark = pytest.mark.emulator

JOB_RUN = JobRun(run_id=7, started_at=datetime(2026, 3, 1, tzinfo=UTC))


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


def attempt(path: Path, parameters=None, upstream=None, timeout=None) -> Attempt:
    return Attempt(f"{path.stem}-1", path, parameters or {}, upstream or {}, timeout)


def test_a_task_sees_widgets_values_secrets_and_volumes_but_no_names_of_another_task(workspace, source):
    path = source(
        "a",
        "x = dbutils.widgets.get('x') + dbutils.jobs.taskValues.get('before', 'y')",
        "dbutils.jobs.taskValues.set('x', x)\ndbutils.fs.put('/Volumes/main/a/b/note.txt', x)",
        "import os\nassert dbutils.secrets.get('mail', 'key') == 'hush-hush'\nprint(os.path.basename(os.getcwd()))",
        "assert 'spark' not in globals()\ndisplay(x)",
    )
    assert workspace.run(attempt(path, {"x": "1"}, {"before": {"y": "2"}})) == AttemptResult({"x": "12"})
    assert (workspace.folder / "Volumes/main/a/b/note.txt").read_text() == "12"
    executed = nbformat.read(workspace.folder / "tasks/a-1/executed.ipynb", as_version=4)
    assert [output.get("text") for output in executed.cells[2].outputs] == ["notebooks\n"]
    assert executed.cells[3].outputs[0].data["text/plain"] == "'12'"
    second = workspace.run(attempt(source("b", "x")))
    assert second.error == "NameError: name 'x' is not defined"


def test_a_notebook_that_exits_succeeds_without_its_remaining_cells(workspace, source):
    path = source("a", "dbutils.jobs.taskValues.set('a', 1)\ndbutils.notebook.exit('enough')", "1 / 0")
    assert workspace.run(attempt(path)) == AttemptResult({"a": 1})


def test_a_failed_notebook_reports_its_error_and_keeps_its_values(workspace, source):
    path = source("a", "dbutils.jobs.taskValues.set('a', 1)", "1 / 0", "dbutils.jobs.taskValues.set('a', 2)")
    assert workspace.run(attempt(path)) == AttemptResult({"a": 1}, "ZeroDivisionError: division by zero")


def test_a_killed_process_is_a_failure_and_a_slow_one_is_stopped(workspace, source):
    assert workspace.run(attempt(source("dies", "import os\nos._exit(9)"))).error == "its process ended with 9"
    assert workspace.run(attempt(source("sleeps", "import time\ntime.sleep(60)"), timeout=3)).timed_out


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.py", "# %%\nprint(1)\n", "expected a notebook for notebook_task but got a file"),
        ("b.ipynb", None, "not found"),
    ],
)
def test_a_file_that_is_no_notebook_to_databricks_is_refused(workspace, tmp_path, name, text, message):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    assert message in str(workspace.run(attempt(path)).error)


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


def test_a_loop_retries_one_iteration_and_fails_in_another(workspace, source, tmp_path):
    source("list", "dbutils.jobs.taskValues.set('months', [1, 2, 3])")
    source("month", "month, attempt = (int(dbutils.widgets.get(name)) for name in ('month', 'attempt'))",
           "assert month > 1 or attempt > 1, 'once more'\nassert month < 3, 'never'")  # fmt: skip
    (tmp_path / "bundle/databricks.yml").write_text(BUNDLE)
    result = run(read(tmp_path / "bundle")["demo"], workspace, JOB_RUN)
    assert result.states == {"list": "SUCCESS", "each": "FAILED", "mourn": "SUCCESS", "celebrate": "UPSTREAM_FAILED"}
    assert [(str(iteration.state), iteration.attempts) for iteration in result.tasks["each"].iterations] == [
        ("SUCCESS", 2), ("SUCCESS", 1), ("FAILED", 2),
    ]  # fmt: skip
    assert result.tasks["each"].iterations[2].reason == "AssertionError: never"
    assert result.state == "FAILED"
