"""Budget limits: what is refused, and what counts for a month."""

import re
from decimal import Decimal

import pytest
from fixtures.run_builder import RunBuilder, rate_of

from stagebook.costs.budget import refusal, usd_in_month
from stagebook.model.pricing import Budget

D = Decimal


@pytest.mark.parametrize(
    ("budget", "run", "month", "expected", "reason"),
    [
        (Budget(), 1e9, 1e9, 1e9, None),
        (Budget(D(5)), 2, 100, 3, None),
        (Budget(D(5)), 2, 0, 3.0001, "max_usd_per_run is 5 USD.*2.0000.*3.0001 would come on top: 5.0001 USD"),
        (Budget(None, D(5)), 2, 1, 2, None),
        (Budget(None, D(5)), 2, 2, 2, "max_usd_per_month is 5 USD, the month has spent or reserved 4.0000"),
        (Budget(D(5), D(5)), 0, 6, 0, "max_usd_per_month"),
        (Budget(D(0)), 0, 0, 0, None),
    ],
)
def test_what_would_exceed_a_limit_is_refused(budget, run, month, expected, reason):
    actual = refusal(budget, run=D(str(run)), month=D(str(month)), expected=D(str(expected)))
    assert (actual is None) == (reason is None)
    assert reason is None or re.search(reason, actual)


def test_a_month_counts_its_own_hours_and_the_reserved_amount_of_a_live_run():
    run = RunBuilder({"x": "p"}, [rate_of()]).attempt("x", 0, 600)
    assert usd_in_month(run.record, "2026-11", alive=False) == D("0.5775")
    assert usd_in_month(run.record, "2026-12", alive=False) == 0
    record = run.record
    record.sessions[-1].reserved_usd = 3.25
    assert usd_in_month(record, "2026-11", alive=True) == D("3.25")
    record.sessions[-1].reserved_usd = 0.1
    assert usd_in_month(record, "2026-11", alive=True) == D("0.5775")


def test_a_run_over_the_end_of_a_month_counts_in_both_months():
    month_end = 8 * 86_400 - 12 * 3600  # from 23 November noon to 1 December
    record = RunBuilder({"x": "p"}, [rate_of()]).attempt("x", month_end - 3600, 7200).record
    assert usd_in_month(record, "2026-11", alive=False) == D("2.5025")
    assert usd_in_month(record, "2026-12", alive=False) == D("2.31")
