"""Figures: a claim as their title, units on their axes, nothing left open."""

import re
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from flightdelay import evaluate, facts, figures, split

mpl.use("Agg")

CLAIM = "late flights have a reason that is as long as this sentence, which is longer than a line of the figure"
LATE = np.array([True, False] * 200)
SCORES = np.linspace(0.01, 0.99, 400)
UNITS = re.compile(
    r"\((min|mi|%|share|probability|local time|1 is January|0\.5 is chance|0 to 1)|^flights|^air(port|line)"
)
"""What an axis measures: a unit in brackets, or things that are counted or named."""


@pytest.fixture(scope="module")
def scored() -> pd.DataFrame:
    hours = [hour % 24 for hour in range(400)]
    frame = pd.DataFrame({"origin": ["EWR", "JFK"] * 200, "dep_hour_local": hours, "late": LATE, "score": SCORES})
    return frame.assign(origin=frame["origin"].where(frame.index < 300, "LGA"))


@pytest.fixture(scope="module")
def drawn(year, built, scored) -> dict:
    sample = built.iloc[::50]
    parts = split.by_time(sample, calibrate_from="2013-10-01", holdout_from="2013-11-01", late_after_min=15)
    late = {"late_after_min": 15}
    curve = evaluate.calibration_curve(LATE, SCORES)
    slices = evaluate.slice_metrics(scored, columns=("origin", "dep_hour_local"))
    one_class = [{**slices[0], "roc_auc": None, "low": None, "high": None}, *slices[1:]]
    models = ("model", "baseline", "champion")
    importance = pd.DataFrame({"feature": ["a", "b"], "cost": [0.2, 0.1], "low": [0.1, 0.1], "high": [0.3, 0.1]})
    names = {"UA": "United Air Lines Inc."}
    return {
        "durations": figures.durations(year["flights"].iloc[::50], max_duration_min=720, claim=CLAIM),
        "delays": figures.delays(facts.delay_counts(sample), **late, claim=CLAIM),
        "lateness_by_hour": figures.lateness_by_hour(facts.lateness_by(sample, "dep_hour_local", **late), claim=CLAIM),
        "lateness_by_carrier": figures.lateness_by_carrier(
            facts.lateness_by(sample, "carrier", **late), names, claim=CLAIM
        ),
        "late_rate_by_tenth": figures.late_rate_by_tenth(
            facts.late_by_tenth(sample, "origin_3h_delay_min", **late), xlabel="recent delay (min)", claim=CLAIM
        ),
        "split_by_month": figures.split_by_month({"train": parts.train, "holdout": parts.holdout}, claim=CLAIM),
        "importance": figures.importance(importance, claim=CLAIM),
        "ranking": figures.ranking(
            dict.fromkeys(models, evaluate.ranking_curve(LATE, SCORES)),
            dict.fromkeys(models, evaluate.metrics(LATE, SCORES)),
            0.5,
            claim=CLAIM,
        ),
        "calibration": figures.calibration(dict.fromkeys(models, curve), dict.fromkeys(models, SCORES), claim=CLAIM),
        "slices": figures.slices({"model": slices, "champion": one_class}, ["origin", "dep_hour_local"], claim=CLAIM),
        "thresholds": figures.thresholds(evaluate.thresholds(LATE, SCORES), claim=CLAIM),
    }


NAMES = (
    "durations", "delays", "lateness_by_hour", "lateness_by_carrier", "late_rate_by_tenth", "split_by_month",
    "importance", "ranking", "calibration", "slices", "thresholds",
)  # fmt: skip


def test_every_figure_is_drawn_here():
    public = {name for name, value in vars(figures).items() if getattr(value, "__module__", "") == figures.__name__}
    assert {name for name in public if not name.startswith("_")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_has_its_claim_as_title_and_says_what_its_axes_measure(drawn, name, tmp_path):
    figure = drawn[name]
    figure.savefig(tmp_path / "figure.png", dpi=40)
    assert (tmp_path / "figure.png").stat().st_size > 1_000
    assert figure.get_suptitle().replace("\n", " ") == CLAIM.replace("late", "Late", 1)
    labels = [label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel()) if label]
    assert len(labels) >= 2 or name == "importance"
    assert all(UNITS.search(label) for label in labels), labels


@pytest.mark.parametrize("name", NAMES)
def test_no_label_lies_over_another_one_or_beyond_the_figure(drawn, name):
    figure = drawn[name]
    figure.draw_without_rendering()
    axis_labels = [axis.label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) if axis.label.get_text()]
    titles = [axes.title for axes in figure.axes if axes.title.get_text()]
    texts = [figure._suptitle, *titles, *axis_labels]
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            first, last = sorted(axis.get_view_interval())
            ticks = [
                tick.label1
                for tick in axis.get_major_ticks()
                if tick.label1.get_visible() and tick.label1.get_text() and first <= tick.get_loc() <= last
            ]
            texts += ticks
    boxes = [text.get_window_extent() for text in texts]
    for (text, box), (other_text, other_box) in combinations(zip(texts, boxes, strict=True), 2):
        assert not box.overlaps(other_box), f"{text.get_text()!r} lies over {other_text.get_text()!r}"
    page = figure.bbox.padded(2)
    beyond = [
        text.get_text()
        for text, box in zip(texts, boxes, strict=True)
        if not all(page.contains(*corner) for corner in (box.min, box.max))
    ]
    assert not beyond


def test_no_figure_stays_open_to_be_shown_a_second_time(drawn):
    from matplotlib import pyplot as plt

    assert drawn
    assert plt.get_fignums() == []


def test_every_slice_has_its_place_also_where_it_has_no_ranking(drawn):
    first, second = drawn["slices"].axes
    assert [text.get_text() for text in first.get_xticklabels()] == ["EWR", "JFK", "LGA"]
    assert [text.get_text() for text in second.get_xticklabels()] == [str(hour) for hour in range(24)]


def test_parts_of_a_split_have_colours_of_their_own(drawn):
    colours = {patch.get_facecolor() for patch in drawn["split_by_month"].axes[0].patches}
    assert len(colours) == 2


def test_models_differ_in_colour_and_in_dashes(drawn):
    lines = [line for line in drawn["ranking"].axes[0].lines if line.get_label().startswith(("model", "base", "champ"))]
    assert len({line.get_color() for line in lines}) == len({line.get_linestyle() for line in lines}) == 3


def test_an_airline_without_a_name_is_shown_by_its_code_and_the_most_punctual_is_on_top(drawn, built):
    rates, _ = drawn["lateness_by_carrier"].axes
    labels = [text.get_text() for text in rates.get_yticklabels()]
    assert any(label.startswith("United Air Lines Inc. (") for label in labels)
    assert any(label.startswith("B6 (") for label in labels)
    ((dots, *_),) = rates.containers
    assert list(dots.get_xdata()) == sorted(dots.get_xdata(), reverse=True)


def test_every_delay_is_in_one_bar_also_within_the_minutes_of_a_bar_and_beyond_the_axis():
    counts = pd.DataFrame({"arr_delay_min": [-999, 16, 17, 18, 999], "rows": [1, 1, 1, 1, 1]})
    figure = figures.delays(counts, late_after_min=17, claim=CLAIM)
    bars = {bar.get_x(): (bar.get_y(), bar.get_height()) for bar in figure.axes[0].containers[1] if bar.get_height()}
    assert bars == {15: pytest.approx((0.2, 0.4)), 175: pytest.approx((0, 0.2))}
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["punctual: 40%", "late: 60%"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short", ["short"]),
        ("aaaa bbbb cccc dd", ["aaaa bbbb", "cccc dd"]),
        ("", [""]),
    ],
)
def test_a_title_is_broken_into_lines_of_about_the_same_length(text, lines):
    assert figures._wrapped(text, 15).split("\n") == lines
