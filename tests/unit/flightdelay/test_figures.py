import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from flightdelay import evaluate, figures, split

mpl.use("Agg")

LATE = np.array([True, False] * 200)
SCORES = np.linspace(0.01, 0.99, 400)


@pytest.fixture(scope="module")
def scored() -> pd.DataFrame:
    frame = pd.DataFrame({"origin": ["EWR", "JFK"] * 200, "late": LATE, "score": SCORES})
    return frame.assign(origin=frame["origin"].where(frame.index < 300, "LGA"))


@pytest.fixture(scope="module")
def drawn(year, built, scored) -> dict:
    few = built.iloc[::50]
    parts = split.by_time(few, calibrate_from="2013-10-01", holdout_from="2013-11-01", late_after_min=15)
    curve = evaluate.calibration_curve(LATE, SCORES)
    slices = evaluate.slice_metrics(scored, columns=("origin",))
    one_class = [{**slices[0], "roc_auc": None, "low": None, "high": None}, *slices[1:]]
    return {
        "durations": figures.durations(year["flights"].iloc[::50]),
        "late_rate_by": figures.late_rate_by(few, "origin_3h_delay_min", unit="min", late_after_min=15),
        "split_by_month": figures.split_by_month({"train": parts.train, "holdout": parts.holdout}),
        "calibration": figures.calibration({"model": curve, "baseline": curve}),
        "slices": figures.slices({"model": slices, "champion": one_class}, "origin"),
        "thresholds": figures.thresholds(evaluate.thresholds(LATE, SCORES)),
    }


@pytest.mark.parametrize("name", ["durations", "late_rate_by", "split_by_month", "calibration", "slices", "thresholds"])
def test_a_figure_has_a_title_and_says_what_its_axes_measure(drawn, name, tmp_path):
    figure = drawn[name]
    axes = figure.axes[0]
    assert axes.get_title()
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    figure.savefig(tmp_path / "figure.png", dpi=40)
    assert (tmp_path / "figure.png").stat().st_size > 1_000


def test_no_figure_stays_open_to_be_shown_a_second_time(drawn):
    from matplotlib import pyplot as plt

    assert drawn
    assert plt.get_fignums() == []


def test_every_slice_has_its_place_also_where_it_has_no_ranking(drawn):
    labels = [text.get_text() for text in drawn["slices"].axes[0].get_xticklabels()]
    assert labels == ["EWR", "JFK", "LGA"]


def test_parts_of_a_split_have_colours_of_their_own(drawn):
    colours = {patch.get_facecolor() for patch in drawn["split_by_month"].axes[0].patches}
    assert len(colours) == 2


def test_tenths_have_rising_means_and_leave_out_what_is_missing(built):
    few = built.iloc[::50]
    table = figures.late_by_tenth(few, "origin_3h_delay_min", late_after_min=15)
    assert len(table) == 10
    assert table["mean"].is_monotonic_increasing
    assert table["rows"].sum() == few[["origin_3h_delay_min", "arr_delay_min"]].dropna().shape[0]
    assert table["late_rate"].iloc[-1] > 2 * table["late_rate"].iloc[0]


def test_halves_go_up_to_the_next_whole_number_on_either_side_of_zero():
    """0.5 and 1.4 are one value, 1.5 is another: rounded to even numbers 0.5 would fall to 0."""
    values = pd.DataFrame({"mean": [-0.5, 0.4, 0.5, 1.4, 1.5], "arr_delay_min": [20, 0, 20, 20, 0]})
    table = figures.late_by_tenth(values.convert_dtypes(dtype_backend="pyarrow"), "mean", late_after_min=15)
    assert table["rows"].tolist() == [2, 2, 1]
    assert table["late_rate"].tolist() == [0.5, 1.0, 0.0]
