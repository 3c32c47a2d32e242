from datetime import date

import numpy as np
import pandas as pd
import pytest

from flightdelay import baseline, card, evaluate, model, schema, serve, split


@pytest.fixture(scope="module")
def parts(built) -> split.Split:
    tenth = built.iloc[::10].reset_index(drop=True)
    return split.by_time(tenth, calibrate_from="2013-10-01", holdout_from="2013-11-01", late_after_min=15)


@pytest.fixture(scope="module")
def fitted(parts):
    return model.fit(parts.train, parts.calibrate, schema.MODEL_FEATURES, max_iter=5)


@pytest.fixture(scope="module")
def december(built) -> pd.DataFrame:
    return built[built["month"] == 12]


@pytest.fixture(scope="module")
def scored(fitted, parts) -> pd.DataFrame:
    return evaluate.holdout_scores(fitted, baseline.fit(parts.train), parts.holdout)


@pytest.mark.parametrize(
    ("month", "first", "after"),
    [
        ("2013-12", date(2013, 12, 1), date(2014, 1, 1)),
        ("2013-01", date(2013, 1, 1), date(2013, 2, 1)),
        ("2012-02", date(2012, 2, 1), date(2012, 3, 1)),
    ],
)
def test_a_month_goes_from_its_first_day_to_before_the_next(month, first, after):
    assert serve.month_filter(month) == [("dep_date_local", ">=", first), ("dep_date_local", "<", after)]


@pytest.mark.parametrize("month", ["2013", "2013-13", "December", "2013-12-01"])
def test_what_is_no_month_is_refused(month):
    with pytest.raises(ValueError, match=rf"month is not of the form yyyy-mm: '{month}'"):
        serve.month_filter(month)


def test_predictions_hold_every_scheduled_flight_of_the_month_cancelled_ones_too(
    fitted, december, types, keys_and_nulls
):
    predicted = serve.predictions(fitted, december, model_version="3", month="2013-12")
    types(predicted, schema.PREDICTIONS)
    keys_and_nulls(predicted, schema.PREDICTIONS)
    assert len(predicted) == 28_135
    assert predicted["score"].between(0, 1).all()
    assert set(predicted["model_version"]) == {"3"}


def test_predictions_do_not_depend_on_the_order_of_the_rows(fitted, december):
    flights = december.head(500)
    expected = serve.predictions(fitted, flights, model_version="3", month="2013-12")
    shuffled = serve.predictions(fitted, flights.sample(frac=1, random_state=13), model_version="3", month="2013-12")
    pd.testing.assert_frame_equal(shuffled, expected)


def test_a_month_without_flights_is_refused(fitted, december):
    with pytest.raises(ValueError, match=r"no flight is scheduled in 2014-01"):
        serve.predictions(fitted, december.head(0), model_version="3", month="2014-01")


def test_holdout_scores_have_the_declared_columns_and_types(scored, types, keys_and_nulls):
    types(scored, schema.HOLDOUT_SCORES)
    keys_and_nulls(scored, schema.HOLDOUT_SCORES)


def test_serving_gives_the_scores_of_training(fitted, december, scored):
    predicted = serve.predictions(fitted, december, model_version="3", month="2013-12")
    shared, gap = serve.largest_gap(predicted, scored)
    assert shared == (scored["dep_date_local"] >= date(2013, 12, 1)).sum() > 2_000
    assert gap <= 1e-12


def test_a_score_that_differs_is_seen(scored):
    changed = scored.assign(score=scored["score"].where(np.arange(len(scored)) != 5, scored["score"] + 0.001))
    assert serve.largest_gap(changed, scored) == (len(scored), pytest.approx(0.001))
    assert serve.largest_gap(scored.head(0), scored) == (0, 0.0)


def test_the_threshold_table_has_the_declared_columns_and_types(scored, types, keys_and_nulls):
    table = serve.threshold_table(scored["late"], scored["score"], model_version="3")
    types(table, schema.THRESHOLDS)
    keys_and_nulls(table, schema.THRESHOLDS)
    assert len(table) == 19


def test_the_model_card_has_figures_slices_thresholds_and_limits(fitted, scored):
    page = card.model_card(
        name="flight_delay",
        model_version="3",
        month="2013-12",
        features=model.features_of(fitted),
        metrics=evaluate.metrics(scored["late"], scored["score"]),
        baseline=evaluate.metrics(scored["late"], scored["baseline_score"]),
        slices=evaluate.slice_metrics(scored),
        thresholds=serve.threshold_table(scored["late"], scored["score"], model_version="3"),
        late_after_min=15,
        holdout=(scored["dep_date_local"].min(), scored["dep_date_local"].max(), len(scored)),
    )
    assert page.startswith("# flight_delay, version 3\n")
    for text in (
        f"On {len(scored):,} flights from 2013-11-01 to 2013-12-31",
        f"| ROC AUC (larger is better; 0.5 is chance) | {evaluate.metrics(scored['late'], scored['score'])['roc_auc']:.4f} |",
        "| origin JFK |",
        "| 0.50 |",
        "one class only",
        *card.CAVEATS,
        *(f"`{name}`" for name in schema.MODEL_FEATURES),
    ):
        assert text in page
    tables = [line.count("|") for line in page.splitlines() if line.startswith("|")]
    assert set(tables) <= {4, 5, 6}


@pytest.mark.parametrize("name", list(schema.TABLES))
def test_the_consumer_schema_names_every_column(schemas, name):
    page = card.consumer_schema(schemas[name])
    assert all(f"| `{column.name}` | {column.kind.value} |" in page for column in schemas[name].columns)
