"""A pipeline in which stages fail, are repeated and are skipped ends alike here and as the job that is exported."""

from datetime import UTC, datetime

import pytest
from emulator.bundle import read
from emulator.schedule import Moment
from emulator.schedule import run as run_job
from emulator.workspace import Workspace

from stagebook.cli import app

NOW = Moment(run_id=7, started_at=datetime(2026, 3, 1, tzinfo=UTC))

PIPELINE = """\
pipeline: demo
parameters: {{seed: 3}}
databricks: {{catalog: main, schema: demo, volume: files, execute_with: {way}}}
stages:
  prep: {{notebook: notebooks/prep.ipynb}}
  flaky: {{notebook: notebooks/flaky.ipynb, depends_on: [prep], max_retries: 1, min_retry_interval_millis: 10}}
  bad:
    notebook: notebooks/bad.ipynb
    depends_on: [prep]
    parameters: {{rows: "{{{{tasks.prep.values.rows}}}}", names: "{{{{tasks.prep.values.names}}}}"}}
  optional: {{notebook: notebooks/good.ipynb, depends_on: [prep], only_if: "{{{{tasks.prep.values.wanted}}}}"}}
  after_bad: {{notebook: notebooks/good.ipynb, depends_on: [bad]}}
  cleanup: {{notebook: notebooks/good.ipynb, depends_on: [bad, flaky], run_if: AT_LEAST_ONE_FAILED}}
  report: {{notebook: notebooks/good.ipynb, depends_on: [flaky, bad, optional], run_if: ALL_DONE}}
  unless_all_fail: {{notebook: notebooks/good.ipynb, depends_on: [flaky, bad], run_if: ALL_FAILED}}
  both: {{notebook: notebooks/good.ipynb, depends_on: [flaky, optional]}}
  behind_optional: {{notebook: notebooks/good.ipynb, depends_on: [optional], run_if: ALL_DONE}}
"""
ENDS = {
    "prep": "SUCCESS", "flaky": "SUCCESS", "bad": "FAILED", "optional": "EXCLUDED", "after_bad": "UPSTREAM_FAILED",
    "cleanup": "SUCCESS", "report": "SUCCESS", "unless_all_fail": "EXCLUDED", "both": "SUCCESS",
    "behind_optional": "EXCLUDED",
}  # fmt: skip
HERE = {"succeeded": "SUCCESS", "failed": "FAILED", "skipped": "EXCLUDED", "upstream_failed": "UPSTREAM_FAILED"}

PREP = """\
from stagebook import stage
for name, value in {"rows": seed * 2, "names": ["a", "b"], "wanted": False}.items():
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


@pytest.mark.parametrize("way", ["notebook", "papermill"])
def test_every_stage_ends_as_its_task(way, run, notebook, params, tmp_path, monkeypatch):
    notebook("prep", PREP, parameters="seed: int = 1")
    notebook("flaky", FLAKY)
    notebook("bad", BAD, parameters="seed: int = 1\nrows: int = 0\nnames: list[str] = []")
    notebook("good", "1")
    params("p", PIPELINE.format(way=way))
    here = run("--params", "p", "--keep-going")
    monkeypatch.chdir(tmp_path)
    assert app(["export", "databricks", "--params", "p", "--out", "bundle"]) == 0
    there = run_job(read(tmp_path / "bundle")["demo"], Workspace(tmp_path / "workspace"), NOW)
    assert {name: HERE[status] for name, status in here.statuses.items()} == ENDS
    assert {name: there.states[name] for name in here.statuses} == ENDS
    assert (here.code, there.state) == (1, "FAILED")
    for name, stage in here.record["stages"].items():
        assert len(stage["attempts"]) == there.tasks[name].attempts
        assert stage["scraps"] == there.tasks[name].values
    assert "RuntimeError: 7 b 3" in there.tasks["bad"].why
    assert there.tasks["optional_if"].outcome is False
