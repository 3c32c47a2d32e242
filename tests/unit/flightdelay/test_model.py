import numpy as np
import pandas as pd
import pytest
import skops.io

from flightdelay import baseline, evaluate, features, model, schema, split
from flightdelay.model import TRUSTED_TYPES


@pytest.fixture(scope="module")
def parts(built) -> split.Split:
    """A sixth of the real year, so that fitting is quick."""
    sixth = built.iloc[::6].reset_index(drop=True)
    return split.by_time(sixth, calibrate_from="2013-10-01", holdout_from="2013-11-01", late_after_min=15)


@pytest.fixture(scope="module")
def fitted(parts):
    return model.fit(parts.train, parts.calibrate, schema.MODEL_FEATURES, max_iter=15)


def test_the_model_beats_the_baseline_honestly_on_later_flights(fitted, parts):
    late = model.labels(parts.holdout)
    trees = evaluate.metrics(late, model.score(fitted, parts.holdout))
    rates = evaluate.metrics(late, baseline.fit(parts.train).score(parts.holdout))
    assert 0.65 < trees["roc_auc"] < 0.76, "above 0.75, suspect a leak"
    assert trees["roc_auc"] > rates["roc_auc"] + 0.05
    assert trees["log_loss"] < rates["log_loss"]
    assert trees["calibration_error"] < 0.05


def test_the_same_rows_and_seed_give_the_same_model(fitted, parts):
    refitted = model.fit(parts.train, parts.calibrate, schema.MODEL_FEATURES, max_iter=15)
    np.testing.assert_array_equal(model.score(refitted, parts.holdout), model.score(fitted, parts.holdout))


def test_the_seed_reaches_the_trees(parts):
    small = model.fit(parts.train, parts.calibrate, ["dep_hour_local"], max_iter=1, seed=7)
    assert small.estimator.estimator["trees"].random_state == 7


def test_a_stored_model_scores_the_same_and_needs_only_the_trusted_types(fitted, parts):
    stored = skops.io.dumps(fitted)
    assert set(skops.io.get_untrusted_types(data=stored)) == set(TRUSTED_TYPES)
    loaded = skops.io.loads(stored, trusted=TRUSTED_TYPES)
    np.testing.assert_array_equal(model.score(loaded, parts.holdout), model.score(fitted, parts.holdout))
    assert model.features_of(loaded) == list(schema.MODEL_FEATURES)


def test_scores_do_not_depend_on_the_rows_around_them(fitted, parts):
    sample = parts.holdout.head(300)
    expected = model.score(fitted, sample)
    assert ((expected > 0) & (expected < 1)).all()
    np.testing.assert_array_equal(model.score(fitted, sample.iloc[::-1])[::-1], expected)
    np.testing.assert_array_equal(model.score(fitted, sample.iloc[7:8]), expected[7:8])
    assert model.score(fitted, sample.head(0)).tolist() == []


@pytest.mark.parametrize("column", features.CATEGORICAL)
def test_a_name_that_was_never_seen_counts_as_missing(fitted, parts, column):
    sample = parts.holdout.head(50)
    unseen = sample.assign(**{column: pd.array(["??"] * 50, dtype=sample[column].dtype)})
    missing = sample.assign(**{column: pd.array([None] * 50, dtype=sample[column].dtype)})
    np.testing.assert_array_equal(model.score(fitted, unseen), model.score(fitted, missing))


def test_a_model_can_learn_from_fewer_features_and_needs_no_others(parts):
    names = ["dep_hour_local", "carrier", "origin_3h_delay_min"]
    small = model.fit(parts.train, parts.calibrate, names, max_iter=5)
    assert model.features_of(small) == names
    only = parts.holdout[names].head(20)
    np.testing.assert_array_equal(model.score(small, only), model.score(small, parts.holdout.head(20)))


def test_the_design_matrix_is_floats_with_nan_and_text_with_none(parts):
    matrix = model.design_matrix(parts.holdout.head(200), schema.MODEL_FEATURES)
    assert list(matrix) == list(schema.MODEL_FEATURES)
    for name in matrix:
        assert matrix[name].dtype == (object if name in features.CATEGORICAL else np.dtype("float64"))
    missing = matrix["engine_type"].isna()
    assert missing.any()
    assert all(value is None for value in matrix.loc[missing, "engine_type"])


def test_an_example_is_a_few_rows_as_the_model_takes_them(fitted, parts):
    example = model.example(parts.holdout, model.features_of(fitted))
    assert example.shape == (5, len(schema.MODEL_FEATURES))
    np.testing.assert_array_equal(fitted.predict_proba(example)[:, 1], model.score(fitted, parts.holdout.head(5)))


def test_a_frame_without_a_feature_is_refused_by_name(fitted, parts):
    with pytest.raises(ValueError, match=r"the frame lacks the features temp_f, seats|seats, temp_f"):
        model.score(fitted, parts.holdout.drop(columns=["temp_f", "seats"]))


@pytest.mark.parametrize(
    ("keep", "message"),
    [("none", r"'train' has 0 of the two classes"), ("late", r"'train' has 1 of the two classes")],
)
def test_there_is_nothing_to_learn_from_one_class(parts, keep, message):
    train = parts.train.head(0) if keep == "none" else parts.train[parts.train["late"]].head(50)
    with pytest.raises(ValueError, match=message):
        model.fit(train, parts.calibrate, ["dep_hour_local"])


def test_a_missing_label_is_refused(built):
    unknown = built.head(3).assign(late=pd.array([True, None, False], dtype="bool[pyarrow]"))
    with pytest.raises(ValueError, match=r"'late' is null in 1 rows: drop flights without arrival first"):
        model.labels(unknown)
