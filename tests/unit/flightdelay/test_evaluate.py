import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from flightdelay import evaluate, model, split
from stagebook.model.gate import HIGHER_IS_BETTER

pytestmark = pytest.mark.slow  # reads the real year


def drawn(rows: int, seed: int = 13, *, steps: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes, and scores that are their probabilities; with `steps`, scores have many ties."""
    chance = np.random.default_rng(seed)
    scores = chance.beta(2, 5, rows)
    late = chance.random(rows) < scores
    return late, scores if steps is None else np.round(scores * steps) / steps


@pytest.mark.parametrize("steps", [None, 5], ids=["no ties", "many ties"])
def test_metrics_are_those_of_scikit_learn(steps):
    late, scores = drawn(3_000, steps=steps)
    actual = evaluate.metrics(late, scores)
    assert actual["roc_auc"] == pytest.approx(sk.roc_auc_score(late, scores), abs=1e-12)
    assert actual["average_precision"] == pytest.approx(sk.average_precision_score(late, scores), abs=1e-12)
    assert actual["log_loss"] == pytest.approx(sk.log_loss(late, np.clip(scores, 1e-15, 1 - 1e-15)), abs=1e-12)
    assert actual["brier"] == pytest.approx(sk.brier_score_loss(late, scores), abs=1e-12)


def test_metrics_carry_the_names_that_a_gate_may_use():
    assert set(evaluate.metrics(*drawn(500))) == set(HIGHER_IS_BETTER)


def test_metrics_are_finite_where_a_score_is_certain_and_wrong():
    actual = evaluate.metrics([True, False, True], [0.0, 1.0, 0.5])
    assert all(np.isfinite(value) for value in actual.values())


def test_arrow_columns_are_taken_as_they_come():
    late, scores = drawn(200)
    frame = pd.DataFrame({"late": late, "score": scores}).convert_dtypes(dtype_backend="pyarrow")
    assert evaluate.metrics(frame["late"], frame["score"]) == evaluate.metrics(late, scores)


@pytest.mark.parametrize(
    ("late", "scores", "message"),
    [
        ([], [], r"0 outcomes and 0 scores"),
        ([True, False], [0.5], r"2 outcomes and 1 scores"),
        ([True, False], [0.5, 1.1], r"scores must be probabilities from 0 to 1, none missing"),
        ([True, False], [0.5, float("nan")], r"scores must be probabilities from 0 to 1, none missing"),
        ([True, True], [0.5, 0.6], r"all flights are of one class"),
        ([False], [0.5], r"all flights are of one class"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(late, scores, message):
    with pytest.raises(ValueError, match=message):
        evaluate.metrics(late, scores)


def test_a_perfectly_calibrated_score_has_a_small_error_and_a_shifted_one_a_large_one():
    late, scores = drawn(200_000)
    assert evaluate.metrics(late, scores)["calibration_error"] < 0.005
    assert evaluate.metrics(late, scores * 0.5)["calibration_error"] == pytest.approx(scores.mean() / 2, abs=0.005)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(0, 10_000), st.sampled_from([None, 1, 3, 10]), st.integers(1, 30))
def test_a_calibration_curve_holds_every_flight_once_whatever_the_ties(rows, seed, steps, bins):
    late, scores = drawn(rows, seed, steps=steps)
    curve = evaluate.calibration_curve(late, scores, bins)
    assert curve["rows"].sum() == rows
    assert len(curve) <= bins
    assert np.average(curve["mean_score"], weights=curve["rows"]) == pytest.approx(scores.mean())
    assert np.average(curve["late_rate"], weights=curve["rows"]) == pytest.approx(late.mean())
    assert curve["mean_score"].is_monotonic_increasing
    within = (curve["low"] <= curve["late_rate"] + 1e-9) & (curve["late_rate"] <= curve["high"] + 1e-9)
    assert within.all()


def test_a_calibration_curve_does_not_depend_on_the_order_of_the_flights():
    late, scores = drawn(500, steps=20)
    order = np.random.default_rng(1).permutation(500)
    expected = evaluate.calibration_curve(late, scores)
    pd.testing.assert_frame_equal(evaluate.calibration_curve(late[order], scores[order]), expected)


@pytest.mark.parametrize("steps", [None, 20], ids=["no ties", "many ties"])
@pytest.mark.parametrize("rows", [50, 5_000])
def test_points_of_a_ranking_curve_lie_on_the_curves_of_scikit_learn(steps, rows):
    late, scores = drawn(rows, steps=steps)
    curve = evaluate.ranking_curve(late, scores)
    false_positive_rate, recall, _ = sk.roc_curve(late, scores, drop_intermediate=False)
    precisions, recalls, _ = sk.precision_recall_curve(late, scores)
    assert set(zip(curve["false_positive_rate"], curve["recall"], strict=True)) <= set(
        zip(false_positive_rate, recall, strict=True)
    )
    assert set(zip(curve["precision"], curve["recall"], strict=True)) <= set(zip(precisions, recalls, strict=True))
    assert len(curve) == min(evaluate.CURVE_POINTS, len(np.unique(scores)))
    assert curve.iloc[-1].to_dict() == {"recall": 1, "false_positive_rate": 1, "precision": pytest.approx(late.mean())}
    assert curve["recall"].is_monotonic_increasing
    area = np.trapezoid([0, *curve["recall"]], [0, *curve["false_positive_rate"]])
    assert area == pytest.approx(evaluate.roc_auc(late, scores), abs=1e-3)


def test_a_ranking_curve_needs_both_classes():
    with pytest.raises(ValueError, match="all flights are of one class"):
        evaluate.ranking_curve([True, True], [0.1, 0.2])


@pytest.fixture(scope="module")
def fitted(built):
    """A model of three features, of which one is the same in every flight, and the hold-out."""
    sample = (
        built.iloc[::20].reset_index(drop=True).assign(seats=pd.array([100] * len(built.iloc[::20]), "int16[pyarrow]"))
    )
    parts = split.by_time(sample, calibrate_from="2013-10-01", holdout_from="2013-11-01", late_after_min=15)
    names = ["carrier", "dep_hour_local", "seats"]
    return model.fit(parts.train, parts.calibrate, names, max_iter=10), parts.holdout


def test_the_feature_that_tells_most_is_the_most_important_and_a_constant_one_costs_nothing(fitted):
    table = evaluate.feature_importance(*fitted, seed=13)
    assert list(table["feature"]) == ["dep_hour_local", "carrier", "seats"]
    assert table.iloc[0]["cost"] > 0.03
    assert table.iloc[-1][["cost", "low", "high"]].tolist() == [0, 0, 0]
    assert (table["low"] <= table["cost"]).all()
    assert (table["cost"] <= table["high"]).all()


def test_importance_is_what_is_lost_when_one_column_is_shuffled(fitted):
    fitted_model, holdout = fitted
    rows, chance = 500, np.random.default_rng(7)
    sample = holdout.iloc[np.sort(chance.permutation(len(holdout))[:rows])]
    late = model.labels(sample)
    intact = evaluate.roc_auc(late, model.score(fitted_model, sample))
    expected = {}
    for name in model.features_of(fitted_model):
        order = chance.permutation(rows)
        shuffled = sample.assign(**{name: sample[name].take(order).to_numpy(dtype=object)})
        expected[name] = intact - evaluate.roc_auc(late, model.score(fitted_model, shuffled))
    table = evaluate.feature_importance(fitted_model, holdout, seed=7, rows=rows, repeats=1)
    assert table.set_index("feature")["cost"].to_dict() == pytest.approx(expected)


def test_importance_is_the_same_for_the_same_seed(fitted):
    first, second, other_seed = (evaluate.feature_importance(*fitted, seed=seed, rows=300) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, second)
    assert not first["cost"].equals(other_seed["cost"])


def test_the_interval_covers_the_true_ranking_as_often_as_it_says():
    truth = evaluate.roc_auc(*drawn(400_000, seed=1))
    inside = 0
    for seed in range(200):
        low, high = evaluate.roc_auc_interval(*drawn(300, seed=seed + 2))
        inside += low <= truth <= high
    assert 180 <= inside <= 199


@pytest.mark.parametrize(
    ("late", "scores", "interval"),
    [
        ([True, False, False], [0.9, 0.1, 0.2], (0.0, 1.0)),
        ([True, True, False, False], [0.9, 0.8, 0.1, 0.2], (1.0, 1.0)),
        ([True, True, False, False], [0.5, 0.5, 0.5, 0.5], (0.5, 0.5)),
    ],
    ids=["one late flight", "perfect", "all equal"],
)
def test_the_interval_at_its_edges(late, scores, interval):
    assert evaluate.roc_auc_interval(np.array(late), np.array(scores)) == interval


@pytest.fixture
def scored() -> pd.DataFrame:
    late, scores = drawn(900)
    frame = pd.DataFrame(
        {
            "origin": ["EWR", "JFK", "LGA"] * 300,
            "carrier": ["HA" if row < 3 else "UA" for row in range(900)],
            "dep_hour_local": [row % 12 + 5 for row in range(900)],
            "late": [False] * 3 + late.tolist()[3:],
            "score": scores,
            "baseline_score": np.full(900, 0.3),
        }
    )
    return frame.convert_dtypes(dtype_backend="pyarrow")


def test_slices_cover_every_row_once_per_column_in_order(scored):
    slices = evaluate.slice_metrics(scored)
    for column in evaluate.SLICES:
        assert sum(row["rows"] for row in slices if row["column"] == column) == 900
    assert [row["value"] for row in slices if row["column"] == "origin"] == ["EWR", "JFK", "LGA"]
    assert [row["value"] for row in slices if row["column"] == "dep_hour_local"] == [str(hour) for hour in range(5, 17)]


def test_a_slice_has_the_metrics_of_its_rows_and_an_interval_around_them(scored):
    (jfk,) = (row for row in evaluate.slice_metrics(scored) if row["value"] == "JFK")
    rows = scored[scored["origin"] == "JFK"]
    assert {name: jfk[name] for name in HIGHER_IS_BETTER} == evaluate.metrics(rows["late"], rows["score"])
    assert jfk["low"] < jfk["roc_auc"] < jfk["high"]
    assert set(jfk) == {"column", "value", "rows", *HIGHER_IS_BETTER, "low", "high"}


def test_a_slice_of_one_class_has_no_ranking(scored):
    (hawaiian,) = (row for row in evaluate.slice_metrics(scored) if row["value"] == "HA")
    assert [hawaiian[name] for name in ("roc_auc", "average_precision", "low", "high")] == [None] * 4
    assert hawaiian["rows"] == 3
    assert hawaiian["brier"] > 0


def test_slices_of_other_scores_are_those_of_the_same_rows(scored):
    for row in evaluate.slice_metrics(scored, scored["baseline_score"], columns=("origin",)):
        assert row["roc_auc"] == 0.5


def test_thresholds_say_what_flagging_brings():
    late = [True, True, False, False]
    table = evaluate.thresholds(late, [0.9, 0.4, 0.4, 0.1], at=[0.1, 0.4, 0.5, 0.95])
    assert table["precision"].tolist() == [0.5, 2 / 3, 1.0, pd.NA]
    assert table["recall"].tolist() == [1.0, 1.0, 0.5, 0.0]
    assert table["flagged_share"].tolist() == [1.0, 0.75, 0.25, 0.0]


def test_recall_is_null_where_nothing_was_late():
    assert evaluate.thresholds([False], [0.3], at=[0.1])["recall"].isna().all()
    assert evaluate.thresholds([False], [0.3])["threshold"].tolist() == [round(0.05 * step, 2) for step in range(1, 20)]


def test_features_are_aligned_with_scores_by_key_not_by_place(built):
    sample = built.iloc[1_000:1_200]
    shuffled = sample.sample(frac=1, random_state=13)
    aligned = evaluate.align(built.head(5_000), shuffled)
    pd.testing.assert_frame_equal(aligned[list(built)], shuffled.reset_index(drop=True))


def test_scored_flights_that_have_no_features_are_counted_and_refused(built):
    with pytest.raises(ValueError, match=r"3 of 10 scored flights are not among the features"):
        evaluate.align(built.iloc[3:100], built.head(10))
