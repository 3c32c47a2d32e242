"""How a run ended, in a status and in words."""

from pathlib import Path

import pytest
from fixtures.run_builder import RunBuilder, rate_of

from stagebook.model.record import Attempt, AttemptStatus, RunRecord, RunStatus, StageRecord, StageStatus
from stagebook.runner import outcome


def record(gate=None, **statuses) -> RunRecord:
    stages = {name: StageRecord(name, f"{name}.py", [], StageStatus(status)) for name, status in statuses.items()}
    if gate is not None:
        rule = {"rule": "roc_auc ≥ 0.9", "passed": gate, "why": "0.66 is below 0.9"}
        stages["check"].scraps["gate"] = {"passed": gate, "rules": [rule]}
    return RunRecord("r1", "demo", "2026-01-01T00:00:00Z", stages=stages)


@pytest.mark.parametrize(
    ("stages", "gate", "signal", "expected"),
    [
        ({"a": "succeeded", "b": "reused", "c": "skipped"}, None, None, ("succeeded", 0)),
        ({"a": "failed", "b": "succeeded"}, None, None, ("failed", 1)),
        ({"a": "succeeded", "b": "upstream_failed"}, None, None, ("failed", 1)),
        ({"check": "succeeded", "b": "skipped"}, False, None, ("failed", 4)),
        ({"check": "succeeded", "b": "succeeded"}, True, None, ("succeeded", 0)),
        ({"check": "succeeded", "b": "failed"}, False, None, ("failed", 1)),
        ({"a": "succeeded", "b": "pending"}, None, 1, ("interrupted", 129)),
        ({"a": "failed", "b": "pending"}, None, 2, ("interrupted", 130)),
        ({"a": "succeeded", "b": "pending"}, None, 15, ("interrupted", 143)),
        ({"a": "succeeded", "b": "skipped"}, None, 2, ("succeeded", 0)),
        ({"a": "failed", "b": "upstream_failed"}, None, 2, ("failed", 1)),
    ],
)
def test_the_exit_status_says_how_the_run_ended(stages, gate, signal, expected):
    status, code = outcome.verdict(record(gate, **stages), signal)
    assert (status.value, code) == expected


def test_a_stage_whose_attempt_was_stopped_makes_the_run_interrupted():
    stopped = record(a="failed")
    stopped.stages["a"].attempts = [Attempt(1, AttemptStatus.INTERRUPTED, "t", "n")]
    assert outcome.verdict(stopped, 2) == (RunStatus.INTERRUPTED, 130)
    stopped.stages["a"].status = StageStatus.REUSED
    assert outcome.verdict(stopped, 2) == (RunStatus.SUCCEEDED, 0)


def test_a_failure_ends_with_stage_cell_error_notebook_and_the_command_that_resumes():
    failed = record(a="failed")
    failed.exit_code = 1
    error = {"type": "ValueError", "message": "no such column\nat all", "cell": 4}
    failed.stages["a"].attempts = [
        Attempt(2, AttemptStatus.FAILED, "t", "stages/a/attempt-2.ipynb", error=error, seconds=1.0)
    ]
    text = outcome.summary(failed, Path("/runs/r1/report.html"), "stagebook run --resume r1")
    assert "stage 'a' failed in cell 4 (attempt 2):" in text
    assert "ValueError: no such column\n  at all" in text
    assert "notebook: /runs/r1/stages/a/attempt-2.ipynb" in text
    assert text.endswith("resume with:\n  stagebook run --resume r1")


def test_a_refusal_names_the_rules_with_their_figures():
    refused = record(False, check="succeeded")
    refused.exit_code = 4
    text = outcome.summary(refused, Path("/r/report.html"), "x")
    assert "the gate refused the model, nothing was promoted" in text
    assert "roc_auc ≥ 0.9: 0.66 is below 0.9" in text


def test_one_line_tells_the_cost_and_what_bought_nothing():
    story = RunBuilder({"x": "p", "y": "p"}, [rate_of()]).attempt("x", 0, 60, "failed").attempt("x", 60, 6000)
    text = outcome.summary(story.reused("y", 0.5).ended(7000).record, Path("/r/report.html"), "x")
    assert "cost  about 4.08 USD (0.0385 USD wasted, 0.19 USD idle, 0.50 USD saved by reuse)" in text
    free = outcome.summary(RunBuilder({"x": None}, []).ended(1).record, Path("/r/report.html"), "x")
    assert "cost  nothing to estimate: no stage ran on a profile with a price" in free


def test_a_failure_with_an_endless_message_ends_in_a_few_lines_with_its_beginning_and_its_end():
    failed = record(a="failed")
    failed.exit_code = 1
    message = "\x1b[31mfirst\x1b[0m\n" + "\n".join("x" * 1000 for _ in range(100)) + "\nlast\x07"
    error = {"type": "ValueError", "message": message, "cell": 4}
    failed.stages["a"].attempts = [Attempt(1, AttemptStatus.FAILED, "t", "n.ipynb", error=error, seconds=1.0)]
    text = outcome.summary(failed, Path("/r/report.html"), "x")
    assert len(text) < 3000 and text.count("\n") < 40
    assert "ValueError: first" in text and "  last\ufffd" in text and "\x1b" not in text
    assert "characters left out: all of it is in the notebook" in text


def test_a_stage_that_ended_early_says_so_with_its_reason():
    early = record(a="succeeded", b="skipped")
    early.exit_code = 0
    early.stages["a"].ended_early = "nothing today"
    early.stages["b"].why = "a ended early: nothing today"
    text = outcome.summary(early, Path("/r/report.html"), "x")
    assert "succeeded, ended early: nothing today" in text
    assert "skipped  a ended early: nothing today" in text
