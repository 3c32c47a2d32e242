"""Vacuum: whatever a kept run stands on can be read afterwards, and what nobody needs goes."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stagebook.engines.local import LocalEngine
from stagebook.errors import ConfigError, DamagedTable, ReadOnlyTable, UnknownTable
from stagebook.model.tables import Column, Kind, TableSchema
from stagebook.storage import runs
from stagebook.tables import care, pins
from stagebook.tables.sweep import OnDisk, sweep, unneeded
from stagebook.tables.warehouse import Warehouse, Writer

SCHEMA = TableSchema("t", "rows", (Column("part", Kind.INT32, "part"), Column("value", Kind.INT32, "value")))
LATER = datetime.now(UTC) + timedelta(hours=1)


class World:
    """A warehouse and a folder of run records."""

    def __init__(self, root: Path) -> None:
        self.warehouse, self.runs = Warehouse(root / "tables", LocalEngine()), root / "runs"

    def write(self, run: str, value: int, part: int = 1) -> int:
        rows = pd.DataFrame({"part": [part] * 3, "value": [value] * 3})
        where = [("part", "=", part)]
        return self.warehouse.write(rows, SCHEMA, writer=Writer(run, "prep", 1), replace=where).version

    def record(self, run: str, *events: dict) -> None:
        (self.runs / run).mkdir(parents=True, exist_ok=True)
        told = [{"at": "2026-01-01T00:00:00.000Z", **event} for event in events or ({"event": "run_started"},)]
        (self.runs / run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in told))

    def vacuum(self, *, hours=0.0, now=LATER, apply=True):
        kept = pins.kept([self.runs])
        return sweep(self.warehouse, "t", kept, older_than=timedelta(hours=hours), now=now, apply=apply)

    def values(self, version: int) -> list[list[int]]:
        return sorted(self.warehouse.read("t", version=version).to_numpy().tolist())

    def readable(self, version: int) -> bool:
        try:
            return bool(self.values(version))
        except Exception:
            return False


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


def test_by_default_nothing_is_removed_and_all_is_told(world):
    for value in range(3):
        world.write(f"gone-{value}", value)
    shown = world.vacuum(apply=False)
    assert (len(shown.files), shown.kept.count, shown.applied) == (2, 1, False)
    assert all(world.readable(version) for version in range(3))
    done = world.vacuum()
    assert (done.files, done.applied) == (shown.files, True)
    assert [world.readable(version) for version in range(3)] == [False, False, True]


PINS = [
    ({"event": "run_started", "pins": {"t": 0}}, "pinned at its start"),
    ({"event": "attempt_started", "stage": "train", "inputs": {"t": 0}}, "read by train"),
    ({"event": "stage_settled", "stage": "prep", "outputs": {"t": {"version": 0, "rows": 3}}}, "written by prep"),
    ({"event": "stage_settled", "stage": "up", "inputs": {"t": 0}, "outputs": {}}, "read by up"),
]


@pytest.mark.parametrize(("event", "why"), PINS, ids=[why for _, why in PINS])
def test_a_version_that_a_kept_run_names_stays_and_the_run_is_told(world, event, why):
    for value in range(3):
        world.write(f"gone-{value}", value)
    world.record("kept", {"event": "run_started"}, event)
    done = world.vacuum()
    [protected] = done.protected
    assert (protected.run_id, dict(protected.versions)) == ("kept", {0: why})
    assert protected.files.count == 1
    assert [world.readable(version) for version in range(3)] == [True, False, True]
    (world.runs / "kept/events.jsonl").unlink()
    assert len(world.vacuum().files) == 1, "a run that is deleted keeps nothing"


def test_what_a_kept_run_committed_before_it_failed_stays_for_its_resume(world):
    world.write("failed", 0)
    world.write("other", 1)
    world.record("failed")
    assert [dict(one.versions) for one in world.vacuum().protected] == [{0: "committed by prep"}]
    assert world.values(0) == [[1, 0]] * 3


def test_tables_of_other_names_pin_nothing_here(world):
    world.write("gone", 0)
    world.write("gone", 1)
    world.record("kept", {"event": "run_started", "pins": {"other": 0}})
    assert not world.vacuum().protected
    assert not world.readable(0)


def test_a_version_is_kept_for_the_hours_after_it_was_replaced(world):
    now = datetime.now(UTC)
    for value in range(3):
        world.write("gone", value)
    assert world.vacuum(hours=1, now=now).files == {}
    assert world.vacuum(hours=1, now=now + timedelta(minutes=59)).files == {}
    assert len(world.vacuum(hours=1, now=now + timedelta(minutes=61)).files) == 2


def test_young_files_and_those_of_a_run_that_is_going_on_stay(world):
    world.write("gone", 0)
    path = world.warehouse.path("t")
    orphan = path / "part-9.parquet"
    orphan.write_bytes(b"not committed yet")
    started = datetime.now(UTC) - timedelta(minutes=5)
    world.record("live", {"event": "run_started", "at": started.isoformat()})
    with runs.folder(world.runs, "live").held():
        assert world.vacuum().files == {}
    assert list(world.vacuum().files) == ["part-9.parquet"]
    assert not orphan.exists()


def test_the_log_and_what_delta_hides_are_no_data(world):
    world.write("gone", 0)
    path = world.warehouse.path("t")
    for name in ("_change_data/a.parquet", "_delta_log/x.checkpoint.parquet", ".tmp/b.parquet", "notes.txt"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(b"x")
    assert world.vacuum().files == {}


@pytest.mark.parametrize("value", ["a b", "c%20d", "e/f", "ü", "", None])
def test_partitions_of_any_name_are_found_again(tmp_path, value):
    from deltalake import write_deltalake

    world = World(tmp_path)
    path = world.warehouse.path("t")
    write_deltalake(
        path, pd.DataFrame({"k": pd.Series([value], dtype="string[pyarrow]"), "v": [1]}), partition_by=["k"]
    )
    done = world.vacuum()
    assert (done.files, done.kept.count) == ({}, 1)


def test_a_table_that_has_lost_files_is_left_alone(world):
    world.write("gone", 0)
    world.write("gone", 1)
    live = {Path(uri).name for uri in LocalEngine().readable(world.warehouse.path("t"), 1).file_uris()}
    (world.warehouse.path("t") / live.pop()).unlink()
    with pytest.raises(DamagedTable, match="has lost 1 of its data files"):
        world.vacuum()
    assert world.readable(0)


def test_a_journal_that_cannot_be_read_keeps_everything(world):
    world.write("gone", 0)
    world.write("gone", 1)
    world.record("torn")
    journal = world.runs / "torn/events.jsonl"
    journal.write_text('{"at": "x"\n' + journal.read_text())
    with pytest.raises(ConfigError, match="torn/events.jsonl: this journal cannot be read"):
        world.vacuum()
    assert world.readable(0)


def test_a_pinned_version_that_is_lost_already_is_told(world):
    world.write("gone", 0)
    world.write("gone", 1)
    world.vacuum()
    world.record("kept", {"event": "run_started", "pins": {"t": 0}})
    done = world.vacuum()
    assert (done.lost, done.files) == ({0: "kept"}, {})


def test_names_that_are_unknown_or_external_are_refused(world, tmp_path):
    world.write("gone", 0)
    with pytest.raises(UnknownTable, match="'tt' does not exist in .* Did you mean 't'"):
        sweep(world.warehouse, "tt", [], older_than=timedelta(0), now=LATER, apply=False)
    theirs = Warehouse(tmp_path / "other", LocalEngine(), {"b": world.warehouse.path("t")})
    with pytest.raises(ReadOnlyTable, match="table 'b' is external"):
        sweep(theirs, "b", [], older_than=timedelta(0), now=LATER, apply=False)


def test_only_what_is_unneeded_and_old_enough_goes():
    old, young = LATER - timedelta(hours=2), LATER
    on_disk = {"a": OnDisk(1, old), "b": OnDisk(1, old), "c": OnDisk(1, young)}
    assert unneeded(on_disk, {"a"}, LATER - timedelta(hours=1)) == ["b"]


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
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_every_pinned_version_reads_as_it_was(tmp_path_factory, steps):
    world = World(tmp_path_factory.mktemp("w"))
    world.write("other", 0)
    was, pinned, told = {0: world.values(0)}, set(), {"kept": [{"event": "run_started"}]}
    for run, events in told.items():
        world.record(run, *events)
    for number, (what, value, who) in enumerate(steps, start=1):
        match what:
            case "write":
                version = world.write(who, number, value)
                was[version] = world.values(version)
                pinned |= {version} if who == "kept" else set()
            case "optimize":
                care.optimize(world.warehouse, "t", dry_run=False)
                newest = world.warehouse.version("t")
                was[newest] = world.values(newest)
            case "pin":
                version = min(value, world.warehouse.version("t"))
                if world.readable(version):
                    pinned.add(version)
                    told.setdefault(who, [{"event": "run_started"}]).append(
                        {"event": "attempt_started", "stage": "s", "inputs": {"t": version}}
                    )
                    world.record(who, *told[who])
            case _:
                world.vacuum(hours=value)
        for version in {*pinned, world.warehouse.version("t")}:
            assert world.values(version) == was[version], (version, steps)


def test_files_are_as_old_as_the_file_system_says(world):
    world.write("gone", 0)
    orphan = world.warehouse.path("t") / "part-9.parquet"
    orphan.write_bytes(b"x")
    week = datetime.now(UTC) - timedelta(hours=169)
    os.utime(orphan, (week.timestamp(), week.timestamp()))
    assert list(world.vacuum(hours=168, now=datetime.now(UTC)).files) == ["part-9.parquet"]
