"""Predictions from earlier runs: which runs are alike, and their quantiles."""

from decimal import Decimal

import pytest

from stagebook.cost.history import Wanted, predict, table_bytes
from stagebook.model.pricing import Range
from stagebook.model.record import Attempt, AttemptStatus, RunRecord, StageRecord, StageStatus


def run(seconds, *, seed=1, engine="pandas", status="succeeded", size=None) -> RunRecord:
    attempt = Attempt(1, AttemptStatus.SUCCEEDED, "t", "n", seconds=seconds)
    fit = StageRecord(
        "fit", "fit.py", ["load"], StageStatus(status), engine=engine, parameters={"seed": seed, "x": [1]}
    )
    fit.attempts = [attempt] if status in ("succeeded", "failed") else []
    load = StageRecord("load", "load.py", [], StageStatus.SUCCEEDED)
    if size:
        fit.inputs, load.outputs = {"t": size}, {"t": {"version": size, "rows": 1, "bytes": size}}
    return RunRecord("r", "demo", "t", stages={"load": load, "fit": fit})


WANTED = Wanted("fit", {"seed": 1}, "pandas", 100)


@pytest.mark.parametrize(
    ("what", "records", "wanted", "likely", "why"),
    [
        ("nothing ran", [], WANTED, None, "no run of it has succeeded yet"),
        ("nothing succeeded", [run(9, status="failed"), run(9, status="reused")], WANTED, None, "no run of it"),
        ("the same as before", [run(4, size=90), run(9, size=900)], WANTED, 4, "from 1 run with these parameters and about as large"),
        ("sizes are not known", [run(4), run(6)], WANTED, 5, "from 2 runs with these parameters"),
        ("other parameters", [run(4, seed=2), run(6, seed=3)], WANTED, 5, "from 2 runs on pandas, with other parameters"),
        ("the same among others", [run(4, seed=2), run(6)], WANTED, 6, "from 1 run with these parameters"),
        ("another engine", [run(4, engine="spark")], WANTED, 4, "from 1 run, on other engines"),
        ("any engine", [run(4, engine="spark", seed=2)], Wanted("fit", {"seed": 1}), 4, "from 1 run, with other parameters"),
        ("only the newest thirty", [run(1000)] * 40 + [run(5)] * 30, WANTED, 5, "from 30 runs"),
        ("a stage that is new", [run(1)], Wanted("deploy", {}), None, "no run of it"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value and len(value) < 30 else "",
)  # fmt: skip
def test_a_stage_takes_what_it_took(what, records, wanted, likely, why):
    told = predict(wanted, records, table_bytes(records))
    assert (told.seconds.likely if told.seconds else None) == likely
    assert why in told.why


def test_the_range_runs_from_the_tenth_to_the_ninetieth_percent():
    told = predict(WANTED, [run(second) for second in range(1, 12)], {})
    assert told.seconds == Range(Decimal(2), Decimal(6), Decimal(10))
