"""Sweeps through the real command: shared stages run once, failures stay alone, a killed sweep run can be resumed."""

import csv
import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fixtures.processes import HANG_SECONDS, wait_until

RUN_SWEEP = (str(Path(__file__).resolve().parents[2] / "runners/run_sweep.py"),)

PARAMS = """\
pipeline: swept
defaults: {max_retries: 0}
stages:
  prep: {notebook: notebooks/prep.ipynb}
  fit: {notebook: notebooks/fit.ipynb, depends_on: [prep], parameters: {x: "{{tasks.prep.values.x}}"}}
  after: {notebook: notebooks/after.ipynb, depends_on: [fit]}
"""
SWEEP = """\
grid:
  fit.rate: [2, 3]
  fit.depth: [0, 1]
to: [fit]
metric: fit.score
higher_is_better: true
"""


@pytest.fixture
def project(notebook, params, tmp_path):
    """A pipeline and a sweep over its second stage; `prep` and `after` append an x to a file each when they run."""
    append_x = "open({!r}, 'a').write('x')"
    notebook("prep", append_x.format(str(tmp_path / "prep")), "import scrapbook as sb\nsb.glue('x', 10)")
    notebook(
        "fit",
        "import scrapbook as sb\nif rate == 3 and depth:\n    raise ValueError('too deep')",
        "sb.glue('score', x - (rate - 2) ** 2 + depth)",
        parameters="x: int = 0\nrate: int = 1\ndepth: int = 0",
    )
    notebook("after", append_x.format(str(tmp_path / "after")))
    params("p", PARAMS)
    (tmp_path / "params/sweeps").mkdir()
    (tmp_path / "params/sweeps/s.yaml").write_text(SWEEP)
    return tmp_path


def comparison(project):
    (path,) = project.glob("runs/sweep-*/comparison.json")
    return json.loads(path.read_text())


def statuses(project):
    return [configuration["status"] for configuration in comparison(project)["configurations"]]


def test_a_sweep_runs_shared_stages_once_compares_all_configurations_and_is_in_mlflow(run, project, shared_warehouse):
    ended = run("--params", "p", "--sweep", "s", "-j", "2", "--json", program=RUN_SWEEP)
    assert ended.code == 1, ended.err  # one configuration fails
    assert (project / "prep").read_text() == "x"
    assert not (project / "after").exists()
    printed = json.loads(ended.out)
    assert printed == comparison(project)
    configurations = printed["configurations"]
    assert [(configuration["status"], configuration["value"]) for configuration in configurations] == [
        ("succeeded", 10.0), ("succeeded", 11.0), ("succeeded", 9.0), ("failed", None),
    ]  # fmt: skip
    assert "ValueError: too deep" in configurations[3]["why"]
    assert printed["best"] == 2
    assert [configuration["reused"] for configuration in configurations].count(["prep"]) == 3
    assert printed["saved_seconds"] > 0
    sweep_id = printed["id"]
    folder = project / "runs" / sweep_id
    page = (folder / "comparison.html").read_text()
    assert " run --params p -p fit.rate:=2 -p fit.depth:=1" in page
    with (folder / "comparison.csv").open() as stream:
        assert next(csv.DictReader(stream))["n"] == "2"
    with closing(sqlite3.connect(shared_warehouse / "mlflow.db")) as database:
        tagged = "SELECT run_uuid FROM tags WHERE key = 'stagebook.sweep' AND value = ?"
        assert len(database.execute(tagged, [sweep_id]).fetchall()) == 5
        parents = f"SELECT DISTINCT value FROM tags WHERE key = 'mlflow.parentRunId' AND run_uuid IN ({tagged})"
        (parent,) = database.execute(parents, [sweep_id]).fetchall()
        parent_runs = database.execute("SELECT name, status FROM runs WHERE run_uuid = ?", parent).fetchall()
    assert parent_runs == [(sweep_id, "FINISHED")]

    resumed = run("--params", "p", "--resume", sweep_id, program=RUN_SWEEP)
    assert resumed.code == 1
    assert "1 of 4 configurations to run" in resumed.err
    assert "Best by fit.score: configuration 2 with 11" in resumed.out


def test_a_shared_stage_that_fails_is_tried_once(run, notebook, project):
    notebook("prep", f"open({str(project / 'prep')!r}, 'a').write('x')", "raise RuntimeError('no source')")
    ended = run("--params", "p", "--sweep", "s", program=RUN_SWEEP)
    assert ended.code == 1
    assert (project / "prep").read_text() == "x"
    assert statuses(project) == ["failed", *["not_started"] * 3]


def test_all_configurations_are_checked_before_any_starts(call, project):
    (project / "params/sweeps/s.yaml").write_text("grid:\n  fit.rat: [1, 2]\n  fit.depth: [1, deep]\n")
    ended = call("sweep", "--params", "p", "--sweep", "s")
    assert ended.code == 2
    assert "params/sweeps/s.yaml:2: stages.fit.parameters.rat: stage 'fit' has no parameter 'rat'" in ended.err
    assert "params/sweeps/s.yaml:3: stages.fit.parameters.depth: 'deep' is not int" in ended.err
    assert "2 findings" in ended.err
    (project / "params/sweeps/s.yaml").write_text("grid: {after.y: [1, 2]}\nto: [fit]\n")
    assert call("sweep", "--params", "p", "--sweep", "s").code == 2
    assert not (project / "runs").exists()


def test_configurations_that_differ_in_no_stage_that_runs_are_refused(call, notebook, project):
    notebook("after", "1", parameters="y: int = 0")
    (project / "params/sweeps/s.yaml").write_text("grid: {after.y: [1, 2]}\nto: [fit]\n")
    ended = call("sweep", "--params", "p", "--sweep", "s", "-n")
    assert ended.code == 2
    assert "configurations 1 and 2 differ in no parameter of a stage that runs" in ended.err


def test_a_killed_sweep_run_is_resumed_and_a_run_that_outlived_it_does_not_run_twice(start, notebook, project):
    gate = project / "go"
    notebook(
        "prep",
        f"open({str(project / 'prep')!r}, 'a').write('x')",
        f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)",
        "import scrapbook as sb\nsb.glue('x', 10)",
    )
    killed = start("--params", "p", "--sweep", "s", "-j", "2", program=RUN_SWEEP)
    wait_until((project / "prep").exists, process=killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=HANG_SECONDS)
    sweep_id = next((project / "runs").glob("sweep-*/sweep.json")).parent.name
    resumed = start("--params", "p", "--resume", sweep_id, program=RUN_SWEEP)
    assert any("configuration 1 started" in line for line in resumed.stderr)  # its run goes on all the while
    gate.touch()
    _, log = resumed.communicate(timeout=HANG_SECONDS)
    assert resumed.returncode == 1, log
    assert (project / "prep").read_text() == "x"
    assert comparison(project)["best"] == 2


def test_an_interrupted_sweep_run_ends_its_runs_and_starts_no_further_one(start, notebook, project):
    notebook("prep", f"open({str(project / 'prep')!r}, 'a').write('x')", "import time; time.sleep(600)")
    process = start("--params", "p", "--sweep", "s", program=RUN_SWEEP)
    wait_until((project / "prep").exists, process=process)
    os.kill(process.pid, signal.SIGTERM)
    _, log = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 143, log
    assert statuses(project) == ["interrupted", *["not_started"] * 3]
