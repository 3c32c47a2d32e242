import pandas as pd
import pytest

from flightdelay import baseline


def flights(*rows: tuple[str, int, bool]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["carrier", "dep_hour_local", "late"])
    return frame.convert_dtypes(dtype_backend="pyarrow")


def test_a_rate_is_drawn_towards_the_overall_one():
    fitted = baseline.fit(
        flights(("UA", 8, True), ("UA", 8, True), ("B6", 9, False), ("B6", 9, False)), prior_flights=2
    )
    assert fitted.overall == 0.5
    assert fitted.score(flights(("UA", 8, False), ("B6", 9, False))).tolist() == [0.75, 0.25]


def test_without_a_prior_a_rate_is_the_share_of_late_flights():
    fitted = baseline.fit(flights(("UA", 8, True), ("UA", 8, False), ("UA", 9, True)), prior_flights=0)
    assert fitted.score(flights(("UA", 8, False), ("UA", 9, False))).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("unseen", [("XX", 8), ("UA", 3)], ids=["carrier", "hour"])
def test_what_was_never_seen_has_the_overall_rate(unseen):
    fitted = baseline.fit(flights(("UA", 8, True), ("UA", 9, False), ("UA", 9, False), ("UA", 9, False)))
    assert fitted.score(flights((*unseen, False))).tolist() == [0.25]


def test_scores_come_in_the_order_of_the_rows():
    fitted = baseline.fit(flights(("UA", 8, True), ("B6", 8, False)), prior_flights=0)
    rows = flights(("B6", 8, False), ("UA", 8, False), ("B6", 8, False))
    assert fitted.score(rows).tolist() == [0.0, 1.0, 0.0]
    assert fitted.score(rows.head(0)).tolist() == []


def test_nothing_gives_no_rate():
    with pytest.raises(ValueError, match=r"no flights to take a late rate from"):
        baseline.fit(flights())
