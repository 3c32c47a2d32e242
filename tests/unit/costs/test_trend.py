"""The trend of cost and time: which runs count, which changes are marked, and how certain a comparison is."""

from dataclasses import replace
from decimal import Decimal

import pytest

from stagebook.costs.trend import RelativeChange, TrendPoint, compare, index_since, trend_points
from stagebook.errors import ConfigError
from stagebook.model.record import Attempt, AttemptStatus, RunRecord, RunSession, RunStatus, StageRecord, StageStatus


def run(name="r", *, status="succeeded", stage="succeeded", seconds=10.0, **settings) -> RunRecord:
    fit = StageRecord("fit", "fit.py", [], StageStatus(stage), engine=settings.get("engine", "pandas"))
    if stage == "succeeded":
        fit.attempts = [Attempt(1, AttemptStatus.SUCCEEDED, "2026-11-25T10:00:00+00:00", "n", seconds=seconds)]
    sessions = [RunSession("2026-11-25T10:00:00+00:00", {"fit": settings.get("profile")})]
    git = {"commit": settings.get("commit", "a" * 40), "dirty": False}
    return RunRecord(name, "demo", "t", RunStatus(status), stages={"fit": fit}, git=git, sessions=sessions)


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        (run(), run(), ()),
        (run(), run(commit="b" * 40), ("code",)),
        (run(), run(engine="spark"), ("engine",)),
        (run(), run(profile="small"), ("profile",)),
        (run(), run(stage="reused"), ("reuse",)),
        (run(), run(commit="b" * 40, engine="spark", profile="small"), ("code", "engine", "profile")),
    ],
)
def test_changes_since_the_run_before_are_marked(before, after, changes):
    assert [point.changes for point in trend_points([before, after])] == [(), changes]


def test_only_runs_that_succeeded_count():
    points = trend_points([run("one"), run("two", status="failed", commit="b" * 40), run("three", seconds=7.5)])
    assert [(point.run_id, point.seconds, point.changes) for point in points] == [("one", 10, ()), ("three", 7.5, ())]


def series(before, after):
    base = TrendPoint("r", "2026-11-25T10:00:00Z", "a" * 40, 0, Decimal(0), Decimal(0), 0, 1, ())
    return [
        replace(base, run_id=f"r{n}", seconds=value, usd=Decimal(str(value)) / 100)
        for n, value in enumerate([*before, *after])
    ]


def test_a_difference_is_given_with_how_certain_it_is():
    comparison = compare(series([100, 101, 99, 100], [62, 61, 63, 62]), 4)
    change = comparison.seconds
    assert change.share == pytest.approx(-0.38)
    assert change.low is not None and change.high is not None
    assert -0.45 < change.low < -0.38 < change.high < -0.3
    assert comparison.usd.share == pytest.approx(-0.38)
    text = comparison.to_text()
    assert "cost -38 % (-39 to -37 %)" in text and "4 runs before, 4 runs since" in text


def test_the_range_of_a_difference_by_chance_alone_includes_zero():
    change = compare(series([80, 120, 95, 105, 100], [85, 118, 99, 102, 96]), 5).seconds
    assert change.low is not None and change.high is not None
    assert change.low < 0 < change.high


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ([], [1, 2], "nothing to compare with"),
        ([0, 0, 0], [1, 2, 3], "nothing to compare with"),
        ([10, 10], [5, 5], "-50 % (too few runs to say how sure that is)"),
        ([10, 10, 10], [10, 10, 10], "+0 % (+0 to +0 %)"),
    ],
)
def test_a_comparison_says_no_more_than_the_runs_show(before, after, text):
    assert compare(series(before, after), len(before)).seconds.to_text() == text


def test_since_takes_a_commit_a_run_or_a_date():
    points = trend_points([run("one"), run("two", commit="b" * 40), run("three", commit="b" * 40)])
    assert index_since(points, None) == 1
    assert index_since(points, "bbbbbbb") == 1
    assert index_since(points, "three") == 2
    assert index_since([replace(point, started_at="2026-11-25T10:00:00Z") for point in points], "2026-11-24") == 0
    with pytest.raises(ConfigError, match="--since: no run that succeeded is of commit"):
        index_since(points, "cccccccc")


def test_without_any_change_there_is_nothing_to_compare():
    assert index_since(trend_points([run("one"), run("two")]), None) is None
    assert RelativeChange(None).to_text() == "nothing to compare with"
