"""Rates and estimates: worked examples, and properties of all of them."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.config.merge import Merged
from stagebook.config.prices import read, shipped
from stagebook.costs.estimate import NegativeDuration, estimate, estimate_sequence
from stagebook.costs.rates import pricing_problems, rate
from stagebook.model.pricing import Cluster, Compute, PurchaseTerms, Range, Rate

BOOK, PROBLEMS = read((), Merged(), shipped())
AWS, AZURE = PurchaseTerms(), PurchaseTerms(cloud="AZURE")
I3 = Cluster(node_type_id="i3.xlarge", min_workers=4, max_workers=4)
HOUR = Decimal(3600)


def priced(cluster: Cluster, terms: PurchaseTerms = AWS, name: str = "p") -> Rate:
    assert not list(pricing_problems(cluster, terms, BOOK))
    profile_rate = rate(name, cluster, terms, BOOK)
    assert profile_rate
    return profile_rate


def test_the_shipped_prices_are_valid():
    assert not PROBLEMS
    assert (len(BOOK.nodes), len(BOOK.prices)) == (55, 22)


@pytest.mark.parametrize(
    ("case", "cluster", "terms", "usd"),
    [
        # 5 × 1.0 DBU × 0.15 + 5 × 0.312
        ("jobs", I3, AWS, "2.31"),
        # 5 × 1.0 DBU × 0.55 + 5 × 0.312
        ("all-purpose", replace(I3, compute=Compute.ALL_PURPOSE), AWS, "4.31"),
        # twice the DBU: 1.50 + 1.56
        ("Photon", replace(I3, photon=True), AWS, "3.06"),
        # driver 0.312, four workers at 0.4 of it
        ("spot workers", replace(I3, on_demand_nodes=1), AWS, "1.5612"),
        ("spot everywhere", replace(I3, on_demand_nodes=0), AWS, "1.374"),
        ("two of them on demand", replace(I3, on_demand_nodes=2), AWS, "1.7484"),
        ("more on demand than there are", replace(I3, on_demand_nodes=9), AWS, "2.31"),
        ("a single node", Cluster(node_type_id="i3.xlarge"), AWS, "0.462"),
        # driver 0.9 DBU and 0.252 USD
        ("another driver", replace(I3, driver_node_type_id="r5.xlarge"), AWS, "2.235"),
        ("20 % off the DBU", I3, replace(AWS, discount=Decimal("0.2")), "2.16"),
        ("serverless", Cluster(Compute.SERVERLESS, dbu_per_hour=Decimal(4)), AWS, "1.40"),
        ("serverless elsewhere", Cluster(Compute.SERVERLESS, dbu_per_hour=Decimal(4)), replace(AWS, region="eu-west-1"), "1.56"),
        ("Azure", Cluster(node_type_id="Standard_D4ds_v5", min_workers=1, max_workers=1), AZURE, "1.06"),
    ],
)  # fmt: skip
def test_an_hour_costs(case, cluster, terms, usd):
    assert estimate(priced(cluster, terms), HOUR).quantize(Decimal("0.0000001")) == Range.exactly(
        Decimal(usd).quantize(Decimal("0.0000001"))
    )


def test_an_autoscaling_cluster_costs_from_its_smallest_to_its_largest_size():
    per_hour = priced(replace(I3, min_workers=1)).usd_per_hour
    assert per_hour == Range(Decimal("0.924"), Decimal("1.617"), Decimal("2.310"))


def test_this_machine_has_no_price():
    assert rate("p", Cluster(), AWS, BOOK) is None
    assert not list(pricing_problems(Cluster(), AWS, BOOK))


@pytest.mark.parametrize(
    ("cluster", "terms", "key", "message"),
    [
        (Cluster(node_type_id="i3.xlarg"), AWS, "node_type_id", "Did you mean 'i3.xlarge'"),
        (replace(I3, driver_node_type_id="i9.xlarge"), AWS, "driver_node_type_id", "no node type 'i9.xlarge' on AWS"),
        (Cluster(node_type_id="Standard_D4ds_v5"), AWS, "node_type_id", "AZURE has it: set cost.cloud"),
        (replace(I3, photon=True), replace(AWS, tier="STANDARD"), "compute", r"no list price for STANDARD_JOBS_COMPUTE_\(PHOTON\)"),
        (Cluster(Compute.SERVERLESS, dbu_per_hour=Decimal(1)), replace(AWS, region="mars"), "compute", "in the region mars"),
    ],
)  # fmt: skip
def test_a_profile_that_cannot_be_priced_has_a_problem_with_a_message(cluster, terms, key, message):
    (problem,) = pricing_problems(cluster, terms, BOOK)
    assert problem.key == key
    assert re.search(message, problem.message)
    assert problem.allowed
    assert rate("p", cluster, terms, BOOK) is None


def test_doubts_and_conflicts_of_the_sources_stay_visible():
    suspect = priced(Cluster(node_type_id="Standard_NC24ads_A100_v4"), AZURE)
    assert "SUSPECT" in suspect.assumptions[0]
    conflict = priced(I3, replace(AWS, tier="ENTERPRISE"))
    assert "conflict" in conflict.assumptions[-1]


def test_a_rate_survives_the_journal():
    profile_rate = priced(replace(I3, min_workers=1, compute=Compute.ALL_PURPOSE, idle_minutes=10, on_demand_nodes=1))
    assert Rate.from_json(profile_rate.to_json()) == profile_rate


SECONDS = st.decimals(0, 100_000, places=3)
CLUSTERS = st.builds(
    lambda min_workers, extra_workers, photon, on_demand_nodes: replace(
        I3,
        min_workers=min_workers,
        max_workers=min_workers + extra_workers,
        photon=photon,
        on_demand_nodes=on_demand_nodes,
    ),
    st.integers(0, 8),
    st.integers(0, 8),
    st.booleans(),
    st.none() | st.integers(0, 9),
)
TOLERANCE = Decimal("1e-12")


@given(CLUSTERS, SECONDS, SECONDS)
def test_cost_adds_up_over_time_and_lies_in_its_range(cluster, seconds, more_seconds):
    profile_rate = priced(cluster)
    together = estimate(profile_rate, seconds + more_seconds)
    apart = estimate(profile_rate, seconds) + estimate(profile_rate, more_seconds)
    assert abs(together.likely - apart.likely) < TOLERANCE
    assert together.low <= together.likely <= together.high


@given(st.lists(st.tuples(st.sampled_from("ab"), SECONDS), max_size=6))
def test_stages_add_up_and_the_start_up_of_a_shared_cluster_is_paid_once(stages):
    rates = {name: priced(I3, name=name) for name in "ab"}
    costs = estimate_sequence([(rates[name], Range.exactly(seconds)) for name, seconds in stages])
    busy_seconds = sum((seconds for _, seconds in stages), Decimal(0))
    startup_seconds = len({name for name, _ in stages}) * 300
    expected = (busy_seconds + startup_seconds) * rates["a"].usd_per_hour.likely / 3600
    assert abs(sum(cost.likely for cost in costs) - expected) < TOLERANCE


def test_serverless_has_no_start_up_and_a_stage_without_a_rate_costs_nothing():
    serverless = priced(Cluster(Compute.SERVERLESS, dbu_per_hour=Decimal(4)))
    cost, zero = estimate_sequence([(serverless, Range.exactly(3600)), (None, Range.exactly(3600))])
    assert cost.likely.quantize(TOLERANCE) == Decimal("1.4")
    assert zero == Range()


def test_a_negative_duration_is_refused():
    with pytest.raises(NegativeDuration, match="-1 s is not a duration"):
        estimate(priced(I3), Decimal(-1))
