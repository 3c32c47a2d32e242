"""The trend of cost and time: which runs count, what is marked, and how sure a comparison is."""

from dataclasses import replace
from decimal import Decimal

import pytest

from stagebook.cost.trend import Change, Point, compare, place_of, points
from stagebook.errors import ConfigError
from stagebook.model.record import Attempt, AttemptStatus, Leg, RunRecord, RunStatus, StageRecord, StageStatus


def run(name="r", *, status="succeeded", stage="succeeded", seconds=10.0, **about) -> RunRecord:
    fit = StageRecord("fit", "fit.py", [], StageStatus(stage), engine=about.get("engine", "pandas"))
    if stage == "succeeded":
        fit.attempts = [Attempt(1, AttemptStatus.SUCCEEDED, "2026-11-25T10:00:00+00:00", "n", seconds=seconds)]
    legs = [Leg("2026-11-25T10:00:00+00:00", {"fit": about.get("profile")})]
    git = {"commit": about.get("commit", "a" * 40), "dirty": False}
    return RunRecord(name, "demo", "t", RunStatus(status), stages={"fit": fit}, git=git, legs=legs)


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
def test_what_changed_since_the_run_before_is_marked(before, after, changes):
    found = points([before, after])
    assert [point.changes for point in found] == [(), changes]


def test_only_runs_that_succeeded_count():
    found = points([run("one"), run("two", status="failed", commit="b" * 40), run("three", seconds=7.5)])
    assert [(point.run_id, point.seconds, point.changes) for point in found] == [("one", 10, ()), ("three", 7.5, ())]


def series(before, after):
    base = Point("r", "2026-11-25T10:00:00Z", "a" * 40, 0, Decimal(0), Decimal(0), 0, 1, ())
    return [
        replace(base, run_id=f"r{n}", seconds=value, usd=Decimal(str(value)) / 100)
        for n, value in enumerate([*before, *after])
    ]


def test_a_difference_is_told_with_how_sure_it_is():
    told = compare(series([100, 101, 99, 100], [62, 61, 63, 62]), 4)
    assert told.seconds.share == pytest.approx(-0.38)
    assert told.seconds.low is not None and told.seconds.high is not None
    assert -0.45 < told.seconds.low < -0.38 < told.seconds.high < -0.3
    assert told.usd.share == pytest.approx(-0.38)
    assert "cost -38 % (-39 to -37 %)" in told.to_text() and "4 runs before, 4 runs since" in told.to_text()


def test_runs_that_differ_by_chance_alone_have_a_range_around_nothing():
    told = compare(series([80, 120, 95, 105, 100], [85, 118, 99, 102, 96]), 5).seconds
    assert told.low is not None and told.high is not None
    assert told.low < 0 < told.high


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ([], [1, 2], "nothing to compare with"),
        ([0, 0, 0], [1, 2, 3], "nothing to compare with"),
        ([10, 10], [5, 5], "-50 % (too few runs to say how sure that is)"),
        ([10, 10, 10], [10, 10, 10], "+0 % (+0 to +0 %)"),
    ],
)
def test_what_cannot_be_said_is_not_said(before, after, told):
    assert compare(series(before, after), len(before)).seconds.to_text() == told


def test_since_takes_a_commit_a_run_or_a_date():
    found = points([run("one"), run("two", commit="b" * 40), run("three", commit="b" * 40)])
    assert place_of(found, None) == 1
    assert place_of(found, "bbbbbbb") == 1
    assert place_of(found, "three") == 2
    assert place_of([replace(point, started_at="2026-11-25T10:00:00Z") for point in found], "2026-11-24") == 0
    with pytest.raises(ConfigError, match="--since: no run that succeeded is of commit"):
        place_of(found, "cccccccc")


def test_without_any_change_there_is_nothing_to_compare():
    assert place_of(points([run("one"), run("two")]), None) is None
    assert Change(None).to_text() == "nothing to compare with"
