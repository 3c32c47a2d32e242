"""Parameters and dynamic value references follow the rules of Databricks."""

from datetime import UTC, datetime

import pytest
from emulator.references import Names, UnknownReference, input_names, job_names, resolve, widgets

JOB = job_names("flights", job_id=11, run_id=7, started_at=datetime(2026, 3, 1, 2, 30, tzinfo=UTC))
NAMES = JOB | {
    "job.parameters.seed": "13",
    "job.parameters.a b": "spaced",
    "task.name": "train",
    "tasks.prep.values.rows": 336_776,
    "tasks.prep.values.good": True,
    "tasks.prep.values.none": None,
    "tasks.prep.values.names": ["a", "ü"],
    "tasks.prep.values.text": '["a"]',
    "tasks.prep.result_state": "success",
    **input_names({"month": 3, "name": "March"}),
}


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("plain", "plain"),
        ("{{job.run_id}}", "7"),
        ("run-{{job.run_id}}-{{ job.id }}", "run-7-11"),
        ("{{job.name}}/{{task.name}}", "flights/train"),
        ("{{job.parameters.seed}}", "13"),
        ("{{job.parameters.`a b`}}", "spaced"),
        ("{{job.start_time.iso_date}}", "2026-03-01"),
        ("{{job.start_time.iso_weekday}} {{job.start_time.is_weekday}} {{job.start_time.hour}}", "7 false 2"),
        ("{{job.start_time.timestamp_ms}}", "1772332200000"),
        ("{{tasks.prep.result_state}}", "success"),
        ("{{tasks.prep.values.rows}}", "336776"),
        ("{{tasks.prep.values.good}}", "true"),
        ("{{tasks.prep.values.none}}", "null"),
        ("{{tasks.prep.values.names}}", '["a", "ü"]'),
        ("{{tasks.prep.values.text}}", '["a"]'),
        ("{{input}}", '{"month": 3, "name": "March"}'),
        ("{{input.month}}-{{input.name}}", "3-March"),
    ],
)
def test_a_reference_is_replaced_by_text(text, resolved):
    assert resolve(text, NAMES) == resolved


@pytest.mark.parametrize(
    "text",
    ["{{my.value}}", "{{my.value}", "{job.id}", "{{}}", "{{job.run_id + 1}}", "{{1 + 1}}", "{{job..id}}", "{{jobs.id}}", "${var.x}"],
)  # fmt: skip
def test_braces_without_a_reference_stay_unchanged(text):
    assert resolve(text, NAMES) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{job.naem}}", "{{job.naem}}: there is no 'job.naem'. Did you mean 'job.name'"),
        ("{{job.notebook_url}}", "there is no 'job.notebook_url'"),
        ("{{job.parameters.sed}}", "Did you mean 'job.parameters.seed'"),
        ("{{tasks.prep.values.row}}", "Did you mean 'tasks.prep.values.rows'"),
        ("{{tasks.train.values.auc}}", "there is no 'tasks.train.values.auc'"),
        ("x{{task.namee}}y", "Did you mean 'task.name'"),
        ("{{workspace.name}}", "there is no 'workspace.name'"),
        ("{{input.day}}", "there is no 'input.day'"),
    ],
)
def test_an_unknown_name_of_a_known_namespace_is_an_error(text, message):
    with pytest.raises(UnknownReference, match=message.replace("{", r"\{")):
        resolve(text, NAMES)


def test_a_reference_in_the_value_of_a_reference_is_not_resolved():
    names = Names({"job.parameters.a": "{{job.parameters.b}}", "job.parameters.b": "b"})
    assert resolve("{{job.parameters.a}}", names) == "{{job.parameters.b}}"


def test_a_parameter_of_the_job_wins_over_one_of_the_task():
    task_parameters = {"seed": "1", "rows": "{{tasks.prep.values.rows}}", "model": "{{job.naem}}"}
    assert widgets(task_parameters, {"seed": "13", "model": "m"}, NAMES) == {
        "rows": "336776",
        "seed": "13",
        "model": "m",
    }
