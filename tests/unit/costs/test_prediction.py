"""Predictions from earlier runs: which runs are similar, and their quantiles."""

from decimal import Decimal

import pytest

from stagebook.costs.prediction import StageQuery, predict, table_bytes
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


QUERY = StageQuery("fit", {"seed": 1}, "pandas", 100)


@pytest.mark.parametrize(
    ("case", "records", "query", "likely", "basis"),
    [
        ("nothing ran", [], QUERY, None, "no run of it has succeeded yet"),
        ("nothing succeeded", [run(9, status="failed"), run(9, status="reused")], QUERY, None, "no run of it"),
        ("same parameters and size", [run(4, size=90), run(9, size=900)], QUERY, 4, "from 1 run with these parameters and about as large"),
        ("sizes are not known", [run(4), run(6)], QUERY, 5, "from 2 runs with these parameters"),
        ("other parameters", [run(4, seed=2), run(6, seed=3)], QUERY, 5, "from 2 runs on pandas, with other parameters"),
        ("same parameters among others", [run(4, seed=2), run(6)], QUERY, 6, "from 1 run with these parameters"),
        ("another engine", [run(4, engine="spark")], QUERY, 4, "from 1 run, on other engines"),
        ("any engine", [run(4, engine="spark", seed=2)], StageQuery("fit", {"seed": 1}), 4, "from 1 run, with other parameters"),
        ("only the newest thirty", [run(1000)] * 40 + [run(5)] * 30, QUERY, 5, "from 30 runs"),
        ("a stage that is new", [run(1)], StageQuery("deploy", {}), None, "no run of it"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value and len(value) < 30 else "",
)  # fmt: skip
def test_the_prediction_is_the_median_of_the_most_similar_runs(case, records, query, likely, basis):
    prediction = predict(query, records, table_bytes(records))
    assert (prediction.seconds.likely if prediction.seconds else None) == likely
    assert basis in prediction.basis


def test_the_range_goes_from_the_10_to_the_90_percent_quantile():
    prediction = predict(QUERY, [run(second) for second in range(1, 12)], {})
    assert prediction.seconds == Range(Decimal(2), Decimal(6), Decimal(10))
