"""All reasons of a step are kept, and the first three shown; ordinary runs are compared with ordinary runs."""

from stagebook.planner.plan import Plan, Step
from stagebook.runs.folders import SWEEP_FILE, PipelineHistory, sweep_of

REASONS = [f"cell {n} changed" for n in range(1, 6)]


def step(count):
    return Step("run", REASONS[0], more=tuple(REASONS[1:count]))


def test_three_reasons_are_shown_and_the_others_counted():
    assert step(1).brief == "cell 1 changed"
    assert step(3).brief == "cell 1 changed; cell 2 changed; cell 3 changed"
    assert step(5).brief == "cell 1 changed; cell 2 changed; cell 3 changed; and 2 more"


def test_a_plan_shows_each_reason_on_a_line_and_all_where_they_are_asked_for():
    plan = Plan({"a": step(5)}, {})
    assert plan.to_text().splitlines() == [
        "a  run    cell 1 changed",
        "          cell 2 changed",
        "          cell 3 changed",
        "          and 2 more",
    ]
    assert len(plan.to_text(all_reasons=True).splitlines()) == 5
    assert plan.to_json()["a"]["reasons"] == REASONS


def test_the_configurations_of_a_sweep_belong_to_it(tmp_path):
    (tmp_path / "sweep-1").mkdir()
    (tmp_path / "sweep-1" / SWEEP_FILE).write_text("{}")
    assert sweep_of(tmp_path, "sweep-1-07") == "sweep-1"
    assert sweep_of(tmp_path, "20261123T020000Z-7f3a") is None
    assert sweep_of(tmp_path, "other-3") is None


def test_a_run_is_compared_with_ordinary_runs_and_a_configuration_with_its_own_sweep(tmp_path, monkeypatch):
    class Record:
        def __init__(self, run_id):
            self.run_id = run_id

    for sweep in ("s1", "s2"):
        (tmp_path / sweep).mkdir()
        (tmp_path / sweep / SWEEP_FILE).write_text("{}")
    records = [Record(run_id) for run_id in ("s1-2", "s2-1", "r2", "s1-1", "r1")]
    monkeypatch.setattr(PipelineHistory, "__iter__", lambda self: iter(records))
    compared = {
        without: [record.run_id for record in PipelineHistory(tmp_path, "p", without=without).comparable()]
        for without in ("r3", "s1-3")
    }
    assert compared == {"r3": ["r2", "r1"], "s1-3": ["s1-2", "r2", "s1-1", "r1"]}
