"""A run that would exceed its budget: it is refused before it starts, or stops on the way."""

import json

import pytest

PRICES = """\
cloud,node_type_id,category,vcpu,memory_gb,gpus,dbu_per_hour,vm_usd_per_hour,price_basis,price_check,as_of,source
AWS,costly.large,general,2,8,0,0,360000,test,ok,2026-11,a test: 100 USD a second
"""

PARAMS = """\
pipeline: costly
stages:
  first: {notebook: notebooks/first.ipynb, profile: costly}
  second: {notebook: notebooks/second.ipynb, depends_on: [first], profile: costly}
profiles: {costly: {node_type_id: costly.large, startup_minutes: 0}}
cost: {prices: [mine.csv]}
"""


@pytest.fixture
def costly(notebook, params, tmp_path):
    notebook("first", f"open({str(tmp_path / 'first')!r}, 'a').write('x')")
    notebook("second", f"open({str(tmp_path / 'second')!r}, 'a').write('x')")
    params("p", PARAMS)
    (tmp_path / "mine.csv").write_text(PRICES)
    return tmp_path


@pytest.fixture
def query_costs(call):
    """`query_costs("--by", "stage")`: the answer of `stagebook cost`."""

    def query(*words):
        ended = call("cost", "--params", "p", "--format", "json", *words)
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    return query


def test_a_stage_beyond_the_budget_is_not_started_and_the_run_can_be_resumed(costly, run, call, query_costs):
    stopped = run("--params", "p", "--max-cost", "10")
    assert stopped.code == 3
    assert stopped.statuses == {"first": "succeeded", "second": "skipped"}
    assert stopped.stage("first")["cost"]["estimated_usd"] > 10
    assert "stage 'second' was not started: max_usd_per_run is 10" in stopped.out
    assert "--max-cost" in stopped.out and "--resume" in stopped.out
    assert "Stopped before it would exceed its budget" in (stopped.folder / "report.html").read_text()
    resumed = run("--params", "p", "--max-cost", "1000000", "--resume")
    assert resumed.code == 0
    assert (costly / "first").read_text() == (costly / "second").read_text() == "x"
    reserved_at_start, reserved_at_resume = [session["reserved_usd"] for session in resumed.record["sessions"]]
    assert reserved_at_start == 0  # no earlier run shows how long a stage takes
    assert reserved_at_resume >= stopped.stage("first")["cost"]["estimated_usd"]
    spent = resumed.record["cost"]["estimated_usd"]
    by_stage = {row["stage"]: row["usd"] for row in query_costs("--by", "stage")}
    assert by_stage == {name: stage["cost"]["estimated_usd"] for name, stage in resumed.record["stages"].items()}
    count = "SELECT count(*) AS n FROM system.lakeflow.job_run_timeline WHERE job_id = 'costly'"
    assert query_costs("--sql", count) == [{"n": 2}]
    assert spent == pytest.approx(sum(stage["cost"]["estimated_usd"] for stage in resumed.record["stages"].values()))

    (point,) = query_costs("--trend", "--plot", "trend.svg")
    assert (point["run_id"], point["usd"], point["reused"]) == (resumed.record["run_id"], pytest.approx(spent), 0)
    assert "<svg" in (costly / "trend.svg").read_text()

    before = sorted((costly / "runs").iterdir())
    refused = call("run", "--params", "p", "--max-cost", "10", "--no-reuse")
    assert refused.code == 3
    assert "over budget, nothing was started" in refused.err
    assert sorted((costly / "runs").iterdir()) == before
    planned = call("run", "--params", "p", "--no-reuse", "--dry-run", "--json", "--max-cost", "10")
    assert planned.code == 3
    first = json.loads(planned.out)["first"]
    assert first["predicted_usd"]["likely"] == pytest.approx(100 * first["predicted_seconds"]["likely"], abs=1e-4)
    assert first["history"] == "from 1 run with these parameters"
    assert (costly / "first").read_text() == "x"
