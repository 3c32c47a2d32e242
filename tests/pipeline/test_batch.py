"""Sweeps through the real command: what is shared runs once, failures stay alone, a killed batch is gone on with."""

import csv
import json
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from fixtures.waiting import wait_until

BATCH = (str(Path(__file__).resolve().parents[2] / "runners/run_batch.py"),)

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
def swept(notebook, params, tmp_path):
    note = "open({!r}, 'a').write('x')"
    notebook("prep", note.format(str(tmp_path / "prep")), "import scrapbook as sb\nsb.glue('x', 10)")
    notebook(
        "fit",
        "import scrapbook as sb\nif rate == 3 and depth:\n    raise ValueError('too deep')",
        "sb.glue('score', x - (rate - 2) ** 2 + depth)",
        parameters="x: int = 0\nrate: int = 1\ndepth: int = 0",
    )
    notebook("after", note.format(str(tmp_path / "after")))
    params("p", PARAMS)
    (tmp_path / "params/sweeps").mkdir()
    (tmp_path / "params/sweeps/s.yaml").write_text(SWEEP)
    return tmp_path


def comparison(folder):
    (path,) = folder.glob("runs/batch-*/comparison.json")
    return json.loads(path.read_text())


def test_a_sweep_runs_what_is_shared_once_compares_all_and_is_kept_in_mlflow(run, swept, shared_warehouse):
    ended = run("--params", "p", "--sweep", "s", "-j", "2", "--json", program=BATCH)
    assert ended.code == 1, ended.err  # one configuration fails
    assert (swept / "prep").read_text() == "x"
    assert not (swept / "after").exists()
    told = json.loads(ended.out)
    assert told == comparison(swept)
    values = [(one["status"], one["value"]) for one in told["configurations"]]
    assert values == [
        ("succeeded", 10.0), ("succeeded", 11.0), ("succeeded", 9.0), ("failed", None),
    ]  # fmt: skip
    assert "ValueError: too deep" in told["configurations"][3]["why"]
    assert told["best"] == 2
    assert [one["reused"] for one in told["configurations"]].count(["prep"]) == 3
    assert told["saved_seconds"] > 0
    folder = swept / "runs" / told["batch"]
    page = (folder / "comparison.html").read_text()
    assert "stagebook run --params p -p fit.rate=2 -p fit.depth=1" in page
    with (folder / "comparison.csv").open() as stream:
        assert next(csv.DictReader(stream))["n"] == "2"
    with closing(sqlite3.connect(shared_warehouse / "mlflow.db")) as database:
        tagged = "SELECT run_uuid FROM tags WHERE key = 'stagebook.batch' AND value = ?"
        assert len(database.execute(tagged, [told["batch"]]).fetchall()) == 5
        parents = "SELECT DISTINCT value FROM tags WHERE key = 'mlflow.parentRunId' AND run_uuid IN"
        found = database.execute(f"{parents} ({tagged})", [told["batch"]]).fetchall()
        (parent,) = found
        named = database.execute("SELECT name, status FROM runs WHERE run_uuid = ?", parent).fetchall()
    assert named == [(told["batch"], "FINISHED")]

    again = run("--params", "p", "--resume", told["batch"], program=BATCH)
    assert again.code == 1
    assert "1 of 4 configurations to run" in again.err
    assert "Best by fit.score: configuration 2 with 11" in again.out


def test_a_stage_that_all_share_and_that_fails_is_tried_once(run, notebook, swept):
    notebook("prep", f"open({str(swept / 'prep')!r}, 'a').write('x')", "raise RuntimeError('no source')")
    ended = run("--params", "p", "--sweep", "s", program=BATCH)
    assert ended.code == 1
    assert (swept / "prep").read_text() == "x"
    statuses = [one["status"] for one in comparison(swept)["configurations"]]
    assert statuses == ["failed", *["not_started"] * 3]


def test_a_sweep_is_checked_whole_before_anything_starts(run, swept):
    (swept / "params/sweeps/s.yaml").write_text("grid:\n  fit.rat: [1, 2]\n  fit.depth: [1, deep]\n")
    ended = run("--params", "p", "--sweep", "s", program=BATCH)
    assert ended.code == 2
    assert "params/sweeps/s.yaml:2: stages.fit.parameters.rat: stage 'fit' has no parameter 'rat'" in ended.err
    assert "params/sweeps/s.yaml:3: stages.fit.parameters.depth: 'deep' is not int" in ended.err
    assert "2 findings" in ended.err
    (swept / "params/sweeps/s.yaml").write_text("grid: {after.y: [1, 2]}\nto: [fit]\n")
    assert run("--params", "p", "--sweep", "s", program=BATCH).code == 2
    assert not (swept / "runs").exists()


def test_configurations_that_differ_in_nothing_that_runs_are_refused(run, notebook, swept):
    notebook("after", "1", parameters="y: int = 0")
    (swept / "params/sweeps/s.yaml").write_text("grid: {after.y: [1, 2]}\nto: [fit]\n")
    ended = run("--params", "p", "--sweep", "s", "-n", program=BATCH)
    assert ended.code == 2
    assert "configurations 1 and 2 differ in no parameter of a stage that runs" in ended.err


def test_a_batch_that_is_killed_is_gone_on_with_and_what_outlived_it_is_not_run_twice(start, run, notebook, swept):
    gate = swept / "go"
    waits = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.05)"
    notebook(
        "prep", f"open({str(swept / 'prep')!r}, 'a').write('x')", waits, "import scrapbook as sb\nsb.glue('x', 10)"
    )
    process = start("--params", "p", "--sweep", "s", "-j", "2", program=BATCH)
    wait_until((swept / "prep").exists)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    batch_id = next((swept / "runs").glob("batch-*/batch.json")).parent.name
    second = start("--params", "p", "--resume", batch_id, program=BATCH)
    time.sleep(2)
    gate.touch()
    _, told = second.communicate(timeout=200)
    assert second.returncode == 1, told
    assert (swept / "prep").read_text() == "x"
    assert comparison(swept)["best"] == 2


def test_who_interrupts_a_batch_ends_its_runs_and_can_go_on(start, run, notebook, swept):
    notebook("prep", f"open({str(swept / 'prep')!r}, 'a').write('x')", "import time; time.sleep(600)")
    process = start("--params", "p", "--sweep", "s", program=BATCH)
    wait_until((swept / "prep").exists)
    os.kill(process.pid, signal.SIGTERM)
    _, told = process.communicate(timeout=100)
    assert process.returncode == 143, told
    assert [one["status"] for one in comparison(swept)["configurations"]] == ["interrupted", *["not_started"] * 3]
