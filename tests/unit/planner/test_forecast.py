"""What is known of a stage beforehand, in words."""

from decimal import Decimal

import pytest

from stagebook.model.pricing import Range
from stagebook.planner.forecast import Forecast, total


def figures(low: str, likely: str, high: str) -> Range:
    return Range(Decimal(low), Decimal(likely), Decimal(high))


@pytest.mark.parametrize(
    ("seconds", "usd", "told"),
    [
        (figures("9", "10", "12"), figures("0.2", "0.3", "0.5"), "about 10.0 s (9.0 s to 12.0 s) from 3 runs; about 0.30 USD (0.20 USD to 0.50 USD)"),
        (figures("10", "10", "10.01"), figures("0.3", "0.3", "0.301"), "about 10.0 s from 3 runs; about 0.30 USD"),
        (figures("9", "10", "12"), None, "about 10.0 s (9.0 s to 12.0 s) from 3 runs; no price"),
        (None, figures("0.3", "0.3", "0.3"), "from 3 runs; 0.30 USD to start its cluster"),
    ],
)  # fmt: skip
def test_a_range_is_told_where_anybody_could_see_one(seconds, usd, told):
    assert Forecast("pandas", "", seconds, usd, "from 3 runs").to_text() == told


def test_the_total_names_the_stages_of_which_nothing_is_known():
    known = Forecast("pandas", "", figures("1", "1", "1"), figures("0.2", "0.2", "0.2"))
    unknown = Forecast("pandas", "", None, figures("0.1", "0.1", "0.1"))
    assert total({"prep": known, "fit": unknown}) == "about 0.30 USD, and what fit will take"
    assert total({"prep": Forecast("pandas", "")}) == ""
