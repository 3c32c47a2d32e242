"""Estimates against bills: which jobs are a pipeline's, what a run's times tell, and what differs."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fixtures.bills import Story, at, rated

from stagebook.cost import bill
from stagebook.errors import ConfigError
from stagebook.ledger import post, questions
from stagebook.ledger.reconcile import as_record, job_ids, reconcile
from stagebook.model.pipeline import Pipeline, Places, Stage, Tracking
from stagebook.model.record import AttemptStatus

HERE = Path()
STAGES = {name: Stage(name, HERE, profile=profile) for name, profile in {"x": "p", "y": "p", "z": None}.items()}
DEMO = Pipeline("demo", STAGES, {}, Places(HERE, HERE, HERE, HERE), Tracking("", "", ""), rates={"p": rated()})


def nothing(run_id: str) -> None:
    """No run has been kept."""


def told(number: int) -> Story:
    """A run with a failed attempt, a retry and, each second time, a repair the next day."""
    story = Story({"x": "p", "y": "p", "z": None}, [rated()], f"run-{number}")
    story.attempt("x", 10, 600, "failed").attempt("x", 700, 60 * number).attempt("z", 700, 5)
    if number % 2:
        story.ended(5000, "failed", 1).resumed(90_000).attempt("y", 90_010, 300)
    return story.ended(95_000)


def test_what_an_export_bills_is_what_the_times_of_its_tasks_cost(tmp_path):
    """The system tables of this kit stand for a workspace's: what they bill and what their timelines cost agree."""
    post.post([told(number).record for number in range(6)], tmp_path, date(2026, 11, 25))
    found = reconcile(DEMO, nothing, lambda sql: questions.ask(sql, tmp_path))
    assert [one.run_id for one in found] == [f"run-{number}" for number in range(6)]
    for number, one in enumerate(found):
        billed = bill.of(told(number).record).total.total.likely
        assert one.by == "timeline"
        assert (one.difference_usd, one.difference_percent) == (0, 0)
        assert one.estimated_dbu_usd + one.estimated_machines_usd == billed
        assert one.estimated_machines_usd == one.actual_machines_usd


def test_a_run_that_was_kept_is_compared_as_it_was_estimated(tmp_path):
    post.post([told(2).record], tmp_path, date(2026, 11, 25))
    dear = Story({"x": "p"}, [rated()], "run-2").attempt("x", 0, 7200).ended(7300).record
    (one,) = reconcile(DEMO, {"run-2": dear}.get, lambda sql: questions.ask(sql, tmp_path))
    assert one.by == "record"
    assert one.estimated_dbu_usd == Decimal("0.75") * 7500 / 3600
    assert one.difference_usd == one.actual_dbu_usd - one.estimated_dbu_usd < 0
    assert one.difference_percent == round(float(one.actual_dbu_usd / one.estimated_dbu_usd - 1) * 100, 1)


def job(job_id: str, name: str, tags: dict[str, str] | None = None, day: int = 1) -> dict:
    return {"job_id": job_id, "name": name, "tags": tags, "change_time": datetime(2026, 11, day)}


@pytest.mark.parametrize(
    ("jobs", "found"),
    [
        ([job("1", "renamed", {"pipeline": "demo"}), job("2", "demo")], ["1"]),
        ([job("1", "demo"), job("2", "[dev jo] demo"), job("3", "demo 2")], ["1", "2"]),
        ([job("1", "demo", {"pipeline": "demo"}), job("1", "demo", {"pipeline": "other"}, day=2), job("2", "demo")], ["1", "2"]),
        ([job("1", "x", {"pipeline": "demo"}), job("1", "x", {"pipeline": "other"}, day=2), job("2", "demo")], ["2"]),
    ],
)  # fmt: skip
def test_the_jobs_of_a_pipeline_have_its_tag_or_else_its_name(jobs, found):
    assert job_ids(jobs, "demo") == found


def test_where_no_job_is_the_pipelines_the_nearest_name_is_told():
    with pytest.raises(ConfigError, match=r"has the tag pipeline=demo, or that name\. Did you mean 'demos'"):
        job_ids([job("1", "demos")], "demo")


def slice_of(run_id: str, task: str, start: float, end: float, state: str | None) -> dict:
    times = {"period_start_time": datetime.fromisoformat(at(start)), "period_end_time": datetime.fromisoformat(at(end))}
    return {"run_id": run_id, "task_key": task, "result_state": state, **times}


def test_slices_of_a_task_run_are_one_attempt_and_conditions_and_what_goes_on_are_none():
    slices = [
        slice_of("b", "x", 3000, 3600, "SUCCEEDED"), slice_of("a", "x", 0, 1800, None), slice_of("a", "x", 1800, 2000, "TIMED_OUT"),
        slice_of("c", "x_condition", 0, 1, "SUCCEEDED"), slice_of("d", "y", 3600, 7200, None),
    ]  # fmt: skip
    record = as_record("r", DEMO, slices)
    assert [(one.n, one.status, one.seconds) for one in record.stages["x"].attempts] == [
        (1, AttemptStatus.TIMEOUT, 2000), (2, AttemptStatus.SUCCEEDED, 600),
    ]  # fmt: skip
    assert not record.stages["y"].attempts
    assert len(record.legs) == 1


def test_a_repair_has_clusters_of_its_own():
    slices = [slice_of("a", "x", 0, 60, "FAILED"), slice_of("b", "x", 90_000, 90_060, "SUCCEEDED")]
    ended = [datetime.fromisoformat(at(seconds)) for seconds in (70, 90_070)]
    apart, together = as_record("r", DEMO, slices, ended), as_record("r", DEMO, slices)
    assert [leg.started_at for leg in apart.legs] == [at(0), at(90_000)]
    idle = {len(one.legs): bill.of(one).total.idle.likely for one in (apart, together)}
    assert idle[2] == 2 * bill.of(as_record("r", DEMO, slices[:1])).total.idle.likely
    assert idle[1] > 20 * idle[2]


def test_a_run_of_which_no_task_is_told_is_shown_with_its_bill():
    record = as_record("r", DEMO, [])
    assert (record.legs, bill.of(record).charges) == ([], ())
