"""How a run ended, in a status and in words."""

from pathlib import Path

import pytest
from fixtures.run_builder import RunBuilder, rate_of

from stagebook.model.record import Attempt, AttemptStatus, RunRecord, StageRecord, StageStatus
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
        ({"a": "failed"}, None, 2, ("interrupted", 130)),
        ({"a": "failed"}, None, 15, ("interrupted", 143)),
    ],
)
def test_the_exit_status_says_how_the_run_ended(stages, gate, signal, expected):
    status, code = outcome.verdict(record(gate, **stages), signal)
    assert (status.value, code) == expected


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
