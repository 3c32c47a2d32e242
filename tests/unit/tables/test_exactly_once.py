"""One commit per run and stage, whoever dies or races (faults 26 to 28 of the libraries)."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from stagebook.engines.local import LocalEngine
from stagebook.errors import WriteConflict
from stagebook.model.tables import Column, Kind, TableSchema
from stagebook.tables.warehouse import Warehouse, Writer

SCRIPT = Path(__file__).with_name("writer_process.py")
SCHEMA = TableSchema(
    "t", "raced for", (Column("month", Kind.INT32, "month"), Column("writer", Kind.INT64, "who wrote"))
)
FRAME = pd.DataFrame({"month": [1] * 5, "writer": [0] * 5})


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(tmp_path / "tables", LocalEngine())


@pytest.fixture
def race(tmp_path):
    """`race([(run, months, then), …])` starts one process each, lets them go at once; gives their commits."""

    def start(writers):
        processes = [
            subprocess.Popen(
                [sys.executable, str(SCRIPT), str(tmp_path), run, str(number), json.dumps(months), then],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number, (run, months, then) in enumerate(writers, start=1)
        ]
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("ready-*"))) < len(processes):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (tmp_path / "go").touch()
        ended = [(process.communicate(timeout=60)[0], process.returncode) for process in processes]
        for file in [*tmp_path.glob("ready-*"), tmp_path / "go"]:
            file.unlink()
        return [json.loads(out) if code == 0 else code for out, code in ended]

    return start


def rows(warehouse):
    return Counter(warehouse.read("t", version=None)["month"].tolist())


def test_four_writers_of_one_transaction_commit_once(race, warehouse):
    for run in ("first", "second"):  # the first race creates the table
        ended = race([(run, [None], "")] * 4)
        assert len({commit[0] for [commit] in ended}) == 1
        assert sorted(commit[1] for [commit] in ended) == [False, True, True, True]
    assert (warehouse.latest("t"), rows(warehouse)) == (1, {1: 5})


def test_four_writers_of_different_runs_all_commit_and_nothing_is_lost(race, warehouse):
    warehouse.write(FRAME, SCHEMA, writer=Writer("r", "s", 1))
    ended = race([(f"run-{n}", [n * 10 + i for i in range(5)], "") for n in range(1, 5)])
    versions = [commit[0] for commits in ended for commit in commits]
    assert sorted(versions) == list(range(1, 21))
    assert rows(warehouse) == {1: 5} | {n * 10 + i: 5 for n in range(1, 5) for i in range(5)}


def test_a_writer_killed_right_after_its_commit_is_not_repeated(race, warehouse):
    assert race([("r", [None], "killed")]) == [-signal.SIGKILL]
    found = warehouse.committed("t", run_id="r", stage="s")
    assert (found.version, found.attempt, found.rows) == (0, 1, 5)
    retried = warehouse.write(FRAME.assign(writer=len("r")), SCHEMA, writer=Writer("r", "s", 2))
    assert (retried.version, retried.attempt, retried.repeated) == (0, 1, True)
    assert warehouse.latest("t") == 0
    assert warehouse.read("t", version=0)["writer"].max() > 0


def test_a_writer_killed_between_its_parts_goes_on_with_the_next(race, warehouse):
    assert race([("r", [1, 2], "killed")]) == [-signal.SIGKILL]
    again = race([("r", [1, 2, 3], "")])
    assert again == [[[0, True], [1, True], [2, False]]]
    assert rows(warehouse) == {1: 5, 2: 5, 3: 5}


def test_two_stages_of_a_run_write_for_themselves(warehouse):
    for stage, version in [("a", 0), ("b", 1), ("a", 0)]:
        assert warehouse.write(FRAME, SCHEMA, writer=Writer("r", stage, 1)).version == version


class Overtaken(LocalEngine):
    """An engine that is always overtaken, a given number of times."""

    def __init__(self, times):
        self.times = times

    def write(self, path, table, order):
        if self.times:
            self.times -= 1
            raise WriteConflict.of(str(path), version=7, winner="nightly")
        return super().write(path, table, order)


def test_a_conflict_is_tried_again(tmp_path):
    warehouse = Warehouse(tmp_path, Overtaken(3))
    assert warehouse.write(FRAME, SCHEMA, writer=Writer("r", "s", 1)).version == 0


def test_conflicts_without_end_name_the_winner(tmp_path):
    warehouse = Warehouse(tmp_path, Overtaken(1000))
    with pytest.raises(WriteConflict, match="run 'nightly' committed version 7"):
        warehouse.write(FRAME, SCHEMA, writer=Writer("r", "s", 1))
