"""Vacuum on real tables: versions that kept runs need stay readable, and files that nobody needs are removed."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from fixtures.journals import write_journal
from fixtures.properties import costly_examples
from hypothesis import given
from hypothesis import strategies as st

from stagebook.delta.pandas_engine import LocalEngine
from stagebook.errors import DamagedTable, ReadOnlyTable, UnknownTable
from stagebook.model.tables import Column, Kind, TableSchema
from stagebook.runs import folders
from stagebook.tables import maintenance, retention
from stagebook.tables.vacuum import apply_vacuum, propose_vacuum
from stagebook.tables.warehouse import Warehouse, Writer

SCHEMA = TableSchema("t", "rows", (Column("part", Kind.INT32, "part"), Column("value", Kind.INT32, "value")))
LATER = datetime.now(UTC) + timedelta(hours=1)


class Project:
    """A warehouse and a folder of run records."""

    def __init__(self, root: Path) -> None:
        self.warehouse, self.runs = Warehouse(root / "tables", LocalEngine()), root / "runs"

    def write(self, run: str, value: int, part: int = 1) -> int:
        rows = pd.DataFrame({"part": [part] * 3, "value": [value] * 3})
        where = [("part", "=", part)]
        return self.warehouse.write(rows, SCHEMA, writer=Writer(run, "prep", 1), replace=where).version

    def record(self, run: str, *events: dict) -> None:
        write_journal(self.runs / run / "events.jsonl", *(events or ({"event": "run_started"},)))

    def vacuum(self, *, hours=0.0, now=LATER, apply=True):
        runs = retention.kept_runs([self.runs])
        plan = propose_vacuum(self.warehouse, "t", runs, older_than=timedelta(hours=hours), now=now)
        return apply_vacuum(plan) if apply else plan

    def values(self, version: int) -> list[list[int]]:
        return sorted(self.warehouse.read("t", version=version).to_numpy().tolist())

    def readable(self, version: int) -> bool:
        try:
            return bool(self.values(version))
        except Exception:
            return False


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


def test_a_plan_removes_nothing_and_applying_it_removes_exactly_its_files(project):
    for value in range(3):
        project.write(f"deleted-{value}", value)
    plan = project.vacuum(apply=False)
    assert (len(plan.files), plan.remaining.count, plan.applied) == (2, 1, False)
    assert all(project.readable(version) for version in range(3))
    applied = project.vacuum()
    assert (applied.files, applied.applied) == (plan.files, True)
    assert [project.readable(version) for version in range(3)] == [False, False, True]


def test_a_plan_as_json_has_its_documented_keys(project):
    project.write("deleted", 0)
    project.write("reader", 1)
    project.record("reader", {"event": "run_started", "pins": {"t": 1}})
    value = project.vacuum(apply=False).to_json()
    assert list(value) == ["files", "kept", "protected", "lost", "applied", "size_bytes"]
    assert value["protected"] == [
        {"run_id": "reader", "versions": {1: "pinned at its start"}, "files": {"count": 0, "size_bytes": 0}}
    ]
    assert value["size_bytes"] == sum(value["files"].values()) > 0
    assert json.dumps(value)


PINS = [
    ({"event": "run_started", "pins": {"t": 0}}, "pinned at its start"),
    ({"event": "attempt_started", "stage": "train", "inputs": {"t": 0}}, "read by train"),
    ({"event": "stage_settled", "stage": "prep", "outputs": {"t": {"version": 0, "rows": 3}}}, "written by prep"),
    ({"event": "stage_settled", "stage": "up", "inputs": {"t": 0}, "outputs": {}}, "read by up"),
]


@pytest.mark.parametrize(("event", "reason"), PINS, ids=[reason for _, reason in PINS])
def test_a_version_that_a_kept_run_names_stays_and_the_plan_names_the_run(project, event, reason):
    for value in range(3):
        project.write(f"deleted-{value}", value)
    project.record("kept", {"event": "run_started"}, event)
    plan = project.vacuum()
    [retained] = plan.retained
    assert (retained.run_id, dict(retained.versions)) == ("kept", {0: reason})
    assert retained.files.count == 1
    assert [project.readable(version) for version in range(3)] == [True, False, True]
    (project.runs / "kept/events.jsonl").unlink()
    assert len(project.vacuum().files) == 1, "a run that is deleted retains nothing"


def test_a_version_that_a_kept_run_committed_before_it_failed_stays_for_its_resume(project):
    project.write("failed", 0)
    project.write("deleted", 1)
    project.record("failed")
    assert [dict(run.versions) for run in project.vacuum().retained] == [{0: "committed by prep"}]
    assert project.values(0) == [[1, 0]] * 3


def test_a_run_retains_no_version_of_a_table_that_it_does_not_name(project):
    project.write("deleted", 0)
    project.write("deleted", 1)
    project.record("kept", {"event": "run_started", "pins": {"other": 0}})
    assert not project.vacuum().retained
    assert not project.readable(0)


def test_a_version_stays_for_the_hours_after_it_was_replaced(project):
    now = datetime.now(UTC)
    for value in range(3):
        project.write("deleted", value)
    assert project.vacuum(hours=1, now=now).files == {}
    assert project.vacuum(hours=1, now=now + timedelta(minutes=59)).files == {}
    assert len(project.vacuum(hours=1, now=now + timedelta(minutes=61)).files) == 2


def test_young_files_and_files_younger_than_a_live_run_stay(project):
    project.write("deleted", 0)
    path = project.warehouse.path("t")
    orphan = path / "part-9.parquet"
    orphan.write_bytes(b"not committed yet")
    started = datetime.now(UTC) - timedelta(minutes=5)
    project.record("live", {"event": "run_started", "at": started.isoformat()})
    with folders.folder(project.runs, "live").held():
        assert project.vacuum().files == {}
    assert list(project.vacuum().files) == ["part-9.parquet"]
    assert not orphan.exists()


def test_the_log_and_hidden_files_are_no_data_files(project):
    project.write("deleted", 0)
    path = project.warehouse.path("t")
    for name in ("_change_data/a.parquet", "_delta_log/x.checkpoint.parquet", ".tmp/b.parquet", "notes.txt"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(b"x")
    assert project.vacuum().files == {}


@pytest.mark.parametrize("value", ["a b", "c%20d", "e/f", "ü", "", None])
def test_files_of_partitions_of_any_name_are_recognised(tmp_path, value):
    from deltalake import write_deltalake

    project = Project(tmp_path)
    path = project.warehouse.path("t")
    write_deltalake(
        path, pd.DataFrame({"k": pd.Series([value], dtype="string[pyarrow]"), "v": [1]}), partition_by=["k"]
    )
    plan = project.vacuum()
    assert (plan.files, plan.remaining.count) == ({}, 1)


def test_a_table_that_has_lost_files_is_left_alone(project):
    project.write("deleted", 0)
    project.write("deleted", 1)
    live = {Path(uri).name for uri in LocalEngine().readable(project.warehouse.path("t"), 1).file_uris()}
    (project.warehouse.path("t") / live.pop()).unlink()
    with pytest.raises(DamagedTable, match="has lost 1 of its data files"):
        project.vacuum()
    assert project.readable(0)


def test_a_damaged_run_keeps_every_version_and_the_plan_says_why(project):
    project.write("deleted", 0)
    project.write("deleted", 1)
    project.record("torn")
    journal = project.runs / "torn/events.jsonl"
    journal.write_text('{"at": "x"\n' + journal.read_text())
    [retained] = project.vacuum().retained
    reason = "it may need it: its record is damaged (`stagebook runs repair`)"
    assert (retained.run_id, dict(retained.versions)) == ("torn", {0: reason, 1: reason})
    assert project.readable(0)


def test_a_pinned_version_that_is_lost_already_is_in_the_plan(project):
    project.write("deleted", 0)
    project.write("deleted", 1)
    project.vacuum()
    project.record("kept", {"event": "run_started", "pins": {"t": 0}})
    plan = project.vacuum()
    assert (plan.lost, plan.files) == ({0: "kept"}, {})


def test_names_that_are_unknown_or_external_are_refused(project, tmp_path):
    project.write("deleted", 0)
    with pytest.raises(UnknownTable, match="'tt' does not exist in .* Did you mean 't'"):
        propose_vacuum(project.warehouse, "tt", [], older_than=timedelta(0), now=LATER)
    theirs = Warehouse(tmp_path / "other", LocalEngine(), {"b": project.warehouse.path("t")})
    with pytest.raises(ReadOnlyTable, match="table 'b' is external"):
        propose_vacuum(theirs, "b", [], older_than=timedelta(0), now=LATER)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 3), st.sampled_from(["kept", "other"])),
        st.tuples(st.just("optimize"), st.just(0), st.just("")),
        st.tuples(st.just("pin"), st.integers(0, 9), st.sampled_from(["reader", "writer"])),
        st.tuples(st.just("vacuum"), st.sampled_from([0, 3]), st.just("")),
    ),
    min_size=3,
    max_size=12,
)


@given(steps=STEPS)
@costly_examples(0.08)
def test_after_any_steps_every_pinned_version_has_its_original_rows(tmp_path_factory, steps):
    project = Project(tmp_path_factory.mktemp("project"))
    project.write("other", 0)
    original, pinned, journals = {0: project.values(0)}, set(), {"kept": [{"event": "run_started"}]}
    for run, events in journals.items():
        project.record(run, *events)
    for number, (step, value, run) in enumerate(steps, start=1):
        match step:
            case "write":
                version = project.write(run, number, value)
                original[version] = project.values(version)
                pinned |= {version} if run == "kept" else set()
            case "optimize":
                maintenance.optimize(project.warehouse, "t", dry_run=False)
                newest = project.warehouse.resolve_version("t")
                original[newest] = project.values(newest)
            case "pin":
                version = min(value, project.warehouse.resolve_version("t"))
                if project.readable(version):
                    pinned.add(version)
                    journals.setdefault(run, [{"event": "run_started"}]).append(
                        {"event": "attempt_started", "stage": "s", "inputs": {"t": version}}
                    )
                    project.record(run, *journals[run])
            case _:
                project.vacuum(hours=value)
        for version in {*pinned, project.warehouse.resolve_version("t")}:
            assert project.values(version) == original[version], (version, steps)


def test_the_age_of_a_file_is_its_modification_time(project):
    project.write("deleted", 0)
    orphan = project.warehouse.path("t") / "part-9.parquet"
    orphan.write_bytes(b"x")
    week = datetime.now(UTC) - timedelta(hours=169)
    os.utime(orphan, (week.timestamp(), week.timestamp()))
    assert list(project.vacuum(hours=168, now=datetime.now(UTC)).files) == ["part-9.parquet"]
