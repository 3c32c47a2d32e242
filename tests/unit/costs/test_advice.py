"""Advice that makes a pipeline cheaper: machines that would have been enough, rules, and what the data do not decide."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from fixtures.run_builder import PRICE_BOOK, RunBuilder, rate_of

from stagebook.costs import bill
from stagebook.costs.advice.advise import AdviceReport, advise, nested
from stagebook.costs.advice.subject import AdviceSubject, Replay, TableFacts
from stagebook.model.maintenance import TableDescription
from stagebook.model.pipeline import Paths, Pipeline, Stage, TableRead, Tracking
from stagebook.model.pricing import Cluster, Compute, Market, PurchaseTerms
from stagebook.model.tables import Layout

HERE = Path()
BIG = Cluster(node_type_id="r5.4xlarge", idle_minutes=10)  # 16 vCPU, 128 GiB
SMALL = Cluster(node_type_id="m5.large")  # 2 vCPU, 8 GiB
FLEET = Cluster(node_type_id="c5.2xlarge", min_workers=1, max_workers=4, on_demand_nodes=1)
SERVERLESS = Cluster(Compute.SERVERLESS, dbu_per_hour=Decimal(4))


def make_pipeline(profiles: dict[str, str | None], clusters: dict[str, Cluster], **properties) -> Pipeline:
    """Stages without dependencies, with these profiles; `properties` are further properties of a stage, by its name."""
    stages = {
        name: replace(Stage(name, HERE / f"{name}.py", profile=profile), **properties.get(name, {}))
        for name, profile in profiles.items()
    }
    rates = {name: rate_of(cluster, name) for name, cluster in clusters.items()}
    paths, market = Paths(HERE, HERE, HERE, HERE), Market(PRICE_BOOK, PurchaseTerms())
    return Pipeline("demo", stages, {}, paths, Tracking("", "", ""), rates=rates, market=market)


def advise_on(pipeline: Pipeline, *runs: RunBuilder, tables=()) -> AdviceReport:
    return advise(AdviceSubject(pipeline, [run.record for run in runs], tables))


def new_run(pipeline: Pipeline, run_id="r1") -> RunBuilder:
    profiles = {name: stage.profile for name, stage in pipeline.stages.items()}
    return RunBuilder(profiles, pipeline.rates.values(), run_id)


def rules(report: AdviceReport) -> list[str]:
    return [advice.rule for advice in report.advice]


def test_a_stage_with_an_oversized_profile_gets_the_profile_that_would_have_been_enough():
    pipeline = make_pipeline({"train": "big", "validate": "small"}, {"big": BIG, "small": SMALL})
    report = advise_on(pipeline, new_run(pipeline).attempt("train", 0, 600).attempt("validate", 601, 60).ended(700))
    assert report.overlay == {("stages", "train", "profile"): "small"}
    (advice,) = report.advice
    assert (advice.target, advice.key, advice.new_value) == ("train", "stages.train.profile", "small")
    assert "used at most 1.00 GiB and 1.0 of 2 cores in 1 run. It has r5.4xlarge, 16 vCPU, 128 GiB" in advice.finding
    # 900 s of r5.4xlarge (1.548 USD an hour) and 361 of m5.large (0.1485), against 961 s of m5.large
    assert advice.usd_per_run == pytest.approx(Decimal("0.3623"), abs=Decimal("0.0002"))
    assert report.usd_now - advice.usd_per_run == report.usd_with_overlay


def test_a_profile_without_a_smaller_alternative_gets_another_machine_and_no_workers():
    pipeline = make_pipeline({"prep": "fleet"}, {"fleet": FLEET})
    report = advise_on(pipeline, new_run(pipeline).attempt("prep", 0, 600, engine="polars").ended(700))
    assert nested(report.overlay) == {
        "profiles": {"fleet": {"node_type_id": "m5.large", "autoscale": None, "num_workers": 0}}
    }
    assert report.advice[0].target == "profile fleet"
    assert "1 to 4 workers beside the driver" in report.advice[0].finding


@pytest.mark.parametrize(
    ("peak_gb", "cores", "node"),
    [
        (1, 0.5, "m5.large"),  # 5.5 GiB, 1 core
        (2.6, 0.5, "m5.large"),  # 7.9 GiB
        (2.7, 0.5, "m5.xlarge"),  # 8.05 GiB: 8 are not enough
        (1, 2, "m5.large"),  # twice the mean use, but never more than the machine had
        (9, 1, "r5.xlarge"),
    ],
)
def test_the_advised_machine_has_room_for_what_was_measured(peak_gb, cores, node):
    pipeline = make_pipeline({"fit": "big"}, {"big": BIG})
    report = advise_on(pipeline, new_run(pipeline).attempt("fit", 0, 60, peak_gb=peak_gb, cores=cores).ended(70))
    assert report.overlay == {("profiles", "big", "node_type_id"): node}


@pytest.mark.parametrize(
    ("current", "advised"),
    [
        ("g4dn.12xlarge", None),  # the only node type with four GPUs
        ("r6gd.2xlarge", "m6g.xlarge"),  # ARM stays ARM
    ],
)
def test_the_number_of_gpus_and_the_architecture_stay_as_they_are(current, advised):
    pipeline = make_pipeline({"fit": "big"}, {"big": replace(BIG, node_type_id=current), "small": SMALL})
    report = advise_on(pipeline, new_run(pipeline).attempt("fit", 0, 60).ended(70))
    assert report.overlay == ({("profiles", "big", "node_type_id"): advised} if advised else {})


@pytest.mark.parametrize(
    ("cores", "busy", "node"),
    [
        (0.5, 40, "m5.large"),
        (0.5, 95, "c5.xlarge"),  # it used half of one of four cores, other work the rest
        (3.9, 95, "c5.xlarge"),  # it used them itself
    ],
)
def test_a_stage_on_a_machine_that_other_work_kept_busy_needs_all_its_cores(cores, busy, node):
    pipeline = make_pipeline({"fit": "big"}, {"big": BIG})
    run = new_run(pipeline)
    run.events[0]["machine"] = {"name": "laptop", "cores": 4, "memory_bytes": 2**34}
    report = advise_on(
        pipeline,
        run.attempt("fit", 0, 90, cores=cores)
        .minute(0, 60, "fit", busy=busy)
        .minute(60, 90, "fit", busy=busy)
        .ended(99),
    )
    assert report.overlay == {("profiles", "big", "node_type_id"): node}
    assert ("other work used the rest" in report.advice[0].finding) == (node == "c5.xlarge" and cores < 1)


def test_the_run_with_the_highest_use_counts():
    pipeline = make_pipeline({"fit": "big"}, {"big": BIG, "small": SMALL})
    runs = [
        new_run(pipeline, f"r{n}").attempt("fit", 0, 60, peak_gb=peak).ended(70) for n, peak in enumerate((1, 9, 1))
    ]
    (advice,) = advise_on(pipeline, *runs).advice
    assert "at most 9.00 GiB and 1.0 of 2 cores in 3 runs" in advice.finding
    assert advice.overlay == {("profiles", "big", "node_type_id"): "r5.xlarge"}


def test_a_move_to_a_cluster_that_would_wait_for_hours_is_not_advised():
    """The runs are billed again: `small` would be up, and wait, from the first stage to the last."""
    pipeline = make_pipeline(
        {"a": "cheap", "b": None, "c": "small"}, {"cheap": replace(SMALL, startup_minutes=Decimal(0)), "small": SMALL}
    )
    run = new_run(pipeline).attempt("a", 0, 60).attempt("b", 60, 36_000).attempt("c", 36_100, 60).ended(36_200)
    assert not advise_on(pipeline, run).advice


@pytest.mark.parametrize(
    ("attempts", "reason"),
    [
        ([{"engine": "spark"}], "it computes on Spark"),
        ([{"status": "kernel_died", "error": "OutOfMemory"}, {}], "an attempt of it ran out of memory"),
        ([{"peak_gb": 0}], "its attempts were not measured"),
    ],
)
def test_a_stage_that_was_not_measured_is_not_judged_and_the_reason_is_given(attempts, reason):
    pipeline = make_pipeline({"fit": "big"}, {"big": BIG, "small": SMALL})
    run = new_run(pipeline)
    for number, properties in enumerate(attempts):
        run.attempt("fit", 100 * number, 60, **properties)
    report = advise_on(pipeline, run.ended(500))
    assert reason in report.unjudged["fit"]
    assert not report.overlay


def test_the_basis_names_the_machines_and_what_was_not_measured():
    pipeline = make_pipeline({"fit": "big"}, {"big": BIG})
    basis = advise_on(pipeline, new_run(pipeline).attempt("fit", 0, 60).ended(70)).basis
    for text in ("2 cores and 8.0 GiB (laptop)", "a guess", "spill, skew", "Try a change once"):
        assert text in basis


def test_jobs_on_all_purpose_compute_are_reported_with_their_extra_cost():
    pipeline = make_pipeline({"fit": "all"}, {"all": replace(SMALL, compute=Compute.ALL_PURPOSE, idle_minutes=120)})
    report = advise_on(pipeline, new_run(pipeline).attempt("fit", 0, 60).ended(70))
    assert rules(report)[:2] == ["all_purpose", "auto_termination"]
    # m5.large: 0.35 DBU at 0.55 or 0.15 USD, and 0.096 USD; 6 minutes of start-up and work, 120 of waiting
    assert report.advice[0].usd_per_run == pytest.approx(Decimal("0.5910"), abs=Decimal("0.0001"))
    assert report.advice[0].overlay == {("profiles", "all", "compute"): "jobs"}
    termination = report.advice[1]
    assert (termination.key, termination.new_value, termination.overlay) == (
        "profiles.all.autotermination_minutes",
        "10",
        {},
    )
    assert termination.usd_per_run == pytest.approx(Decimal("0.2885") * 110 / 60, abs=Decimal("0.0002"))


def test_rules_about_the_parameter_file_apply_without_any_run_and_give_no_saving():
    pipeline = make_pipeline({"fit": "all"}, {"all": replace(SMALL, compute=Compute.ALL_PURPOSE)})
    report = advise_on(pipeline)
    assert (rules(report), report.runs) == (["all_purpose", "auto_termination"], 0)
    assert "never stops by itself" in report.advice[1].finding
    assert {advice.usd_per_run for advice in report.advice} == {None}


@pytest.mark.parametrize(("engine", "applies"), [("pandas", True), ("polars", True), ("spark", False)])
def test_photon_is_reported_where_no_stage_computes_on_spark(engine, applies):
    pipeline = make_pipeline({"fit": "fast"}, {"fast": replace(SMALL, photon=True)})
    report = advise_on(pipeline, new_run(pipeline).attempt("fit", 0, 60, engine=engine).ended(70))
    assert (rules(report) == ["photon"]) == applies
    assert report.overlay == ({("profiles", "fast", "runtime_engine"): "STANDARD"} if applies else {})


def test_a_cluster_that_starts_for_longer_than_it_works_is_reported_if_there_is_a_serverless_profile():
    pipeline = make_pipeline({"fit": "big"}, {"big": BIG, "less": SERVERLESS})
    (size, start) = advise_on(pipeline, new_run(pipeline).attempt("fit", 0, 10).ended(20)).advice
    assert (size.rule, start.rule, start.new_value, start.overlay) == ("size", "start_up", "less", {})
    assert "the file's own figure" in start.finding
    assert start.usd_per_run > 0


def test_a_fixed_number_of_workers_is_reported_where_input_sizes_vary():
    pipeline = make_pipeline({"make": None, "fit": "fleet"}, {"fleet": replace(FLEET, min_workers=4)})

    def run(n: int, size: int) -> RunBuilder:
        outputs = {"t": {"version": n, "rows": 1, "bytes": size}}
        return (
            new_run(pipeline, f"r{n}")
            .attempt("make", 0, 1, outputs=outputs)
            .attempt("fit", 2, 60, engine="spark", inputs={"t": n})
            .ended(70)
        )

    (advice,) = advise_on(pipeline, run(1, 10**8), run(2, 10**9)).advice
    assert (advice.rule, advice.key) == ("autoscaling", "profiles.fleet.autoscale")
    assert "whether fit reads 100 or 1,000 MB" in advice.finding
    assert not advise_on(pipeline, run(1, 10**9), run(2, 10**9)).advice


@pytest.mark.parametrize(("retry_status", "applies"), [("failed", True), ("succeeded", False)])
def test_retries_that_never_succeed_are_reported_with_their_cost(retry_status, applies):
    pipeline = make_pipeline({"fit": "small"}, {"small": SMALL})
    runs = []
    for n in range(2):
        run = new_run(pipeline, f"r{n}").attempt("fit", 0, 60, "failed").attempt("fit", 61, 60, retry_status)
        runs.append(run.ended(200, "failed", 1) if retry_status == "failed" else run.ended(200))
    report = advise_on(pipeline, *runs)
    assert ("retries" in rules(report)) == applies
    if applies:
        (advice,) = report.advice
        assert (advice.key, advice.new_value) == ("stages.fit.max_retries", "0")
        assert "2 of 2 retries failed" in advice.finding
        assert advice.usd_per_run == pytest.approx(Decimal("0.1485") * 61 / 3600, abs=Decimal("0.0001"))


def test_an_attempt_after_a_resumption_is_not_a_retry():
    pipeline = make_pipeline({"fit": "small"}, {"small": SMALL})
    runs = [
        new_run(pipeline, f"r{n}").attempt("fit", 0, 60, "failed").ended(70, "failed", 1).resumed(100)
        .attempt("fit", 101, 60, "failed").ended(200, "failed", 1)
        for n in range(2)
    ]  # fmt: skip
    assert not advise_on(pipeline, *runs).advice


@pytest.mark.parametrize(("reuse", "key"), [(False, "stages.fit.reuse"), (True, "--no-reuse, --force")])
def test_a_result_that_was_computed_again_is_reported_with_its_cost(reuse, key):
    pipeline = make_pipeline({"fit": "small"}, {"small": SMALL}, fit={"reuse": reuse})
    runs = [
        new_run(pipeline, f"r{n}").attempt("fit", 0, 60, reuse={"key": cache_key}).ended(70)
        for n, cache_key in enumerate("aab")
    ]
    (advice,) = advise_on(pipeline, *runs).advice
    assert (advice.rule, advice.key) == ("recomputed", key)
    assert "in 1 run it computed from the same code, parameters and tables what an earlier run had" in advice.finding


def test_stages_that_were_forced_to_run_again_are_one_piece_of_advice():
    pipeline = make_pipeline({"a": "small", "b": "small"}, {"small": SMALL})
    runs = []
    for n in range(2):
        run = (
            new_run(pipeline, f"r{n}").attempt("a", 0, 60, reuse={"key": "a"}).attempt("b", 61, 60, reuse={"key": "b"})
        )
        runs.append(run.ended(130))
    (advice,) = advise_on(pipeline, *runs).advice
    assert (advice.target, advice.key) == ("a, b", "--no-reuse, --force")


def test_a_saving_of_less_than_one_percent_of_a_run_is_not_reported():
    pipeline = make_pipeline({"long": "small", "fit": "small"}, {"small": SMALL})
    runs = [
        new_run(pipeline, f"r{n}").attempt("long", 0, 7200).attempt("fit", 7200, 5, reuse={"key": "k"}).ended(7300)
        for n in range(2)
    ]  # fmt: skip
    assert not advise_on(pipeline, *runs).advice


@pytest.mark.parametrize(
    ("attempt", "work", "applies"),
    [
        ({"engine": "spark", "peak_gb": 3}, (), True),
        ({"engine": "spark", "peak_gb": 3}, ("fit",), False),
        ({"engine": "spark", "peak_gb": 0.6}, (), False),
        ({"engine": "pandas", "peak_gb": 3}, (), False),
    ],
)
def test_a_notebook_on_spark_that_uses_much_memory_itself_has_collected_data(attempt, work, applies):
    pipeline = make_pipeline({"x": None}, {}, x={"work": work})
    assert (
        rules(advise_on(pipeline, new_run(pipeline).attempt("x", 0, 60, **attempt).ended(70))) == ["collects"] * applies
    )


def table_facts(layout: Layout, size: int, small_partitions="") -> TableFacts:
    description = TableDescription(1, 1, 2, (), (), layout=layout, files=9, rows=1, size_bytes=size)
    return TableFacts("t", description, small_partitions)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (table_facts(Layout(), 2 * 10**9), ["unordered"]),
        (table_facts(Layout(), 10**8), []),
        (table_facts(Layout(z_order=("month",)), 2 * 10**9), []),
        (
            table_facts(Layout(partition_by=("month",)), 2 * 10**9, "partitioned by month: 365 partitions"),
            ["over_partitioned"],
        ),
    ],
)
def test_tables_whose_layout_slows_their_readers_are_reported(table, expected):
    table_reads = {"t": TableRead(where=(("month", "=", 12),))}
    report = advise_on(make_pipeline({"x": None}, {}, x={"table_reads": table_reads}), tables=[table])
    assert rules(report) == expected


def test_a_pipeline_that_costs_nothing_gets_no_advice():
    pipeline = make_pipeline({"x": None}, {})
    report = advise_on(pipeline, new_run(pipeline).attempt("x", 0, 60).ended(70))
    assert (report.advice, report.usd_now, report.unjudged) == ((), 0, {})


def test_a_replay_with_the_runs_own_settings_gives_the_same_cents():
    pipeline = make_pipeline({"a": "big", "b": "fleet", "c": "big"}, {"big": BIG, "fleet": FLEET})
    run = (
        new_run(pipeline).attempt("a", 0, 60, "failed").attempt("a", 70, 60).attempt("b", 90, 500).attempt("c", 700, 5)
    )
    record = run.ended(800).record
    bills = Replay.of([record]).bills(AdviceSubject(pipeline, [record]).assignment)
    assert [run_bill.total for run_bill in bills] == [bill.of(record).total]
