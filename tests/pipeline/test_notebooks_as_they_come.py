"""Notebooks as they come, through the real command: cells that are no Python, shadowed packages, MLflow of their own."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest


@pytest.fixture
def pipeline(tmp_path):
    """`pipeline({"a": ["cell", …], …}, **keys)` writes notebooks and a parameter file of their stages."""

    def write(cells, stages=None, **keys):
        (tmp_path / "nb").mkdir(exist_ok=True)
        for name, sources in cells.items():
            (tmp_path / f"nb/{name}.py").write_text("".join(f"# %%\n{source}\n\n" for source in sources))
        own = {name: {"notebook": f"nb/{name}.py", **(stages or {}).get(name, {})} for name in cells}
        (tmp_path / "p.yaml").write_text(json.dumps({"pipeline": "p", **keys, "stages": own}))

    return write


def test_a_cell_that_is_no_python_fails_only_its_own_stage(pipeline, run):
    pipeline(
        {"bad": ["x = 1", "this is no Python"], "good": ["x = 2"], "after": ["x = 3"]},
        {"after": {"depends_on": ["bad"]}},
    )
    planned = run("--params", "p.yaml", "--dry-run")
    assert planned.code == 0, planned.err
    ended = run("--params", "p.yaml", "-k")
    assert (ended.code, ended.statuses) == (1, {"bad": "failed", "good": "succeeded", "after": "upstream_failed"})
    error = ended.stage("bad")["attempts"][0]["error"]
    assert (error["type"], error["cell"]) == ("SyntaxError", 2)


def test_a_parameters_cell_that_is_no_python_stops_all_but_those_that_keep_going(pipeline, run, tmp_path):
    pipeline({"bad": ["x = 1"], "good": ["x = 2"]})
    (tmp_path / "nb/bad.py").write_text('# %% tags=["parameters"]\nx = = 1\n')
    refused = run("--params", "p.yaml")
    assert refused.code == 2
    assert "its parameters cell is not Python: invalid syntax (line 1)" in refused.err
    ended = run("--params", "p.yaml", "-k")
    assert (ended.code, ended.statuses) == (1, {"bad": "failed", "good": "succeeded"})
    assert "its parameters cell is not Python" in ended.err


def test_a_notebook_that_hides_a_package_is_warned_of(pipeline, run):
    pipeline({"polars": ["x = 1"], "other": ["import polars"]})
    planned = run("--params", "p.yaml", "--dry-run")
    assert planned.code == 0
    assert "polars.py hides the package 'polars' from the notebooks in its folder: rename it." in planned.err


def test_mlflow_runs_of_a_notebook_lie_below_its_stage_and_fail_with_it(pipeline, run, shared_warehouse):
    log = 'import mlflow\nmlflow.log_metric("loss", 0.5)'
    pipeline({"fine": [log], "fails": [log, 'mlflow.log_param("x", 1)\n1 / 0']}, defaults={"max_retries": 0})
    ended = run("--params", "p.yaml", "-k")
    assert ended.statuses == {"fine": "succeeded", "fails": "failed"}
    stages = ended.record["mlflow"]["stages"]
    client = mlflow.MlflowClient(f"sqlite:///{shared_warehouse}/mlflow.db")
    found = client.search_runs(
        [ended.record["mlflow"]["experiment_id"]], f"tags.`stagebook.run_id` = '{ended.record['run_id']}'"
    )
    own = {run.data.tags["stagebook.stage"]: run for run in found if "stagebook.attempt" in run.data.tags}
    assert {name: run.info.status for name, run in own.items()} == {"fine": "FINISHED", "fails": "FAILED"}
    assert {name: run.data.tags["mlflow.parentRunId"] for name, run in own.items()} == stages
    assert own["fails"].data.params == {"x": "1"}


def type_(command, tmp_path):
    """Type a printed command into a shell in the project."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )


def test_the_printed_resume_command_works_and_holds_the_options(pipeline, run, tmp_path):
    pipeline(
        {"a": ["x = 1"], "b": ["from pathlib import Path\nassert Path('go').exists()"], "c": ["x = 1"]},
        {"c": {"depends_on": ["b"]}},
        defaults={"max_retries": 0},
    )
    started = run("--params", "p.yaml", "-k", "-j", "2", "--no-reuse", "--runs-dir", "runs", "--warehouse", "w")
    command = next(line for line in started.out.splitlines() if "--resume" in line).strip()
    assert {"--keep-going", "--jobs", "--no-reuse", "--runs-dir"} <= set(shlex.split(command))
    (tmp_path / "nb/go").touch()
    typed = type_(command, tmp_path)
    assert typed.returncode == 0, typed.stderr + typed.stdout
    record = json.loads((started.folder / "run.json").read_text())
    assert {name: stage["status"] for name, stage in record["stages"].items()} == dict.fromkeys("abc", "succeeded")
    assert (record["request"]["reuse"], record["request"]["jobs"], record["request"]["keep_going"]) == (False, 2, True)
