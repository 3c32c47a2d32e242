"""The system tables: their columns, runs written exactly once, restatements, and Databricks' own SQL over them."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from fixtures.run_builder import I3, RunBuilder, rate_of, timestamp

from stagebook.costs import bill
from stagebook.delta import append_only
from stagebook.errors import ConfigError
from stagebook.model.pricing import Cluster, Compute
from stagebook.model.record import AttemptStatus, RunRecord
from stagebook.runs import folders
from stagebook.runs.events import fold
from stagebook.runs.journal import Journal
from stagebook.system_tables import queries
from stagebook.system_tables.columns import arrow_type, schema
from stagebook.system_tables.write import table_folder, table_names, write_missing_runs, write_runs
from stagebook.tracking.run_views import run_view

TODAY = date(2026, 11, 25)
RATES = [
    rate_of(),
    rate_of(Cluster(Compute.SERVERLESS, dbu_per_hour=Decimal(4), custom_tags={"team": "ml"}), "s"),
    rate_of(Cluster(Compute.ALL_PURPOSE, "c5.2xlarge", min_workers=1, max_workers=3, on_demand_nodes=1, idle_minutes=10), "a"),
]  # fmt: skip
PROFILES = {"x": "p", "y": "s", "z": "a", "w": None}


def write_run(record: RunRecord, tables, today=TODAY):
    write_runs([record], tables, today)


def stored_rows(tables, table="billing.usage"):
    return append_only.AppendOnlyTable(table_folder(tables, table)).rows()


def row_counts(tables):
    return {table: len(stored_rows(tables, table)) for table in table_names().values()}


def random_run(number: int) -> RunBuilder:
    """A run with failed, killed and resumed attempts and reused stages: all that may happen to a run."""
    random = Random(number)
    run = RunBuilder(PROFILES, RATES, f"run-{number}")
    start = random.uniform(0, 5_000_000)
    for session in range(random.randint(1, 3)):
        for stage in PROFILES:
            if random.random() < 0.2:
                continue
            seconds = round(random.uniform(0, 9_000), 3)
            run.attempt(stage, round(start, 3), seconds, random.choice(["succeeded", "failed", "timeout"]))
            run.minute(round(start, 3), round(start + min(60, seconds), 3), stage, busy=random.uniform(0, 100))
            start += seconds * random.uniform(0.5, 1.2)
        if random.random() < 0.3:
            run.reused("w", round(random.uniform(0, 3), 6))
        if random.random() < 0.5:
            run.ended(start + 10, "failed", 1)
        start += random.uniform(100, 90_000)
        if session < 2 and random.random() < 0.5:
            run.begin("x", round(start, 3))
            run.resumed(start + 700, x=round(start + 600, 3))
            start += 701
    return run.ended(start + 20_000)


def usd_by_run(tables, sql=queries.RUN_COST):
    return {row["run_id"]: row["usd"] for row in queries.run_query(sql, tables).to_pylist()}


@pytest.mark.parametrize("table", list(table_names().values()))
def test_a_table_has_the_columns_that_databricks_documents(tmp_path, table):
    write_run(random_run(1).record, tmp_path)
    rows = append_only.query("SELECT * FROM t.t.t", {"t.t.t": table_folder(tmp_path, table)})
    assert rows.column_names == schema(table).names
    assert len(rows.column_names) >= 5


def test_sql_types_become_arrow_types():
    import pyarrow as pa

    assert arrow_type("struct<a:decimal(38,18),b:map<string,array<bigint>>>") == pa.struct(
        [("a", pa.decimal128(38, 18)), ("b", pa.map_(pa.string(), pa.list_(pa.int64())))]
    )
    with pytest.raises(ValueError, match="'money' is no type"):
        arrow_type("money")


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> tuple[list[RunRecord], Path]:
    """200 runs, and the tables that they were written to: all after their end, and half of them also before it."""
    tables, records = tmp_path_factory.mktemp("history"), [random_run(number).record for number in range(200)]
    for start in range(0, 200, 50):
        runs = [random_run(number) for number in range(start, start + 50, 2)]
        unfinished = [record for run in runs if (record := fold(run.events[: len(run.events) // 2]))]
        write_runs(unfinished, tables, TODAY)
        write_runs(records[start : start + 50], tables, TODAY)
    return records, tables


def assert_costs_agree(records: list[RunRecord], usd: dict[str, Decimal]) -> None:
    """Check that record, `run.json`, MLflow and SQL have the same cost of each run, to a millionth of a dollar."""
    assert len(usd) > 190  # some runs reuse everything
    for record in records:
        run_bill = bill.of(record)
        assert round(usd.get(record.run_id, Decimal(0)), 6) == run_bill.total.total.likely
        assert folders.to_json(record)["cost"]["estimated_usd"] == run_bill.to_json()["estimated_usd"]
        metrics = run_view(record, final=True).metrics
        assert not run_bill.stages or metrics["cost.estimated_usd"][0] == run_bill.to_json()["estimated_usd"]


def test_the_history_has_all_that_may_happen_to_a_run(history):
    stages = [stage for record in history[0] for stage in record.stages.values()]
    statuses = [attempt.status for stage in stages for attempt in stage.attempts]
    assert statuses.count(AttemptStatus.INTERRUPTED) > 20  # killed, and resumed
    assert statuses.count(AttemptStatus.FAILED) > 100
    assert sum(len(record.sessions) > 1 for record in history[0]) > 50
    assert sum(bool(bill.of(record).total.saved) for record in history[0]) > 50
    assert {row["record_type"] for row in stored_rows(history[1])} == {"ORIGINAL", "RETRACTION", "RESTATEMENT"}


def test_record_mlflow_and_the_platforms_sql_agree_on_the_cents_of_200_runs(history):
    records, tables = history
    assert_costs_agree(records, usd_by_run(tables))
    (row,) = queries.run_query(queries.cost_by(()), tables).to_pylist()
    assert round(row["usd"], 6) == sum(bill.of(record).total.total.likely for record in records) > 1000


def test_spark_agrees_on_the_cents_of_200_runs(history, spark):
    records, tables = history
    sql = queries.RUN_COST
    for name, table in table_names().items():
        sql = sql.replace(name, f"delta.`{table_folder(tables, table)}`")  # there is no catalog `system` here
    assert_costs_agree(records, {row["run_id"]: row["usd"] for row in spark.session.sql(sql).toArrow().to_pylist()})


def test_a_run_that_is_written_twice_is_stored_once(tmp_path):
    record = random_run(3).record
    write_run(record, tmp_path)
    before = row_counts(tmp_path)
    write_run(record, tmp_path)
    assert row_counts(tmp_path) == before
    assert all(row["record_type"] == "ORIGINAL" for row in stored_rows(tmp_path))
    ids = [row["record_id"] for row in stored_rows(tmp_path)]
    assert len(set(ids)) == len(ids)


def test_a_start_up_in_the_hour_before_its_run_begins_is_not_stored_twice(tmp_path):
    run = RunBuilder({"x": "p"}, [rate_of()])
    run.events[0]["at"] = timestamp(100)
    record = run.attempt("x", 120, 60).ended(200).record  # 3 of 5 minutes lie in the hour before
    for _ in range(2):
        write_run(record, tmp_path)
    assert round(usd_by_run(tmp_path)["r1"], 6) == bill.of(record).total.total.likely
    assert {row["record_type"] for row in stored_rows(tmp_path)} == {"ORIGINAL"}


@pytest.mark.parametrize("survived", range(len(table_names()) + 1))
def test_a_write_that_was_cut_off_is_completed(tmp_path, monkeypatch, survived):
    """The process dies before commit number `survived`; the next write of the run adds the missing rows."""
    record, append, commits = random_run(3).record, append_only.AppendOnlyTable.append, []

    def append_or_die(table, rows):
        if len(commits) == survived:
            raise KeyboardInterrupt
        commits.append(table)
        append(table, rows)

    monkeypatch.setattr(append_only.AppendOnlyTable, "append", append_or_die)
    if survived < len(table_names()):
        with pytest.raises(KeyboardInterrupt):
            write_run(record, tmp_path / "cut")
    monkeypatch.setattr(append_only.AppendOnlyTable, "append", append)
    write_run(record, tmp_path / "cut")
    write_run(record, tmp_path / "uncut")
    assert row_counts(tmp_path / "cut") == row_counts(tmp_path / "uncut")
    assert usd_by_run(tmp_path / "cut") == usd_by_run(tmp_path / "uncut")


def test_a_resumed_run_adds_its_new_rows_and_leaves_the_others(tmp_path):
    run = RunBuilder({"x": "p"}, [rate_of()]).attempt("x", 0, 600, "failed").ended(700, "failed", 1)
    write_run(run.record, tmp_path)
    rows_before = stored_rows(tmp_path)
    run.resumed(1000).attempt("x", 1010, 60).ended(1100)
    write_run(run.record, tmp_path)
    assert [row for row in stored_rows(tmp_path) if row in rows_before] == rows_before
    assert round(usd_by_run(tmp_path)["r1"], 6) == bill.of(run.record).total.total.likely
    states = [row["result_state"] for row in stored_rows(tmp_path, "lakeflow.job_run_timeline")]
    assert sorted(states) == ["FAILED", "SUCCEEDED"]


def test_a_changed_row_is_retracted_and_restated(tmp_path):
    run = RunBuilder({"x": "p"}, [rate_of()])
    run.begin("x", 0)
    killed = RunBuilder({"x": "p"}, [rate_of()])
    killed.begin("x", 0)
    write_run(killed.resumed(900, x=60).ended(901, "failed", 1).record, tmp_path)
    changed = run.resumed(900, x=600).ended(901, "failed", 1).record  # the attempt was last seen later than recorded
    for _ in range(2):
        write_run(changed, tmp_path, date(2026, 12, 1))
    kinds = [row["record_type"] for row in stored_rows(tmp_path)]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"ORIGINAL": 4, "RETRACTION": 2, "RESTATEMENT": 2}
    assert round(usd_by_run(tmp_path)["r1"], 6) == bill.of(changed).total.total.likely
    write_run(RunBuilder({"x": "p"}, [rate_of()]).ended(901).record, tmp_path)
    assert usd_by_run(tmp_path)["r1"] == 0


def test_prices_that_differ_never_mix(tmp_path):
    expensive = rate_of(Cluster(node_type_id=I3.node_type_id, min_workers=4, max_workers=4, photon=True))
    cheap_run = RunBuilder({"x": "p"}, [rate_of()], "cheap").attempt("x", 0, 3600).ended(3700)
    expensive_run = RunBuilder({"x": "p"}, [expensive], "expensive").attempt("x", 0, 3600).ended(3700)
    for record in (cheap_run.record, expensive_run.record):
        write_run(record, tmp_path)
        assert round(usd_by_run(tmp_path)[record.run_id], 6) == bill.of(record).total.total.likely


def test_a_task_whose_upstream_changes_gets_another_row_in_whatever_order_runs_are_written(tmp_path):
    early, late = RunBuilder({"x": "p"}, [], "early"), RunBuilder({"x": "p"}, [], "late")
    late.stages["x"]["depends_on"] = ["y"]
    late.events[0]["at"] = early.events[0]["at"].replace("2026-11-23", "2026-11-24")
    for _ in range(2):
        for run in (late, early):
            write_run(run.ended(9).record, tmp_path)
    rows = stored_rows(tmp_path, "lakeflow.job_tasks")
    assert sorted(row["depends_on_keys"] for row in rows) == [[], ["y"]]


def test_a_minute_is_stored_once_a_cluster_with_the_machine_that_was_measured(tmp_path):
    run = (
        RunBuilder({"x": "p", "y": "p", "z": "s", "w": None}, RATES)
        .attempt("x", 0, 90)
        .attempt("y", 0, 90)
        .attempt("z", 30, 9)
    )
    run.attempt("w", 100, 9).minute(0, 60, "x", "y", "z").minute(60, 90, "x", "y", busy=99.5).minute(100, 109, "w")
    for record in (run.record, run.ended(200).record):
        write_run(record, tmp_path)
    rows = stored_rows(tmp_path, "compute.node_timeline")
    seconds = {
        (row["cluster_id"], (row["end_time"] - row["start_time"]).seconds): row["cpu_user_percent"] for row in rows
    }
    assert seconds == {("r1-0-p", 60): 50, ("r1-0-p", 30): 99.5, ("r1-0-s", 60): 50}
    assert len(rows) == 3
    assert {(row["instance_id"], row["node_type"], row["driver"]) for row in rows} == {
        ("laptop", "LOCAL:2x8192MB", True)
    }


def test_minutes_of_a_session_belong_to_its_clusters(tmp_path):
    run = RunBuilder({"x": "p"}, [rate_of()]).attempt("x", 0, 60, "failed").minute(0, 60, "x").ended(70, "failed", 1)
    run.resumed(100).attempt("x", 101, 20).minute(101, 121, "x").ended(130)
    write_run(run.record, tmp_path)
    assert [row["cluster_id"] for row in stored_rows(tmp_path, "compute.node_timeline")] == ["r1-0-p", "r1-1-p"]


def test_node_types_are_those_of_the_prices_and_this_machine(tmp_path):
    for number in (1, 2):
        write_run(RunBuilder(PROFILES, RATES, f"run-{number}").attempt("x", 0, 9).ended(10).record, tmp_path)
    sizes = {
        row["node_type"]: (row["core_count"], row["memory_mb"]) for row in stored_rows(tmp_path, "compute.node_types")
    }
    assert sizes == {"i3.xlarge": (4, 31232), "c5.2xlarge": (8, 16384), "LOCAL:2x8192MB": (2, 8192)}
    assert row_counts(tmp_path)["compute.node_types"] == 3


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
def test_costs_are_grouped_by_the_given_column(tmp_path, by, names):
    run = RunBuilder(PROFILES, RATES).attempt("x", 0, 60, "failed").attempt("x", 60, 600).attempt("y", 90, 30)
    record = run.attempt("z", 600, 30).ended(2000).record
    write_run(record, tmp_path)
    rows = queries.run_query(queries.cost_by([by], "demo"), tmp_path).to_pylist()
    assert [row[by] for row in rows] == names
    assert round(sum(row["usd"] for row in rows), 6) == bill.of(record).total.total.likely
    assert not queries.run_query(queries.cost_by([by], "it's"), tmp_path).num_rows


def test_an_unknown_column_or_a_missing_table_is_an_error_that_says_so(tmp_path):
    with pytest.raises(ConfigError, match="--by: there is no 'stges'. Did you mean 'stage'"):
        queries.cost_by(["stges"])
    with pytest.raises(queries.NoSystemTables, match="no run has ended yet"):
        queries.run_query(queries.RUN_COST, tmp_path)


def test_runs_that_were_never_written_are_written_later(tmp_path):
    for number in (1, 2):
        with Journal(folders.folder(tmp_path / "runs", f"run-{number}").events) as journal:
            for event in random_run(number).events:
                journal.append(event)
    for _ in range(2):
        write_missing_runs(tmp_path / "runs", tmp_path, TODAY)
        assert set(usd_by_run(tmp_path)) == {"run-1", "run-2"}
    before = row_counts(tmp_path)
    write_missing_runs(tmp_path / "runs", tmp_path, TODAY)
    assert row_counts(tmp_path) == before
