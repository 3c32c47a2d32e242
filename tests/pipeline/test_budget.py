"""What the command does when it costs too much: before anything starts, and on the way."""

import json
import os
import subprocess
import sys

import pytest

PRICES = """\
cloud,node_type_id,category,vcpu,memory_gb,gpus,dbu_per_hour,vm_usd_per_hour,price_basis,price_check,as_of,source
AWS,dear.large,general,2,8,0,0,360000,test,ok,2026-11,a test: 100 USD a second
"""

PARAMS = """\
pipeline: dear
stages:
  first: {notebook: notebooks/first.ipynb, profile: dear}
  second: {notebook: notebooks/second.ipynb, depends_on: [first], profile: dear}
profiles: {dear: {node_type_id: dear.large, startup_minutes: 0}}
cost: {prices: [mine.csv]}
"""


@pytest.fixture
def dear(notebook, params, tmp_path):
    notebook("first", f"open({str(tmp_path / 'first')!r}, 'a').write('x')")
    notebook("second", f"open({str(tmp_path / 'second')!r}, 'a').write('x')")
    params("p", PARAMS)
    (tmp_path / "mine.csv").write_text(PRICES)
    return tmp_path


def told_by_the_ledger(folder, warehouse, *words):
    command = [sys.executable, "-m", "stagebook.cli", "cost", "--params", "p", "--format", "json", *words]
    env = {**os.environ, "STAGEBOOK_WAREHOUSE": str(warehouse)}
    answer = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


def test_a_stage_beyond_the_budget_is_not_started_and_the_run_can_be_resumed(dear, run, shared_warehouse):
    stopped = run("--params", "p", "--max-cost", "10")
    assert stopped.code == 3
    assert stopped.statuses == {"first": "succeeded", "second": "skipped"}
    assert stopped.stage("first")["cost"]["estimated_usd"] > 10
    assert "stage 'second' was not started: max_usd_per_run is 10" in stopped.out
    assert "--max-cost" in stopped.out and "--resume" in stopped.out
    assert "Stopped before it would exceed its budget" in (stopped.folder / "report.html").read_text()
    resumed = run("--params", "p", "--max-cost", "1000000", "--resume")
    assert resumed.code == 0
    assert (dear / "first").read_text() == (dear / "second").read_text() == "x"
    begun, again = [leg["reserved_usd"] for leg in resumed.record["legs"]]
    assert begun == 0  # no run has told yet how long a stage takes
    assert again >= stopped.stage("first")["cost"]["estimated_usd"]
    spent = resumed.record["cost"]["estimated_usd"]
    by_stage = {row["stage"]: row["usd"] for row in told_by_the_ledger(dear, shared_warehouse, "--by", "stage")}
    assert by_stage == {name: stage["cost"]["estimated_usd"] for name, stage in resumed.record["stages"].items()}
    count = "SELECT count(*) AS n FROM system.lakeflow.job_run_timeline WHERE job_id = 'dear'"
    assert told_by_the_ledger(dear, shared_warehouse, "--sql", count) == [{"n": 2}]
    assert spent == pytest.approx(sum(stage["cost"]["estimated_usd"] for stage in resumed.record["stages"].values()))

    (point,) = told_by_the_ledger(dear, shared_warehouse, "--trend", "--plot", "trend.svg")
    assert (point["run_id"], point["usd"], point["reused"]) == (resumed.record["run_id"], pytest.approx(spent), 0)
    assert "<svg" in (dear / "trend.svg").read_text()

    before = sorted((dear / "runs").iterdir())
    again = run("--params", "p", "--max-cost", "10", "--no-reuse")
    assert again.code == 3
    assert "over budget, nothing was started" in again.err
    assert sorted((dear / "runs").iterdir()) == before
    told = run("--params", "p", "--no-reuse", "--dry-run", "--json", "--max-cost", "10")
    assert told.code == 3
    first = json.loads(told.out)["first"]
    assert first["predicted_usd"]["likely"] == pytest.approx(100 * first["predicted_seconds"]["likely"], abs=1e-4)
    assert first["history"] == "from 1 run with these parameters"
    assert (dear / "first").read_text() == "x"
