"""The bill of a run: what is useful, wasted, idle and saved, which stage pays for it, and that it adds up."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from fixtures.run_builder import I3, RunBuilder, rate_of
from hypothesis import given
from hypothesis import strategies as st

from stagebook.costs import bill
from stagebook.costs.bill import Split
from stagebook.costs.cluster_time import TimeKind
from stagebook.model.pricing import Cluster, Compute
from stagebook.runs.folders import to_json

SERVERLESS = rate_of(Cluster(Compute.SERVERLESS, dbu_per_hour=Decimal(4)), "s")  # 1.40 USD an hour
ALL_PURPOSE = rate_of(replace(I3, compute=Compute.ALL_PURPOSE, idle_minutes=10), "a")  # 4.31 USD an hour
SECOND_USD = Decimal("2.31") / 3600


def seconds_of(split: Split) -> tuple[int, int, int]:
    """Useful, wasted and idle seconds of the cluster `p`."""
    return tuple(round(part.likely / SECOND_USD) for part in (split.useful, split.wasted, split.idle))  # type: ignore


@pytest.mark.parametrize(
    ("case", "build", "paid"),
    [
        ("one attempt", lambda run: run.attempt("x", 0, 600), {"x": (600, 0, 300)}),
        ("a retry waits", lambda run: run.attempt("x", 0, 60, "failed").attempt("x", 90, 60), {"x": (60, 60, 330)}),
        (
            "two in a row share the start-up, the second pays the wait",
            lambda run: run.attempt("x", 0, 600).attempt("y", 700, 100),
            {"x": (600, 0, 300), "y": (100, 0, 100)},
        ),
        (
            "two at once share the minutes",
            lambda run: run.attempt("x", 0, 600).attempt("y", 300, 600),
            {"x": (450, 0, 300), "y": (450, 0, 0)},
        ),
        (
            "a resumed run starts its cluster again and does not pay for the night",
            lambda run: run.attempt("x", 0, 60, "failed").resumed(90_000).attempt("x", 90_010, 60),
            {"x": (60, 60, 600)},
        ),
        ("an attempt of no duration", lambda run: run.attempt("x", 0, 0), {"x": (0, 0, 300)}),
    ],
)  # fmt: skip
def test_a_stage_pays_for_the_work_of_its_cluster_and_the_waiting_before_it(case, build, paid):
    run = build(RunBuilder({"x": "p", "y": "p"}, [rate_of()])).ended(100_000)
    assert {name: seconds_of(split) for name, split in bill.of(run.record).stages.items()} == paid


def test_a_running_attempt_is_not_billed_yet_and_a_killed_one_until_it_was_last_seen():
    run = RunBuilder({"x": "p"}, [rate_of()])
    run.begin("x", 0)
    assert not bill.of(run.record).charges
    run.resumed(5_000, x=120).attempt("x", 5_010, 60)
    attempts = run.record.stages["x"].attempts
    assert [attempt.seconds for attempt in attempts] == [120, 60]
    assert seconds_of(bill.of(run.record).stage("x")) == (60, 120, 600)


def test_serverless_pays_only_for_its_attempts():
    run_bill = bill.of(
        RunBuilder({"x": "s", "y": "s"}, [SERVERLESS]).attempt("x", 0, 3600).attempt("y", 0, 1800).record
    )
    assert run_bill.total.total.likely == Decimal("2.1")
    assert run_bill.total.idle.likely == 0


def test_an_all_purpose_cluster_waits_until_it_ends_by_itself_and_starts_again():
    run = RunBuilder({"x": "a"}, [ALL_PURPOSE]).attempt("x", 0, 60, "failed").attempt("x", 10_000, 60)
    per_second = Decimal("4.31") / 3600
    assert round(bill.of(run.record).total.idle.likely / per_second) == 300 + 600 + 300
    assert round(bill.of(run.ended(11_000).record).total.idle.likely / per_second) == 300 + 600 + 300 + 600


def test_the_rates_of_a_session_apply_to_that_session():
    run = RunBuilder({"x": "p"}, [rate_of()]).attempt("x", 0, 3600, "failed")
    run.rates = {"p": rate_of(replace(I3, startup_minutes=Decimal(0), photon=True)).to_json()}
    total = bill.of(run.resumed(10_000).attempt("x", 10_000, 3600).record).total
    assert (total.wasted.likely, total.useful.likely) == (Decimal("2.31"), Decimal("3.06"))


def test_a_stage_without_a_price_costs_nothing_and_the_bill_says_why():
    run_bill = bill.of(RunBuilder({"x": None, "y": "laptop", "z": "p"}, [rate_of()]).attempt("x", 0, 60).record)
    assert run_bill.total == Split()
    assert run_bill.free_reasons == {
        "x": "it has no profile",
        "y": "its profile 'laptop' names no node type: it costs nothing",
    }


def test_reuse_saves_what_the_result_cost():
    run_bill = bill.of(RunBuilder({"x": "p", "y": "p"}, [rate_of()]).reused("x", 0.25).attempt("y", 0, 60).record)
    assert run_bill.total.saved == Decimal("0.25")
    assert run_bill.stage("x").total.likely == 0


def test_the_record_holds_the_cost_of_the_run_its_stages_and_its_attempts():
    record = to_json(RunBuilder({"x": "p"}, [rate_of()]).attempt("x", 0, 60, "failed").attempt("x", 60, 600).record)
    assert record["cost"].items() >= {
        "estimated_usd": 0.616, "useful_usd": 0.385, "wasted_usd": 0.0385, "idle_usd": 0.1925, "saved_usd": 0.0,
        "currency": "USD", "prices_as_of": "2023-11, 2024-07-11",
    }.items()  # fmt: skip
    assert record["stages"]["x"]["cost"]["estimated_usd"] == 0.616
    assert [attempt["cost_usd"] for attempt in record["stages"]["x"]["attempts"]] == [0.231, 0.385]
    assert any("i3.xlarge" in text and "overwatch" in text for text in record["cost"]["assumptions"])
    assert json.loads(json.dumps(record["cost"])) == record["cost"]


ATTEMPTS = st.lists(
    st.tuples(
        st.sampled_from("xyz"),
        st.integers(0, 20_000),
        st.integers(0, 9_000),
        st.sampled_from(["succeeded", "failed", "timeout"]),
    ),
    min_size=1,
    max_size=12,
)


@given(ATTEMPTS)
def test_every_second_that_a_cluster_is_up_is_billed_once(attempts):
    run = RunBuilder(dict.fromkeys("xyz", "p"), [rate_of()])
    for stage, start, duration, status in attempts:
        run.attempt(stage, start, duration, status)
    run_bill = bill.of(run.ended(50_000).record)
    up_seconds = (
        max(start + duration for _, start, duration, _ in attempts) - min(start for _, start, _, _ in attempts) + 300
    )
    assert abs(run_bill.total.total.likely - up_seconds * SECOND_USD) < len(run_bill.charges) * Decimal("0.000002")
    assert run_bill.total.total.likely == sum(split.total.likely for split in run_bill.stages.values())
    assert run_bill.total.total.likely == sum(
        run_bill.attempt(name, attempt.n).likely
        for name, stage in run.record.stages.items()
        for attempt in stage.attempts
    )
    hours = {(charge.stage, charge.attempt, charge.kind, charge.start.replace(minute=0, second=0, microsecond=0))
             for charge in run_bill.charges}  # fmt: skip
    assert len(hours) == len(run_bill.charges)
    startup_usd = 300 * SECOND_USD
    assert sum(c.usd.likely for c in run_bill.charges if c.kind is TimeKind.IDLE) >= startup_usd - Decimal("0.00001")


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_money_survives_json(dollars, tenths_of_micros):
    usd = Decimal(dollars) + Decimal(tenths_of_micros) / 10**7
    text = json.dumps(bill.amount(usd))
    assert Decimal(str(json.loads(text))) == usd.quantize(bill.MICRO)
