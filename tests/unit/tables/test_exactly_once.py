"""One commit per run and stage, even if writers race or are killed (faults 26 to 28 of the libraries)."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zlib import crc32

import pandas as pd
import pytest
from fixtures.processes import HANG_SECONDS

from stagebook.delta.creation import create_empty
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.errors import WriteConflict
from stagebook.model.tables import Column, Kind, TableSchema
from stagebook.tables.warehouse import Warehouse, Writer

SCRIPT = Path(__file__).with_name("writer_process.py")
TESTS = Path(__file__).resolve().parents[2]
SCHEMA = TableSchema(
    "t", "raced for", (Column("month", Kind.INT32, "month"), Column("writer", Kind.INT64, "who wrote"))
)


def frame(run, month=1):
    """The frame that the writers of `writer_process.py` write."""
    return pd.DataFrame({"month": [month] * 5, "writer": [crc32(run.encode())] * 5})


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(tmp_path / "tables", LocalEngine())


@pytest.fixture
def races(tmp_path):
    """`races([(run, months, ending), …], …)`: of each race, what its writers committed, or the signals that ended them.

    The writers of a race are processes that start at once; the races are one after the other.
    """

    def run_races(*races):
        command = [sys.executable, str(SCRIPT), str(tmp_path), json.dumps(races)]
        environment = {**os.environ, "PYTHONPATH": str(TESTS)}
        process = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True, timeout=HANG_SECONDS
        )
        return json.loads(process.stdout)

    return run_races


def rows(warehouse):
    return Counter(warehouse.read("t", version=None)["month"].tolist())


@pytest.mark.slow
def test_four_writers_of_one_transaction_commit_once(races, warehouse):
    for ended in races([("first", [None], "")] * 4, [("second", [None], "")] * 4):  # the first race creates the table
        assert len({commit[0] for [commit] in ended}) == 1
        assert sorted(commit[1] for [commit] in ended) == [False, True, True, True]
    assert (warehouse.latest("t"), rows(warehouse)) == (1, {1: 5})


@pytest.mark.slow
def test_four_writers_of_different_runs_all_commit_and_no_rows_are_lost(races, warehouse):
    warehouse.write(frame("r"), SCHEMA, writer=Writer("r", "s", 1))
    [ended] = races([(f"run-{n}", [n * 10 + i for i in range(5)], "") for n in range(1, 5)])
    versions = [commit[0] for commits in ended for commit in commits]
    assert sorted(versions) == list(range(1, 21))
    assert rows(warehouse) == {1: 5} | {n * 10 + i: 5 for n in range(1, 5) for i in range(5)}


@pytest.mark.slow
def test_a_writer_killed_right_after_its_commit_is_not_repeated(races, warehouse):
    assert races([("r", [None], "killed")]) == [[-signal.SIGKILL]]
    commit = warehouse.committed("t", run_id="r", stage="s")
    assert (commit.version, commit.attempt, commit.rows) == (0, 1, 5)
    retried = warehouse.write(frame("r"), SCHEMA, writer=Writer("r", "s", 2))
    assert (retried.version, retried.attempt, retried.repeated) == (0, 1, True)
    assert warehouse.latest("t") == 0


@pytest.mark.slow
def test_a_writer_killed_between_two_commits_continues_with_the_next(races, warehouse):
    killed, retried = races([("r", [1, 2], "killed")], [("r", [1, 2, 3], "")])
    assert killed == [-signal.SIGKILL]
    assert retried == [[[0, True], [1, True], [2, False]]]
    assert rows(warehouse) == {1: 5, 2: 5, 3: 5}


def test_a_corrected_notebook_commits_anew_and_once(warehouse):
    written = [
        warehouse.write(frame(content), SCHEMA, writer=Writer("r", "s", attempt))
        for attempt, content in enumerate(["wrong", "wrong", "corrected", "corrected"], start=1)
    ]
    assert [(commit.version, commit.repeated) for commit in written] == [(0, False), (0, True), (1, False), (1, True)]
    assert warehouse.committed("t", run_id="r", stage="s").version == 1


def test_corrected_rows_replace_the_rows_of_the_same_condition(warehouse):
    for content, version in [("wrong", 0), ("corrected", 1), ("corrected", 1)]:
        commit = warehouse.write(frame(content, 2), SCHEMA, writer=Writer("r", "s", 1), replace=[("month", "=", 2)])
        assert commit.version == version
    assert rows(warehouse) == {2: 5}


def test_the_commit_of_a_stage_that_replaces_some_of_its_rows_is_its_last(warehouse):
    writer = Writer("r", "s", 1)
    warehouse.write(frame("r", 1), SCHEMA, writer=writer)
    replacement = warehouse.write(frame("r", 2), SCHEMA, writer=writer, replace=[("month", "=", 2)])
    assert warehouse.committed("t", run_id="r", stage="s").version == replacement.version == 1


def test_two_stages_of_a_run_have_separate_commits(warehouse):
    for stage, version in [("a", 0), ("b", 1), ("a", 0)]:
        assert warehouse.write(frame("r"), SCHEMA, writer=Writer("r", stage, 1)).version == version


def test_an_empty_table_is_created_once_however_many_create_it_at_once(tmp_path):
    barrier = threading.Barrier(8, timeout=HANG_SECONDS)

    def create(number):
        barrier.wait()
        create_empty(tmp_path / str(number), SCHEMA)

    with ThreadPoolExecutor(8) as pool:
        for number in range(60):
            list(pool.map(create, [number] * 8))
    logs = Counter(len(list((path / "_delta_log").glob("*.json"))) for path in tmp_path.iterdir())
    assert logs == {1: 60}


# The same on Spark, and with writers on Spark and on pandas: each sees the commits of the other.


@pytest.fixture
def on_spark(spark, warehouse):
    """A warehouse of the same tables on Spark, its server up for the writers."""
    return Warehouse(warehouse.root, spark)


def test_two_spark_writers_of_one_transaction_commit_once(races, on_spark, warehouse):
    first, second = [("first", [None], "", "spark")] * 2, [("second", [None], "", "spark")] * 2
    for ended in races(first, second):  # the first race creates the table
        assert len({commit[0] for [commit] in ended}) == 1
        assert sorted(commit[1] for [commit] in ended) == [False, True]
    assert (on_spark.latest("t"), rows(warehouse)) == (2, {1: 5})  # version 0 is the table without rows


def test_a_spark_writer_killed_right_after_its_commit_is_not_repeated(races, on_spark, warehouse):
    assert races([("r", [None], "killed", "spark")]) == [[-signal.SIGKILL]]
    commit = on_spark.committed("t", run_id="r", stage="s")
    assert (commit.version, commit.attempt, commit.rows) == (1, 1, 5)
    retried = on_spark.write(frame("r"), SCHEMA, writer=Writer("r", "s", 2))
    assert (retried.version, retried.attempt, retried.repeated) == (1, 1, True)
    assert (on_spark.latest("t"), rows(warehouse)) == (1, {1: 5})


def test_writers_on_spark_and_pandas_all_commit_and_no_rows_are_lost(races, on_spark, warehouse):
    warehouse.write(frame("r"), SCHEMA, writer=Writer("r", "s", 1))
    months, engines = {1: [10, 11], 2: [20, 21], 3: [30]}, ["spark", "pandas", "spark"]
    [ended] = races([(f"run-{n}", months[n], "", engine) for n, engine in enumerate(engines, 1)])
    assert sorted(version for commits in ended for version, _ in commits) == list(range(1, 6))
    assert rows(warehouse) == {1: 5} | {month: 5 for of_run in months.values() for month in of_run}
    for n, commits in enumerate(ended, start=1):
        assert on_spark.commit("t", commits[-1][0]).run_id == f"run-{n}"


def test_writers_of_the_same_month_replace_all_rows_of_each_other(races, on_spark, warehouse):
    [ended] = races([("a", [7, 7], "", "spark"), ("b", [7, 7], "")])
    versions = sorted(version for commits in ended for version, repeated in commits if not repeated)
    assert versions == list(range(versions[0], versions[0] + len(versions))), "each is a commit of its own"
    assert rows(warehouse) == {7: 5}
    assert len(set(warehouse.read("t", version=None)["writer"])) == 1


class Overtaken(LocalEngine):
    """An engine whose first writes, a given number of them, all meet a conflict."""

    def __init__(self, times):
        self.times = times

    def write(self, path, table, order):
        if self.times:
            self.times -= 1
            raise WriteConflict.of(str(path), version=7, winner="nightly")
        return super().write(path, table, order)


def test_a_write_is_retried_after_a_conflict(tmp_path):
    warehouse = Warehouse(tmp_path, Overtaken(3))
    assert warehouse.write(frame("r"), SCHEMA, writer=Writer("r", "s", 1)).version == 0


def test_conflicts_without_end_name_the_winner(tmp_path, monkeypatch):
    monkeypatch.setattr("stagebook.tables.warehouse.WRITE_TRIES", 3)
    warehouse = Warehouse(tmp_path, Overtaken(1000))
    with pytest.raises(WriteConflict, match="run 'nightly' committed version 7"):
        warehouse.write(frame("r"), SCHEMA, writer=Writer("r", "s", 1))
