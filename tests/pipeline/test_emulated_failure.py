"""A pipeline with failed, retried and skipped stages ends alike in a local run and as the exported job."""

from datetime import UTC, datetime

import pytest
from emulator.bundle import read
from emulator.schedule import JobRun
from emulator.schedule import run as run_job
from emulator.workspace import Workspace

from stagebook.cli import call

from .conftest import Ended, Project

pytestmark = pytest.mark.emulator

JOB_RUN = JobRun(run_id=7, started_at=datetime(2026, 3, 1, tzinfo=UTC))

PIPELINE = """\
pipeline: demo
parameters: {{seed: 3}}
databricks: {{catalog: main, schema: demo, volume: files, execute_with: {execute_with}}}
stages:
  prep: {{notebook: notebooks/prep.ipynb}}
  flaky: {{notebook: notebooks/flaky.ipynb, depends_on: [prep], max_retries: 1, min_retry_interval_millis: 10}}
  bad:
    notebook: notebooks/bad.ipynb
    depends_on: [prep]
    parameters: {{rows: "{{{{tasks.prep.values.rows}}}}", names: "{{{{tasks.prep.values.names}}}}"}}
  optional: {{notebook: notebooks/good.ipynb, depends_on: [prep], only_if: "{{{{tasks.prep.values.promoted}}}}"}}
  after_bad: {{notebook: notebooks/good.ipynb, depends_on: [bad]}}
  cleanup: {{notebook: notebooks/good.ipynb, depends_on: [bad, flaky], run_if: AT_LEAST_ONE_FAILED}}
  report: {{notebook: notebooks/good.ipynb, depends_on: [flaky, bad, optional], run_if: ALL_DONE}}
  unless_all_fail: {{notebook: notebooks/good.ipynb, depends_on: [flaky, bad], run_if: ALL_FAILED}}
  both: {{notebook: notebooks/good.ipynb, depends_on: [flaky, optional]}}
  after_optional: {{notebook: notebooks/good.ipynb, depends_on: [optional], run_if: ALL_DONE}}
"""
EXPECTED = {
    "prep": "SUCCESS", "flaky": "SUCCESS", "bad": "FAILED", "optional": "EXCLUDED", "after_bad": "UPSTREAM_FAILED",
    "cleanup": "SUCCESS", "report": "SUCCESS", "unless_all_fail": "EXCLUDED", "both": "SUCCESS",
    "after_optional": "EXCLUDED",
}  # fmt: skip
TASK_STATES = {"succeeded": "SUCCESS", "failed": "FAILED", "skipped": "EXCLUDED", "upstream_failed": "UPSTREAM_FAILED"}

PREP = """\
from stagebook import stage
for name, value in {"rows": seed * 2, "names": ["a", "b"], "promoted": False}.items():
    stage.glue(name, value)
"""
FLAKY = """\
import pathlib
tried = pathlib.Path("tried")
if not tried.exists():
    tried.touch()
    raise RuntimeError("once more")
"""
BAD = "raise RuntimeError(f'{rows + 1} {names[1]} {seed}')"


@pytest.fixture(scope="module")
def project(module_project: Project) -> Project:
    module_project.notebook("prep", PREP, parameters="seed: int = 1")
    module_project.notebook("flaky", FLAKY)
    module_project.notebook("bad", BAD, parameters="seed: int = 1\nrows: int = 0\nnames: list[str] = []")
    module_project.notebook("good", "1")
    for execute_with in ("notebook", "papermill"):
        module_project.params(execute_with, PIPELINE.format(execute_with=execute_with))
    return module_project


@pytest.fixture(scope="module")
def local(project: Project) -> Ended:
    """The local run, which is the same whatever executes the notebooks on Databricks."""
    return project.run("--params", "notebook", "--keep-going", "-j", "2")


def test_every_stage_of_a_local_run_has_its_state(local):
    assert {name: TASK_STATES[status] for name, status in local.statuses.items()} == EXPECTED
    assert local.code == 1


@pytest.mark.parametrize("execute_with", ["notebook", "papermill"])
def test_every_task_ends_as_its_stage(execute_with, local, project, tmp_path, monkeypatch):
    monkeypatch.chdir(project.folder)
    assert call(["databricks", "export", "--params", execute_with, "--out", str(tmp_path / "bundle")]) == 0
    emulated = run_job(read(tmp_path / "bundle")["demo"], Workspace(tmp_path / "workspace"), JOB_RUN)
    assert {name: emulated.states[name] for name in local.statuses} == EXPECTED
    assert emulated.state == "FAILED"
    for name, stage in local.record["stages"].items():
        assert len(stage["attempts"]) == emulated.tasks[name].attempts
        assert stage["scraps"] == emulated.tasks[name].values
    assert "RuntimeError: 7 b 3" in emulated.tasks["bad"].reason
    assert emulated.tasks["optional_if"].outcome is False
