"""What would make a pipeline cheaper: sizes that would have been enough, rules, and what the data do not decide."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from fixtures.bills import BOOK, Story, rated

from stagebook.cost.advice import Advised, advise, overlay
from stagebook.cost.rules import Seen, Subject
from stagebook.cost.sizing import Replay
from stagebook.model.pipeline import Narrowed, Pipeline, Places, Stage, Tracking
from stagebook.model.pricing import Cluster, Compute, Market, Terms
from stagebook.model.record import RunRecord
from stagebook.model.tables import Layout
from stagebook.model.upkeep import Description

HERE = Path()
BIG = Cluster(node_type_id="r5.4xlarge", idle_minutes=10)  # 16 vCPU, 128 GiB
SMALL = Cluster(node_type_id="m5.large")  # 2 vCPU, 8 GiB
FLEET = Cluster(node_type_id="c5.2xlarge", min_workers=1, max_workers=4, on_demand_nodes=1)
SERVERLESS = Cluster(Compute.SERVERLESS, dbu_per_hour=Decimal(4))


def pipeline(profiles: dict[str, str | None], clusters: dict[str, Cluster], **stages) -> Pipeline:
    """Stages in a row with these profiles; `stages` are further properties of one."""
    made = {name: Stage(name, HERE / f"{name}.py", profile=profile) for name, profile in profiles.items()}
    made |= {name: replace(made[name], **about) for name, about in stages.items()}
    return Pipeline(
        "demo", made, {}, Places(HERE, HERE, HERE, HERE), Tracking("", "", ""),
        rates={name: rated(cluster, name) for name, cluster in clusters.items()}, market=Market(BOOK, Terms()),
    )  # fmt: skip


def advised(found: Pipeline, *stories: Story, tables=()) -> Advised:
    return advise(Subject(found, [story.record for story in stories], tables))


def story(found: Pipeline, run_id="r1") -> Story:
    return Story({name: stage.profile for name, stage in found.stages.items()}, found.rates.values(), run_id)


def rules(told: Advised) -> list[str]:
    return [one.rule for one in told.advice]


def test_an_oversized_profile_is_told_with_the_one_that_would_have_been_enough():
    found = pipeline({"train": "big", "validate": "small"}, {"big": BIG, "small": SMALL})
    told = advised(found, story(found).attempt("train", 0, 600).attempt("validate", 601, 60).ended(700))
    assert told.keys == {("stages", "train", "profile"): "small"}
    (one,) = told.advice
    assert (one.about, one.key, one.to) == ("train", "stages.train.profile", "small")
    assert "used at most 1.00 GiB and 1.0 of 2 cores in 1 run. It has r5.4xlarge, 16 vCPU, 128 GiB" in one.found
    # 900 s of r5.4xlarge (1.548 USD an hour) and 361 of m5.large (0.1485), against 961 s of m5.large
    assert one.usd_per_run == pytest.approx(Decimal("0.3623"), abs=Decimal("0.0002"))
    assert told.usd_now - one.usd_per_run == told.usd_then


def test_a_profile_without_a_smaller_one_beside_it_gets_another_machine_and_no_workers():
    found = pipeline({"prep": "fleet"}, {"fleet": FLEET})
    told = advised(found, story(found).attempt("prep", 0, 600, engine="polars").ended(700))
    assert overlay(told.keys) == {
        "profiles": {"fleet": {"node_type_id": "m5.large", "autoscale": None, "num_workers": 0}}
    }
    assert told.advice[0].about == "profile fleet"
    assert "1 to 4 workers beside the driver" in told.advice[0].found


@pytest.mark.parametrize(
    ("peak_gb", "cores", "node"),
    [
        (1, 0.5, "m5.large"),  # 5.5 GiB, 1 core
        (2.6, 0.5, "m5.large"),  # 7.9 GiB
        (2.7, 0.5, "m5.xlarge"),  # 8.05 GiB: 8 are not enough
        (1, 2, "m5.large"),  # twice the mean use, but never more than there were
        (9, 1, "r5.xlarge"),
    ],
)
def test_the_machine_has_room_for_what_was_measured(peak_gb, cores, node):
    found = pipeline({"fit": "big"}, {"big": BIG})
    told = advised(found, story(found).attempt("fit", 0, 60, peak_gb=peak_gb, cores=cores).ended(70))
    assert told.keys == {("profiles", "big", "node_type_id"): node}


@pytest.mark.parametrize(
    ("had", "gets"),
    [
        ("g4dn.12xlarge", None),  # it has four GPUs, and nothing else does
        ("r6gd.2xlarge", "m6g.xlarge"),  # ARM stays ARM
    ],
)
def test_what_nobody_has_measured_stays_as_it_is(had, gets):
    found = pipeline({"fit": "big"}, {"big": replace(BIG, node_type_id=had), "small": SMALL})
    told = advised(found, story(found).attempt("fit", 0, 60).ended(70))
    assert told.keys == ({("profiles", "big", "node_type_id"): gets} if gets else {})


def test_of_several_runs_the_one_that_took_most_counts():
    found = pipeline({"fit": "big"}, {"big": BIG, "small": SMALL})
    runs = [story(found, f"r{n}").attempt("fit", 0, 60, peak_gb=peak).ended(70) for n, peak in enumerate((1, 9, 1))]
    (one,) = advised(found, *runs).advice
    assert "at most 9.00 GiB and 1.0 of 2 cores in 3 runs" in one.found
    assert one.keys == {("profiles", "big", "node_type_id"): "r5.xlarge"}


def test_moving_to_a_cluster_that_would_wait_for_hours_is_no_advice():
    """What a move saves is billed again: `small` would be up, and wait, from the first stage to the last."""
    found = pipeline(
        {"a": "cheap", "b": None, "c": "small"}, {"cheap": replace(SMALL, startup_minutes=Decimal(0)), "small": SMALL}
    )
    run = story(found).attempt("a", 0, 60).attempt("b", 60, 36_000).attempt("c", 36_100, 60).ended(36_200)
    assert not advised(found, run).advice


@pytest.mark.parametrize(
    ("attempts", "why"),
    [
        ([{"engine": "spark"}], "it computes on Spark"),
        ([{"status": "kernel_died", "error": "OutOfMemory"}, {}], "an attempt of it ran out of memory"),
        ([{"peak_gb": 0}], "its attempts were not measured"),
    ],
)
def test_what_was_not_measured_is_not_judged_and_said(attempts, why):
    found = pipeline({"fit": "big"}, {"big": BIG, "small": SMALL})
    run = story(found)
    for number, about in enumerate(attempts):
        run.attempt("fit", 100 * number, 60, **about)
    told = advised(found, run.ended(500))
    assert why in told.unjudged["fit"]
    assert not told.keys


def test_the_basis_tells_what_was_measured_on_and_what_was_not():
    found = pipeline({"fit": "big"}, {"big": BIG})
    said = advised(found, story(found).attempt("fit", 0, 60).ended(70)).basis
    for word in ("2 cores and 8.0 GiB (laptop)", "a guess", "spill, skew", "Try a change once"):
        assert word in said


def test_jobs_on_all_purpose_compute_are_told_with_what_that_costs():
    found = pipeline({"fit": "all"}, {"all": replace(SMALL, compute=Compute.ALL_PURPOSE, idle_minutes=120)})
    told = advised(found, story(found).attempt("fit", 0, 60).ended(70))
    assert rules(told)[:2] == ["all_purpose", "auto_termination"]
    # m5.large: 0.35 DBU at 0.55 or 0.15 USD, and 0.096 USD; 6 minutes of start-up and work, 120 of waiting
    assert told.advice[0].usd_per_run == pytest.approx(Decimal("0.5910"), abs=Decimal("0.0001"))
    assert told.advice[0].keys == {("profiles", "all", "compute"): "jobs"}
    waits = told.advice[1]
    assert (waits.key, waits.to, waits.keys) == ("profiles.all.autotermination_minutes", "10", {})
    assert waits.usd_per_run == pytest.approx(Decimal("0.2885") * 110 / 60, abs=Decimal("0.0002"))


def test_rules_about_the_file_alone_speak_without_any_run_and_tell_no_saving():
    found = pipeline({"fit": "all"}, {"all": replace(SMALL, compute=Compute.ALL_PURPOSE)})
    told = advised(found)
    assert (rules(told), told.runs) == (["all_purpose", "auto_termination"], 0)
    assert "never stops by itself" in told.advice[1].found
    assert {one.usd_per_run for one in told.advice} == {None}


@pytest.mark.parametrize(("engine", "speaks"), [("pandas", True), ("polars", True), ("spark", False)])
def test_photon_is_without_gain_where_nothing_computes_on_spark(engine, speaks):
    found = pipeline({"fit": "fast"}, {"fast": replace(SMALL, photon=True)})
    told = advised(found, story(found).attempt("fit", 0, 60, engine=engine).ended(70))
    assert (rules(told) == ["photon"]) == speaks
    assert told.keys == ({("profiles", "fast", "runtime_engine"): "STANDARD"} if speaks else {})


def test_a_cluster_that_starts_for_longer_than_it_works_is_told_where_there_is_a_serverless_profile():
    found = pipeline({"fit": "big"}, {"big": BIG, "less": SERVERLESS})
    (size, start) = advised(found, story(found).attempt("fit", 0, 10).ended(20)).advice
    assert (size.rule, start.rule, start.to, start.keys) == ("size", "start_up", "less", {})
    assert "the file's own figure" in start.found
    assert start.usd_per_run > 0


def test_a_fixed_number_of_workers_is_told_where_inputs_vary():
    found = pipeline({"make": None, "fit": "fleet"}, {"fleet": replace(FLEET, min_workers=4)})

    def run(n: int, size: int) -> Story:
        made = {"t": {"version": n, "rows": 1, "bytes": size}}
        return (
            story(found, f"r{n}")
            .attempt("make", 0, 1, outputs=made)
            .attempt("fit", 2, 60, engine="spark", inputs={"t": n})
            .ended(70)
        )

    (one,) = advised(found, run(1, 10**8), run(2, 10**9)).advice
    assert (one.rule, one.key) == ("autoscaling", "profiles.fleet.autoscale")
    assert "whether fit reads 100 or 1,000 MB" in one.found
    assert not advised(found, run(1, 10**9), run(2, 10**9)).advice


@pytest.mark.parametrize(("last", "speaks"), [("failed", True), ("succeeded", False)])
def test_retries_that_never_help_are_told_with_what_they_cost(last, speaks):
    found = pipeline({"fit": "small"}, {"small": SMALL})
    runs = []
    for n in range(2):
        run = story(found, f"r{n}").attempt("fit", 0, 60, "failed").attempt("fit", 61, 60, last)
        runs.append(run.ended(200, "failed", 1) if last == "failed" else run.ended(200))
    told = advised(found, *runs)
    assert ("retries" in rules(told)) == speaks
    if speaks:
        (one,) = told.advice
        assert (one.key, one.to) == ("stages.fit.max_retries", "0")
        assert "2 of 2 retries failed" in one.found
        assert one.usd_per_run == pytest.approx(Decimal("0.1485") * 61 / 3600, abs=Decimal("0.0001"))


def test_an_attempt_after_a_resumption_is_no_retry():
    found = pipeline({"fit": "small"}, {"small": SMALL})
    runs = [
        story(found, f"r{n}").attempt("fit", 0, 60, "failed").ended(70, "failed", 1).resumed(100)
        .attempt("fit", 101, 60, "failed").ended(200, "failed", 1)
        for n in range(2)
    ]  # fmt: skip
    assert not advised(found, *runs).advice


@pytest.mark.parametrize(("reuse", "key"), [(False, "stages.fit.reuse"), (True, "--no-reuse, --force")])
def test_what_an_earlier_run_had_already_is_told_with_what_it_cost_again(reuse, key):
    found = pipeline({"fit": "small"}, {"small": SMALL}, fit={"reuse": reuse})
    runs = [story(found, f"r{n}").attempt("fit", 0, 60, reuse={"key": key}).ended(70) for n, key in enumerate("aab")]
    (one,) = advised(found, *runs).advice
    assert (one.rule, one.key) == ("recomputed", key)
    assert "in 1 run it computed what an earlier run had" in one.found


@pytest.mark.parametrize(
    ("about", "work", "speaks"),
    [
        ({"engine": "spark", "peak_gb": 3}, (), True),
        ({"engine": "spark", "peak_gb": 3}, ("fit",), False),
        ({"engine": "spark", "peak_gb": 0.6}, (), False),
        ({"engine": "pandas", "peak_gb": 3}, (), False),
    ],
)
def test_a_notebook_on_spark_that_holds_much_itself_has_collected_it(about, work, speaks):
    found = pipeline({"x": None}, {}, x={"work": work})
    assert rules(advised(found, story(found).attempt("x", 0, 60, **about).ended(70))) == ["collects"] * speaks


def seen(layout: Layout, size: int, small="") -> Seen:
    return Seen("t", Description(1, 1, 2, (), (), layout=layout, files=9, rows=1, size_bytes=size), small)


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (seen(Layout(), 2 * 10**9), ["unordered"]),
        (seen(Layout(), 10**8), []),
        (seen(Layout(z_order=("month",)), 2 * 10**9), []),
        (
            seen(Layout(partition_by=("month",)), 2 * 10**9, "partitioned by month: 365 partitions"),
            ["over_partitioned"],
        ),
    ],
)
def test_tables_are_told_whose_layout_costs_their_readers(table, found):
    where = {"t": Narrowed(where=(("month", "=", 12),))}
    told = advised(pipeline({"x": None}, {}, x={"narrowed": where}), tables=[table])
    assert rules(told) == found


def test_a_pipeline_that_costs_nothing_gets_no_advice():
    found = pipeline({"x": None}, {})
    told = advised(found, story(found).attempt("x", 0, 60).ended(70))
    assert (told.advice, told.usd_now, told.unjudged) == ((), 0, {})


def test_runs_are_billed_again_as_they_were_billed():
    """With the settings that they ran under, the replay gives the record's own cents."""
    from stagebook.cost import bill

    found = pipeline({"a": "big", "b": "fleet", "c": "big"}, {"big": BIG, "fleet": FLEET})
    run = story(found).attempt("a", 0, 60, "failed").attempt("a", 70, 60).attempt("b", 90, 500).attempt("c", 700, 5)
    record: RunRecord = run.ended(800).record
    again = Replay.of([record]).bills(Subject(found, [record]).settings)
    assert [one.total for one in again] == [bill.of(record).total]
