"""Quartz expressions: which are accepted, and what is wrong with the others."""

import re

import pytest

from stagebook.schedule.quartz import fault


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 2 * * ?", "0 0/15 * ? * MON-FRI", "0 30 22 L * ?", "0 0 6 ? * 6L 2026", "0 0 6 ? * MON#1", "0 0 6 15W * ?",
        "0 0 0 1,15 JAN-JUN/2 ?", "*/10 * * * * ?", "0 0 0 L-3 * ?", "0 0 0 LW * ?", "0 0 0 ? * sun",
    ],
)  # fmt: skip
def test_quartz_accepts(expression):
    assert fault(expression) is None


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("0 2 * * *", "6 or 7 fields, this one has 5. Seconds come first"),
        ("0 0 25 * * ?", "hours: '25' is not between 0 and 23"),
        ("0 60 2 * * ?", "minutes: '60'"),
        ("0 0 2 * * *", "exactly one of day of month and day of week is '?'"),
        ("0 0 2 ? * ?", "exactly one of"),
        ("0 0 2 32 * ?", "day of month: '32'"),
        ("0 0 2 ? 13 MON", "month: '13'"),
        ("0 0 2 ? * 8", "day of week: '8'"),
        ("0 0 2 ? * MO", "day of week: 'MO'"),
        ("0 0/0 2 * * ?", "minutes: the step"),
        ("0 0 2 1-2-3 * ?", "day of month: '1-2-3'"),
        ("0 0 2 * * ? 1969", "year: '1969'"),
        ("0 ? 2 * * ?", "minutes: '\\?'"),
        ("", "this one has 0"),
    ],
)
def test_quartz_refuses(expression, message):
    assert re.search(message, fault(expression) or "")
