"""The bill of a run: useful, wasted, idle, saved; who pays what; and that it adds up."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from fixtures.bills import I3, Story, rated
from hypothesis import given
from hypothesis import strategies as st

from stagebook.cost import bill
from stagebook.cost.bill import Split
from stagebook.cost.clusters import Kind
from stagebook.model.pricing import Cluster, Compute
from stagebook.storage.runs import to_json

SERVERLESS = rated(Cluster(Compute.SERVERLESS, dbu_per_hour=Decimal(4)), "s")  # 1.40 USD an hour
ALL_PURPOSE = rated(replace(I3, compute=Compute.ALL_PURPOSE, idle_minutes=10), "a")  # 4.31 USD an hour
SECOND = Decimal("2.31") / 3600


def seconds(split: Split) -> tuple[int, int, int]:
    """Useful, wasted and idle seconds of the cluster `p`."""
    return tuple(round(part.likely / SECOND) for part in (split.useful, split.wasted, split.idle))  # type: ignore


@pytest.mark.parametrize(
    ("what", "story", "paid"),
    [
        ("one attempt", lambda s: s.attempt("x", 0, 600), {"x": (600, 0, 300)}),
        ("a retry waits", lambda s: s.attempt("x", 0, 60, "failed").attempt("x", 90, 60), {"x": (60, 60, 330)}),
        (
            "two in a row share the start-up, the second pays the wait",
            lambda s: s.attempt("x", 0, 600).attempt("y", 700, 100),
            {"x": (600, 0, 300), "y": (100, 0, 100)},
        ),
        (
            "two at once share the minutes",
            lambda s: s.attempt("x", 0, 600).attempt("y", 300, 600),
            {"x": (450, 0, 300), "y": (450, 0, 0)},
        ),
        (
            "a resumed run starts its cluster again and does not pay for the night",
            lambda s: s.attempt("x", 0, 60, "failed").resumed(90_000).attempt("x", 90_010, 60),
            {"x": (60, 60, 600)},
        ),
        ("nothing that lasts", lambda s: s.attempt("x", 0, 0), {"x": (0, 0, 300)}),
    ],
)  # fmt: skip
def test_a_cluster_is_paid_by_those_it_worked_and_waited_for(what, story, paid):
    told = story(Story({"x": "p", "y": "p"}, [rated()])).ended(100_000)
    billed = bill.of(told.record)
    assert {name: seconds(split) for name, split in billed.stages.items()} == paid


def test_what_still_runs_is_not_billed_yet_and_a_killed_attempt_until_it_was_last_seen():
    story = Story({"x": "p"}, [rated()])
    story.begin("x", 0)
    assert not bill.of(story.record).charges
    story.resumed(5_000, x=120).attempt("x", 5_010, 60)
    attempts = story.record.stages["x"].attempts
    assert [attempt.seconds for attempt in attempts] == [120, 60]
    assert seconds(bill.of(story.record).stage("x")) == (60, 120, 600)


def test_serverless_pays_only_for_its_attempts():
    billed = bill.of(Story({"x": "s", "y": "s"}, [SERVERLESS]).attempt("x", 0, 3600).attempt("y", 0, 1800).record)
    assert billed.total.total.likely == Decimal("2.1")
    assert billed.total.idle.likely == 0


def test_an_all_purpose_cluster_waits_until_it_ends_by_itself_and_starts_again():
    story = Story({"x": "a"}, [ALL_PURPOSE]).attempt("x", 0, 60, "failed").attempt("x", 10_000, 60)
    per_second = Decimal("4.31") / 3600
    assert round(bill.of(story.record).total.idle.likely / per_second) == 300 + 600 + 300
    assert round(bill.of(story.ended(11_000).record).total.idle.likely / per_second) == 300 + 600 + 300 + 600


def test_rates_of_a_leg_hold_for_that_leg():
    story = Story({"x": "p"}, [rated()]).attempt("x", 0, 3600, "failed")
    story.rates = {"p": rated(replace(I3, startup_minutes=Decimal(0), photon=True)).to_json()}
    total = bill.of(story.resumed(10_000).attempt("x", 10_000, 3600).record).total
    assert (total.wasted.likely, total.useful.likely) == (Decimal("2.31"), Decimal("3.06"))


def test_a_stage_without_a_price_costs_nothing_and_says_so():
    billed = bill.of(Story({"x": None, "y": "laptop", "z": "p"}, [rated()]).attempt("x", 0, 60).record)
    assert billed.total == Split()
    assert billed.free == {"x": "it has no profile", "y": "its profile 'laptop' names no node type: it costs nothing"}


def test_reuse_saves_what_the_result_had_cost():
    billed = bill.of(Story({"x": "p", "y": "p"}, [rated()]).reused("x", 0.25).attempt("y", 0, 60).record)
    assert billed.total.saved == Decimal("0.25")
    assert billed.stage("x").total.likely == 0


def test_the_record_tells_the_cost_of_run_stages_and_attempts():
    told = to_json(Story({"x": "p"}, [rated()]).attempt("x", 0, 60, "failed").attempt("x", 60, 600).record)
    assert told["cost"].items() >= {
        "estimated_usd": 0.616, "useful_usd": 0.385, "wasted_usd": 0.0385, "idle_usd": 0.1925, "saved_usd": 0.0,
        "currency": "USD", "prices_as_of": "2023-11, 2024-07-11",
    }.items()  # fmt: skip
    assert told["stages"]["x"]["cost"]["estimated_usd"] == 0.616
    assert [attempt["cost_usd"] for attempt in told["stages"]["x"]["attempts"]] == [0.231, 0.385]
    assert any("i3.xlarge" in said and "overwatch" in said for said in told["cost"]["assumptions"])
    assert json.loads(json.dumps(told["cost"])) == told["cost"]


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
    story = Story(dict.fromkeys("xyz", "p"), [rated()])
    for stage, start, lasted, status in attempts:
        story.attempt(stage, start, lasted, status)
    billed = bill.of(story.ended(50_000).record)
    up = max(start + lasted for _, start, lasted, _ in attempts) - min(start for _, start, _, _ in attempts) + 300
    assert abs(billed.total.total.likely - up * SECOND) < len(billed.charges) * Decimal("0.000002")
    assert billed.total.total.likely == sum(split.total.likely for split in billed.stages.values())
    assert billed.total.total.likely == sum(
        billed.attempt(name, attempt.n).likely
        for name, stage in story.record.stages.items()
        for attempt in stage.attempts
    )
    hours = {(charge.stage, charge.attempt, charge.kind, charge.start.replace(minute=0, second=0, microsecond=0))
             for charge in billed.charges}  # fmt: skip
    assert len(hours) == len(billed.charges)
    starting = 300 * SECOND
    assert sum(c.usd.likely for c in billed.charges if c.kind is Kind.IDLE) >= starting - Decimal("0.00001")


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_money_survives_json(whole, micros):
    dollars = Decimal(whole) + Decimal(micros) / 10**7
    text = json.dumps(bill.amount(dollars))
    assert Decimal(str(json.loads(text))) == dollars.quantize(bill.MICRO)
