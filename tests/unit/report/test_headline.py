"""The headline of a run says how it ended, in one line."""

from dataclasses import replace

import pytest
from fixtures import run_records

from stagebook.model.record import RunStatus, StageStatus
from stagebook.report.headline import headline


def running():
    return replace(run_records.succeeded(), status=RunStatus.RUNNING, exit_code=None, finished_at=None)


def over_budget():
    record = run_records.succeeded()
    record.stages["deploy"].status = StageStatus.PENDING
    return replace(record, status=RunStatus.FAILED, exit_code=3)


def two_failures():
    record = run_records.failed()
    record.stages["validate"].status = StageStatus.FAILED
    record.stages["validate"].why = "the kernel died"
    return record


def refused_without_promotion_stage():
    return replace(run_records.refused(), status=RunStatus.SUCCEEDED, exit_code=None)


@pytest.mark.parametrize(
    ("make_record", "tone", "text", "first_line"),
    [
        (run_records.succeeded, "good", "Succeeded", "5 of 6 stages ran, 1 reused"),
        (running, "info", "Not finished", "6 of 6 stages done"),
        (
            run_records.failed,
            "bad",
            "Failed in stage train, cell 7",
            "ValueError: 3 of 24 features hold only nulls: carrier_rate_30d, route_rate_30d, wind_gust_kn (2 attempts)",
        ),
        (two_failures, "bad", "Failed in stage train, cell 7 and 1 more", None),
        (
            run_records.refused,
            "warn",
            "The validation gate refused the model",
            "2 of 3 rules failed. Nothing was promoted.",
        ),
        (refused_without_promotion_stage, "warn", "The validation gate refused the model", "2 of 3 rules failed."),
        (run_records.interrupted, "warn", "Interrupted in stage train", "2 of 6 stages done"),
        (over_budget, "bad", "Stopped before it would exceed its budget", "5 of 6 stages done"),
    ],
)
def test_each_way_a_run_can_end_has_its_headline(make_record, tone, text, first_line):
    verdict = headline(make_record())
    assert (verdict.tone, verdict.text) == (tone, text)
    assert first_line is None or verdict.lines[0] == first_line


def test_every_failed_stage_is_named_with_its_reason():
    assert headline(two_failures()).lines[1] == "validate: the kernel died"


def test_a_record_without_stages_has_a_headline():
    assert headline(replace(run_records.succeeded(), stages={})).text == "Succeeded"
