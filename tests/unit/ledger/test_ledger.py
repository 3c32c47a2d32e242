"""The system tables: their columns, entered exactly once, restated, and the platform's own SQL over them."""

import random
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from fixtures.bills import I3, Story, at, rated

from stagebook.cost import bill
from stagebook.engines import appending
from stagebook.errors import ConfigError
from stagebook.ledger import post, questions
from stagebook.ledger.columns import arrow_type, schema
from stagebook.model.events import fold
from stagebook.model.pricing import Cluster, Compute
from stagebook.model.record import AttemptStatus, RunRecord
from stagebook.storage import runs
from stagebook.storage.journal import Journal
from stagebook.track.projection import run_view

TODAY = date(2026, 11, 25)
RATES = [
    rated(),
    rated(Cluster(Compute.SERVERLESS, dbu_per_hour=Decimal(4), custom_tags={"team": "ml"}), "s"),
    rated(Cluster(Compute.ALL_PURPOSE, "c5.2xlarge", min_workers=1, max_workers=3, on_demand_nodes=1, idle_minutes=10), "a"),
]  # fmt: skip
PROFILES = {"x": "p", "y": "s", "z": "a", "w": None}


def enter(record: RunRecord, tables, today=TODAY):
    post.post([record], tables, today)


def held(tables, table="billing.usage"):
    return appending.Growing(post.folder(tables, table)).rows()


def counts(tables):
    return {table: len(held(tables, table)) for table in post.names().values()}


def random_run(number: int) -> Story:
    """Attempts that fail, are killed and resumed, stages that are reused: whatever a run may meet."""
    chance = random.Random(number)
    story = Story(PROFILES, RATES, f"run-{number}")
    now = chance.uniform(0, 5_000_000)
    for leg in range(chance.randint(1, 3)):
        for stage in PROFILES:
            if chance.random() < 0.2:
                continue
            lasts = round(chance.uniform(0, 9_000), 3)
            story.attempt(stage, round(now, 3), lasts, chance.choice(["succeeded", "failed", "timeout"]))
            story.minute(round(now, 3), round(now + min(60, lasts), 3), stage, busy=chance.uniform(0, 100))
            now += lasts * chance.uniform(0.5, 1.2)
        if chance.random() < 0.3:
            story.reused("w", round(chance.uniform(0, 3), 6))
        if chance.random() < 0.5:
            story.ended(now + 10, "failed", 1)
        now += chance.uniform(100, 90_000)
        if leg < 2 and chance.random() < 0.5:
            story.begin("x", round(now, 3))
            story.resumed(now + 700, x=round(now + 600, 3))
            now += 701
    return story.ended(now + 20_000)


def asked(tables, sql=questions.RUN_COST):
    return {row["run_id"]: row["usd"] for row in questions.ask(sql, tables).to_pylist()}


@pytest.mark.parametrize("table", list(post.names().values()))
def test_a_table_has_the_columns_that_databricks_documents(tmp_path, table):
    enter(random_run(1).record, tmp_path)
    found = appending.query("SELECT * FROM t.t.t", {"t.t.t": post.folder(tmp_path, table)})
    assert found.column_names == schema(table).names
    assert len(found.column_names) >= 5


def test_types_are_read_as_sql_writes_them():
    import pyarrow as pa

    assert arrow_type("struct<a:decimal(38,18),b:map<string,array<bigint>>>") == pa.struct(
        [("a", pa.decimal128(38, 18)), ("b", pa.map_(pa.string(), pa.list_(pa.int64())))]
    )
    with pytest.raises(ValueError, match="'money' is no type"):
        arrow_type("money")


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> tuple[list[RunRecord], Path]:
    """200 runs, and the tables that they were entered into: as they ended, and half of them before, as they stood."""
    tables, records = tmp_path_factory.mktemp("history"), [random_run(number).record for number in range(200)]
    for start in range(0, 200, 50):
        begun = [random_run(number) for number in range(start, start + 50, 2)]
        post.post([early for story in begun if (early := fold(story.events[: len(story.events) // 2]))], tables, TODAY)
        post.post(records[start : start + 50], tables, TODAY)
    return records, tables


def agree(records: list[RunRecord], answers: dict[str, Decimal]) -> None:
    """Record, `run.json`, MLflow and what SQL says of a run are the same to a millionth of a dollar."""
    assert len(answers) > 190  # some runs reuse everything
    for record in records:
        billed = bill.of(record)
        assert round(answers.get(record.run_id, Decimal(0)), 6) == billed.total.total.likely
        assert runs.to_json(record)["cost"]["estimated_usd"] == billed.to_json()["estimated_usd"]
        metrics = run_view(record, final=True).metrics
        assert not billed.stages or metrics["cost.estimated_usd"][0] == billed.to_json()["estimated_usd"]


def test_the_history_has_all_that_a_run_may_meet(history):
    attempts = [at for record in history[0] for stage in record.stages.values() for at in stage.attempts]
    assert sum(at.status is AttemptStatus.INTERRUPTED for at in attempts) > 20  # killed, and resumed
    assert sum(at.status is AttemptStatus.FAILED for at in attempts) > 100
    assert sum(len(record.legs) > 1 for record in history[0]) > 50
    assert sum(bool(bill.of(record).total.saved) for record in history[0]) > 50
    assert {row["record_type"] for row in held(history[1])} == {"ORIGINAL", "RETRACTION", "RESTATEMENT"}


def test_record_mlflow_and_the_platforms_sql_tell_the_same_cents_over_200_runs(history):
    records, tables = history
    agree(records, asked(tables))
    (row,) = questions.ask(questions.cost_by(()), tables).to_pylist()
    assert round(row["usd"], 6) == sum(bill.of(record).total.total.likely for record in records) > 1000


def test_so_does_spark(history, spark):
    records, tables = history
    sql = questions.RUN_COST
    for name, table in post.names().items():
        sql = sql.replace(name, f"delta.`{post.folder(tables, table)}`")  # there is no catalog `system` here
    agree(records, {row["run_id"]: row["usd"] for row in spark.session.sql(sql).toArrow().to_pylist()})


def test_a_run_is_entered_once_however_often_it_is_told(tmp_path):
    record = random_run(3).record
    enter(record, tmp_path)
    before = counts(tmp_path)
    enter(record, tmp_path)
    assert counts(tmp_path) == before
    assert all(row["record_type"] == "ORIGINAL" for row in held(tmp_path))
    ids = [row["record_id"] for row in held(tmp_path)]
    assert len(set(ids)) == len(ids)


def test_a_start_up_that_ends_an_hour_before_its_run_begins_is_not_entered_twice(tmp_path):
    story = Story({"x": "p"}, [rated()])
    story.events[0]["at"] = at(100)
    record = story.attempt("x", 120, 60).ended(200).record  # 3 of 5 minutes lie in the hour before
    for _ in range(2):
        enter(record, tmp_path)
    assert round(asked(tmp_path)["r1"], 6) == bill.of(record).total.total.likely
    assert {row["record_type"] for row in held(tmp_path)} == {"ORIGINAL"}


@pytest.mark.parametrize("survived", range(len(post.names()) + 1))
def test_an_entry_that_was_cut_off_is_completed(tmp_path, monkeypatch, survived):
    """The process dies before its commit number `survived`; whoever enters the run later enters the rest."""
    record, real, commits = random_run(3).record, appending.Growing.append, []

    def dies(table, rows):
        if len(commits) == survived:
            raise KeyboardInterrupt
        commits.append(table)
        real(table, rows)

    monkeypatch.setattr(appending.Growing, "append", dies)
    if survived < len(post.names()):
        with pytest.raises(KeyboardInterrupt):
            enter(record, tmp_path / "cut")
    monkeypatch.setattr(appending.Growing, "append", real)
    enter(record, tmp_path / "cut")
    enter(record, tmp_path / "whole")
    assert counts(tmp_path / "cut") == counts(tmp_path / "whole")
    assert asked(tmp_path / "cut") == asked(tmp_path / "whole")


def test_a_resumed_run_adds_what_is_new_and_leaves_the_rest(tmp_path):
    story = Story({"x": "p"}, [rated()]).attempt("x", 0, 600, "failed").ended(700, "failed", 1)
    enter(story.record, tmp_path)
    first = held(tmp_path)
    story.resumed(1000).attempt("x", 1010, 60).ended(1100)
    enter(story.record, tmp_path)
    assert [row for row in held(tmp_path) if row in first] == first
    assert round(asked(tmp_path)["r1"], 6) == bill.of(story.record).total.total.likely
    states = [row["result_state"] for row in held(tmp_path, "lakeflow.job_run_timeline")]
    assert sorted(states) == ["FAILED", "SUCCEEDED"]


def test_what_changed_is_taken_back_and_told_again(tmp_path):
    story = Story({"x": "p"}, [rated()])
    story.begin("x", 0)
    killed = Story({"x": "p"}, [rated()])
    killed.begin("x", 0)
    enter(killed.resumed(900, x=60).ended(901, "failed", 1).record, tmp_path)
    told = story.resumed(900, x=600).ended(901, "failed", 1).record  # a later look found that it had lived longer
    for _ in range(2):
        enter(told, tmp_path, date(2026, 12, 1))
    kinds = [row["record_type"] for row in held(tmp_path)]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"ORIGINAL": 4, "RETRACTION": 2, "RESTATEMENT": 2}
    assert round(asked(tmp_path)["r1"], 6) == bill.of(told).total.total.likely
    enter(Story({"x": "p"}, [rated()]).ended(901).record, tmp_path)
    assert asked(tmp_path)["r1"] == 0


def test_prices_that_differ_never_mix(tmp_path):
    dear = rated(Cluster(node_type_id=I3.node_type_id, min_workers=4, max_workers=4, photon=True))
    one = Story({"x": "p"}, [rated()], "one").attempt("x", 0, 3600).ended(3700).record
    other = Story({"x": "p"}, [dear], "other").attempt("x", 0, 3600).ended(3700).record
    for record in (one, other):
        enter(record, tmp_path)
        assert round(asked(tmp_path)[record.run_id], 6) == bill.of(record).total.total.likely


def test_a_task_whose_upstream_changes_is_told_with_its_time_in_whatever_order_runs_are_entered(tmp_path):
    early, late = Story({"x": "p"}, [], "early"), Story({"x": "p"}, [], "late")
    late.stages["x"]["depends_on"] = ["y"]
    late.events[0]["at"] = early.events[0]["at"].replace("2026-11-23", "2026-11-24")
    for _ in range(2):
        for story in (late, early):
            enter(story.ended(9).record, tmp_path)
    told = held(tmp_path, "lakeflow.job_tasks")
    assert sorted(row["depends_on_keys"] for row in told) == [[], ["y"]]


def test_a_minute_is_told_once_a_cluster_and_of_the_machine_that_was_measured(tmp_path):
    story = (
        Story({"x": "p", "y": "p", "z": "s", "w": None}, RATES)
        .attempt("x", 0, 90)
        .attempt("y", 0, 90)
        .attempt("z", 30, 9)
    )
    story.attempt("w", 100, 9).minute(0, 60, "x", "y", "z").minute(60, 90, "x", "y", busy=99.5).minute(100, 109, "w")
    for record in (story.record, story.ended(200).record):
        enter(record, tmp_path)
    told = held(tmp_path, "compute.node_timeline")
    seconds = {
        (row["cluster_id"], (row["end_time"] - row["start_time"]).seconds): row["cpu_user_percent"] for row in told
    }
    assert seconds == {("r1-0-p", 60): 50, ("r1-0-p", 30): 99.5, ("r1-0-s", 60): 50}
    assert len(told) == 3
    assert {(row["instance_id"], row["node_type"], row["driver"]) for row in told} == {
        ("laptop", "LOCAL:2x8192MB", True)
    }


def test_minutes_of_a_leg_are_of_its_clusters(tmp_path):
    story = Story({"x": "p"}, [rated()]).attempt("x", 0, 60, "failed").minute(0, 60, "x").ended(70, "failed", 1)
    story.resumed(100).attempt("x", 101, 20).minute(101, 121, "x").ended(130)
    enter(story.record, tmp_path)
    assert [row["cluster_id"] for row in held(tmp_path, "compute.node_timeline")] == ["r1-0-p", "r1-1-p"]


def test_node_types_are_those_of_the_prices_and_this_machine(tmp_path):
    for number in (1, 2):
        enter(Story(PROFILES, RATES, f"run-{number}").attempt("x", 0, 9).ended(10).record, tmp_path)
    sizes = {row["node_type"]: (row["core_count"], row["memory_mb"]) for row in held(tmp_path, "compute.node_types")}
    assert sizes == {"i3.xlarge": (4, 31232), "c5.2xlarge": (8, 16384), "LOCAL:2x8192MB": (2, 8192)}
    assert counts(tmp_path)["compute.node_types"] == 3


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("stage", ["x", "y", "z"]),
        ("profile", ["a", "p", "s"]),
        ("spent_on", ["idle", "useful", "wasted"]),
        ("pipeline", ["demo"]),
        ("run", ["r1"]),
        ("month", ["2026-11"]),
        ("tag.team", ["ml", None]),
    ],
)
def test_costs_are_told_by_what_one_asks_for(tmp_path, by, names):
    story = Story(PROFILES, RATES).attempt("x", 0, 60, "failed").attempt("x", 60, 600).attempt("y", 90, 30)
    record = story.attempt("z", 600, 30).ended(2000).record
    enter(record, tmp_path)
    answer = questions.ask(questions.cost_by([by], "demo"), tmp_path).to_pylist()
    assert [row[by] for row in answer] == names
    assert round(sum(row["usd"] for row in answer), 6) == bill.of(record).total.total.likely
    assert not questions.ask(questions.cost_by([by], "it's"), tmp_path).num_rows


def test_what_cannot_be_asked_says_what_can(tmp_path):
    with pytest.raises(ConfigError, match="--by: there is no 'stges'. Did you mean 'stage'"):
        questions.cost_by(["stges"])
    with pytest.raises(questions.NoLedger, match="no run has ended yet"):
        questions.ask(questions.RUN_COST, tmp_path)


def test_runs_that_nobody_entered_are_caught_up_with(tmp_path):
    for number in (1, 2):
        with Journal(runs.folder(tmp_path / "runs", f"run-{number}").events) as journal:
            for event in random_run(number).events:
                journal.append(event)
    for _ in range(2):
        post.catch_up(tmp_path / "runs", tmp_path, TODAY)
        assert set(asked(tmp_path)) == {"run-1", "run-2"}
    before = counts(tmp_path)
    post.catch_up(tmp_path / "runs", tmp_path, TODAY)
    assert counts(tmp_path) == before
