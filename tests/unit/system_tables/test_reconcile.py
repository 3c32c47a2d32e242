"""Estimates against bills: which jobs belong to a pipeline, what the times of a run cost, and what differs."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fixtures.run_builder import RunBuilder, rate_of, timestamp

from stagebook.costs import bill
from stagebook.errors import ConfigError
from stagebook.model.pipeline import Paths, Pipeline, Stage, Tracking
from stagebook.model.record import AttemptStatus
from stagebook.system_tables.queries import run_query
from stagebook.system_tables.reconcile import job_ids, reconcile, record_from_timeline
from stagebook.system_tables.write import write_runs

HERE = Path()
STAGES = {name: Stage(name, HERE, profile=profile) for name, profile in {"x": "p", "y": "p", "z": None}.items()}
DEMO = Pipeline("demo", STAGES, {}, Paths(HERE, HERE, HERE, HERE), Tracking("", "", ""), rates={"p": rate_of()})


def no_record(run_id: str) -> None:
    """There is no record of any run."""


def make_run(number: int) -> RunBuilder:
    """A run with a failed attempt, a retry and, if its number is odd, a repair the next day."""
    run = RunBuilder({"x": "p", "y": "p", "z": None}, [rate_of()], f"run-{number}")
    run.attempt("x", 10, 600, "failed").attempt("x", 700, 60 * number).attempt("z", 700, 5)
    if number % 2:
        run.ended(5000, "failed", 1).resumed(90_000).attempt("y", 90_010, 300)
    return run.ended(95_000)


def test_the_bill_of_a_run_equals_the_cost_of_the_times_of_its_tasks(tmp_path):
    """The system tables of this kit replace those of a workspace: their bill and the cost of their timelines agree."""
    write_runs([make_run(number).record for number in range(6)], tmp_path, date(2026, 11, 25))
    runs = reconcile(DEMO, no_record, lambda sql: run_query(sql, tmp_path))
    assert [run.run_id for run in runs] == [f"run-{number}" for number in range(6)]
    for number, run in enumerate(runs):
        total = bill.of(make_run(number).record).total.total.likely
        assert run.by == "timeline"
        assert (run.difference_usd, run.difference_percent) == (0, 0)
        assert run.estimated_dbu_usd + run.estimated_machines_usd == total
        assert run.estimated_machines_usd == run.actual_machines_usd


def test_a_run_with_a_record_is_compared_by_its_own_estimate(tmp_path):
    write_runs([make_run(2).record], tmp_path, date(2026, 11, 25))
    expensive = RunBuilder({"x": "p"}, [rate_of()], "run-2").attempt("x", 0, 7200).ended(7300).record
    (run,) = reconcile(DEMO, {"run-2": expensive}.get, lambda sql: run_query(sql, tmp_path))
    assert run.by == "record"
    assert run.estimated_dbu_usd == Decimal("0.75") * 7500 / 3600
    assert run.difference_usd == run.actual_dbu_usd - run.estimated_dbu_usd < 0
    assert run.difference_percent == round(float(run.actual_dbu_usd / run.estimated_dbu_usd - 1) * 100, 1)


def job(job_id: str, name: str, tags: dict[str, str] | None = None, day: int = 1) -> dict:
    return {"job_id": job_id, "name": name, "tags": tags, "change_time": datetime(2026, 11, day)}


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([job("1", "renamed", {"pipeline": "demo"}), job("2", "demo")], ["1"]),
        ([job("1", "demo"), job("2", "[dev jo] demo"), job("3", "demo 2")], ["1", "2"]),
        ([job("1", "demo", {"pipeline": "demo"}), job("1", "demo", {"pipeline": "other"}, day=2), job("2", "demo")], ["1", "2"]),
        ([job("1", "x", {"pipeline": "demo"}), job("1", "x", {"pipeline": "other"}, day=2), job("2", "demo")], ["2"]),
    ],
)  # fmt: skip
def test_the_jobs_of_a_pipeline_have_its_tag_or_otherwise_its_name(jobs, expected):
    assert job_ids(jobs, "demo") == expected


def test_where_no_job_belongs_to_the_pipeline_the_error_names_the_nearest():
    with pytest.raises(ConfigError, match=r"has the tag pipeline=demo, or that name\. Did you mean 'demos'"):
        job_ids([job("1", "demos")], "demo")


def slice_of(run_id: str, task: str, start: float, end: float, state: str | None) -> dict:
    times = {
        "period_start_time": datetime.fromisoformat(timestamp(start)),
        "period_end_time": datetime.fromisoformat(timestamp(end)),
    }
    return {"run_id": run_id, "task_key": task, "result_state": state, **times}


def test_slices_of_a_task_run_become_one_attempt_and_conditions_and_unfinished_task_runs_none():
    slices = [
        slice_of("b", "x", 3000, 3600, "SUCCEEDED"), slice_of("a", "x", 0, 1800, None), slice_of("a", "x", 1800, 2000, "TIMED_OUT"),
        slice_of("c", "x_condition", 0, 1, "SUCCEEDED"), slice_of("d", "y", 3600, 7200, None),
    ]  # fmt: skip
    record = record_from_timeline("r", DEMO, slices)
    assert [(attempt.n, attempt.status, attempt.seconds) for attempt in record.stages["x"].attempts] == [
        (1, AttemptStatus.TIMEOUT, 2000), (2, AttemptStatus.SUCCEEDED, 600),
    ]  # fmt: skip
    assert not record.stages["y"].attempts
    assert len(record.sessions) == 1


def test_a_repair_has_its_own_clusters():
    slices = [slice_of("a", "x", 0, 60, "FAILED"), slice_of("b", "x", 90_000, 90_060, "SUCCEEDED")]
    run_ends = [datetime.fromisoformat(timestamp(seconds)) for seconds in (70, 90_070)]
    apart, together = record_from_timeline("r", DEMO, slices, run_ends), record_from_timeline("r", DEMO, slices)
    assert [session.started_at for session in apart.sessions] == [timestamp(0), timestamp(90_000)]
    idle_apart, idle_together = (bill.of(record).total.idle.likely for record in (apart, together))
    assert idle_apart == 2 * bill.of(record_from_timeline("r", DEMO, slices[:1])).total.idle.likely
    assert len(together.sessions) == 1 and idle_together > 20 * idle_apart


def test_a_run_without_tasks_has_no_sessions_and_no_charges():
    record = record_from_timeline("r", DEMO, [])
    assert (record.sessions, bill.of(record).charges) == ([], ())
