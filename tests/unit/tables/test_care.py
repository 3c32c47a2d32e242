"""What `stagebook tables` tells and does: layouts read from the tables themselves, rows never changed."""

import json

import pandas as pd
import pytest
from deltalake import DeltaTable, write_deltalake

from stagebook.engines import upkeep
from stagebook.engines.local import LocalEngine
from stagebook.engines.pruning import DataFile
from stagebook.errors import ReadOnlyTable, UnknownTable, UnwritableTable, WriteConflict
from stagebook.model.pipeline import Stage
from stagebook.model.tables import Column, Kind, Layout, Parts, TableSchema
from stagebook.model.upkeep import Partitions
from stagebook.tables import care
from stagebook.tables.warehouse import Warehouse, Writer

COLUMNS = (
    Column("month", Kind.INT32, "month of the flight"),
    Column("delay", Kind.INT32, "late at arrival", unit="min", nullable=True),
)
ORDERED = Layout(z_order=("month", "delay"), target_file_bytes=1_000_000, why="months are read one by one")
PLAIN = Layout(target_file_bytes=1_000_000)


def schema(layout=ORDERED, name="flights"):
    return TableSchema(name, "flights", COLUMNS, layout=layout)


def frame(month, n=50):
    return pd.DataFrame({"month": [month] * n, "delay": range(n)})


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(tmp_path / "tables", LocalEngine())


def months(warehouse, layout=ORDERED, run="r1", count=4):
    """A table of one file a month."""
    for month in range(1, count + 1):
        where = [("month", "=", month)]
        warehouse.write(frame(month), schema(layout), writer=Writer(run, "prep", 1), replace=where)
    return warehouse.path("flights")


def rows(warehouse, version=None):
    found = warehouse.read("flights", version=version)
    return found.sort_values(["month", "delay"], ignore_index=True)


def test_a_description_holds_what_the_schema_declares_without_its_code(warehouse):
    months(warehouse)
    found = care.describe(warehouse, "flights")
    assert (found.version, found.rows, found.files) == (3, 200, 4)
    assert [(c.name, c.type, c.nullable, c.description, c.unit) for c in found.columns] == [
        ("month", "int32", False, "month of the flight", None),
        ("delay", "int32", True, "late at arrival", "min"),
    ]
    assert found.layout == ORDERED
    assert (found.reader_version, found.writer_version, found.features) == (1, 2, [])
    assert not any(one.unreadable or one.unwritable for one in found.access)
    assert json.dumps(found.to_json())


def test_a_layout_that_the_schema_declares_anew_is_told_from_the_next_write_on(warehouse):
    months(warehouse, PLAIN)
    changed = Layout(z_order=("delay",), why="asked for by delay")
    warehouse.write(frame(1), schema(changed), writer=Writer("r2", "prep", 1))
    assert care.describe(warehouse, "flights").layout == changed


def test_the_layout_of_a_foreign_table_is_what_its_properties_say(warehouse):
    path = warehouse.path("flights")
    write_deltalake(path, frame(1), partition_by=["month"], configuration={"delta.targetFileSize": "5000"})
    assert care.describe(warehouse, "flights").layout == Layout(partition_by=("month",), target_file_bytes=5000)


def test_the_history_says_who_committed_what(warehouse):
    months(warehouse, count=2)
    care.optimize(warehouse, "flights", dry_run=False)
    newest, second, first = care.history(warehouse, "flights", 9)
    assert (newest.version, newest.operation, newest.run_id, newest.rows, newest.files) == (2, "OPTIMIZE", None, 100, 1)
    assert (second.run_id, second.stage, second.attempt, second.rows) == ("r1", "prep", 1, 100)
    assert (first.rows, first.files) == (50, 1)
    assert first.at.endswith("Z")
    assert [change.version for change in care.history(warehouse, "flights", 1)] == [2]


@pytest.mark.parametrize(("layout", "how"), [(ORDERED, "z_order"), (PLAIN, "compact")])
def test_an_optimization_writes_fewer_files_with_the_same_rows(warehouse, layout, how):
    path = months(warehouse, layout)
    before, planned = rows(warehouse), care.optimize(warehouse, "flights", dry_run=True)
    assert (planned.how, planned.before.count, planned.after.count, planned.version) == (how, 4, 1, None)
    assert warehouse.latest("flights") == 3
    done = care.optimize(warehouse, "flights", dry_run=False)
    assert (done.how, done.before.count, done.after.count, done.version) == (how, 4, 1, 4)
    assert rows(warehouse).equals(before)
    assert rows(warehouse, 3).equals(before)
    found = DeltaTable(path).protocol()
    assert (found.min_reader_version, found.min_writer_version) == (1, 2)
    warehouse.write(frame(9), schema(layout), writer=Writer("r2", "prep", 1))


def test_what_is_in_order_is_not_written_again_until_rows_change(warehouse):
    small = Layout(z_order=("month", "delay"), target_file_bytes=40_000)
    for month in (1, 2):
        where = [("month", "=", month)]
        warehouse.write(frame(month, 40_000), schema(small), writer=Writer("r1", "prep", 1), replace=where)
    assert care.optimize(warehouse, "flights", dry_run=False).after.count > 1
    again = care.optimize(warehouse, "flights", dry_run=False)
    assert (again.how, again.version) == ("", None)
    assert again.why == "its rows have not changed since it was ordered by month, delay"
    warehouse.write(frame(9), schema(small), writer=Writer("r2", "prep", 1), replace=[("month", "=", 9)])
    assert care.optimize(warehouse, "flights", dry_run=True).how == "z_order"


def test_a_rearrangement_is_no_new_content_and_no_new_write(warehouse):
    parts = Parts("month", {month: {"input": "a"} for month in (1, 2)})
    flights = schema()
    stale = warehouse.stale(flights, parts)
    both = pd.concat([frame(1), frame(2)])
    warehouse.write(both, flights, writer=Writer("r1", "s", 1), stale=stale)
    more = Parts("month", {month: {"input": "a"} for month in (1, 2, 3)})
    warehouse.write(frame(3), flights, writer=Writer("r2", "s", 1), stale=warehouse.stale(flights, more))
    content = warehouse.engine.content(warehouse.path("flights"))
    assert care.optimize(warehouse, "flights", dry_run=False).version == 2
    assert warehouse.engine.content(warehouse.path("flights")) == content == 1
    assert not warehouse.stale(flights, more)
    repeated = warehouse.write(frame(3), flights, writer=Writer("r2", "s", 2), stale=warehouse.stale(flights, more))
    assert repeated.version == 1


def test_a_writer_in_between_is_a_conflict_and_nothing_of_either_is_lost(warehouse, monkeypatch):
    path = months(warehouse)
    opened, others = upkeep.opened, iter(["winner"])

    def overtaken(folder, version=None):
        table = opened(folder, version)
        for run in others:
            warehouse.write(frame(2, 7), schema(), writer=Writer(run, "s", 1), replace=[("month", "=", 2)])
        return table

    monkeypatch.setattr(upkeep, "refuse_foreign", lambda _: None)
    monkeypatch.setattr(upkeep, "opened", overtaken)
    with pytest.raises(WriteConflict, match="run 'winner' committed version 4 while this write was under way"):
        upkeep.z_order(path, ("month",), 1_000_000)
    done = care.optimize(warehouse, "flights", dry_run=False)
    assert (done.version, len(rows(warehouse))) == (5, 157)


def test_a_writer_that_an_optimization_overtakes_is_tried_again(warehouse, monkeypatch):
    months(warehouse)
    engine, tries = warehouse.engine, []
    write = LocalEngine.write

    def slow(self, path, data, order):
        if not tries:
            tries.append(1)
            upkeep.z_order(path, ("month",), 1_000_000)
            raise engine.conflict(path)
        return write(self, path, data, order)

    monkeypatch.setattr(LocalEngine, "write", slow)
    commit = warehouse.write(frame(2, 7), schema(), writer=Writer("r2", "s", 1), replace=[("month", "=", 2)])
    assert (commit.version, commit.rows) == (5, 157)


def test_what_spark_wrote_is_put_in_order_and_read_on_spark_again(warehouse, spark):
    on_spark = Warehouse(warehouse.root, spark)
    for month in (1, 2):
        where = [("month", "=", month)]
        on_spark.write(spark.frame(frame(month)), schema(), writer=Writer("r1", "prep", 1), replace=where)
    assert care.describe(warehouse, "flights").layout == ORDERED
    before = rows(warehouse)
    done = care.optimize(warehouse, "flights", dry_run=False)
    assert (done.how, done.before.count, done.after.count, done.version) == ("z_order", 2, 1, 3)
    assert rows(warehouse).equals(before)
    assert spark.count(on_spark.read("flights", version=3, where=[("month", "=", 2)])) == 50
    again = on_spark.write(spark.frame(frame(2)), schema(), writer=Writer("r1", "prep", 2), replace=[("month", "=", 2)])
    assert (again.version, again.repeated) == (2, True)
    assert care.describe(warehouse, "flights").access[0].unwritable == []


def file(size, **partition):
    return DataFile("f", size, 1, 0, partition)


MB = 10**6
PLANS = [
    ("no files", PLAIN, [], (), "", "it has no files"),
    ("one file", ORDERED, [file(9)], (), "", "it is one file"),
    ("one file a partition", Layout(partition_by=("p",)), [file(9, p=1), file(9, p=2)], (), "", "no partition has more"),
    ("several in disorder", ORDERED, [file(9), file(9)], (), "z_order", "declares an order by month, delay"),
    ("several in another order", ORDERED, [file(9), file(9)], ("delay",), "z_order", "declares an order"),
    ("several in order", ORDERED, [file(9), file(9)], ("month", "delay"), "", "not changed since it was ordered"),
    ("small ones", PLAIN, [file(MB // 2), file(MB // 2)], (), "compact", "files are to hold 1 MB"),
    ("a small one beside large ones", PLAIN, [file(MB), file(MB), file(9)], (), "", "hold about 1 MB each"),
    ("too large to be one", PLAIN, [file(MB // 2 + 1), file(MB // 2)], (), "", "hold about 1 MB each"),
    ("small ones of two partitions", Layout(partition_by=("p",)), [file(9, p=1), file(9, p=2), file(9, p=2)], (),
     "compact", "files are to hold"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("layout", "files", "ordered", "how", "why"), [case[1:] for case in PLANS], ids=[c[0] for c in PLANS]
)
def test_the_plan_follows_from_the_layout_and_the_files(layout, files, ordered, how, why):
    planned = care.plan(layout, files, ordered_by=ordered)
    assert planned.how == how
    assert why in planned.why
    assert planned.after.count <= planned.before.count


@pytest.mark.parametrize(
    ("partitions", "words"),
    [
        (None, ""),
        (Partitions(("year",), 2, 10**9), ""),
        (
            Partitions(("year",), 359, 400_000),
            "partitioned by year: 359 partitions, the middle one of 0.4 MB. Below 1 GB",
        ),
    ],
)
def test_partitions_that_cost_more_than_they_prune_are_pointed_out(partitions, words):
    told = care.too_small(partitions)
    assert told.startswith(words)
    assert bool(told) is bool(words)


def test_small_partitions_are_pointed_out_by_description_and_optimization(warehouse):
    months(warehouse, Layout(partition_by=("month",)))
    found = care.describe(warehouse, "flights").partitions
    assert (found.by, found.count) == (("month",), 4)
    assert (
        "declare `z_order` instead of `partition_by`"
        in care.optimize(warehouse, "flights", dry_run=True).small_partitions
    )


def test_tables_that_are_not_written_yet_and_external_ones_are_listed_too(warehouse, tmp_path):
    months(warehouse, count=1)
    write_deltalake(tmp_path / "theirs", frame(1))
    (tmp_path / "broken/_delta_log").mkdir(parents=True)
    (tmp_path / f"broken/_delta_log/{0:020d}.json").write_text(
        '{"protocol":{"minReaderVersion":4,"minWriterVersion":9}}'
    )
    external = {"bookings": tmp_path / "theirs", "broken": tmp_path / "broken"}
    both = Warehouse(warehouse.root, LocalEngine(), external)
    stages = [
        Stage("prep", tmp_path, writes=("flights",)),
        Stage("train", tmp_path, reads=("bookings",), writes=("scores",)),
    ]
    found = {one.name: one for one in care.listed(both, stages)}
    assert list(found) == ["bookings", "broken", "flights", "scores"]
    assert (found["flights"].written_by, found["flights"].description.rows) == (("prep",), 50)
    assert (found["scores"].written_by, found["scores"].description) == (("train",), None)
    assert [one.external for one in found.values()] == [True, True, False, False]
    assert found["broken"].description.files is None
    assert [one.unreadable for one in found["broken"].description.access] == [["reader version 4"]] * 3
    assert json.dumps([one.to_json() for one in found.values()])


def test_external_tables_are_not_cared_for(tmp_path):
    write_deltalake(tmp_path / "theirs", frame(1))
    warehouse = Warehouse(tmp_path / "tables", LocalEngine(), {"bookings": tmp_path / "theirs"})
    assert care.describe(warehouse, "bookings").rows == 50
    with pytest.raises(ReadOnlyTable, match="table 'bookings' is external"):
        care.optimize(warehouse, "bookings", dry_run=True)


def test_a_table_that_delta_rs_would_harm_is_left_to_its_owner(warehouse):
    path = months(warehouse, count=1)
    features = {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["clustering", "domainMetadata"]}
    (path / f"_delta_log/{1:020d}.json").write_text(json.dumps({"protocol": features}))
    with pytest.raises(UnwritableTable, match="it uses clustering, domainMetadata"):
        care.optimize(warehouse, "flights", dry_run=False)


def test_an_unknown_name_gets_the_nearest(warehouse):
    months(warehouse, count=1)
    for ask in (care.describe, lambda w, n: care.history(w, n, 1), lambda w, n: care.optimize(w, n, dry_run=True)):
        with pytest.raises(UnknownTable, match="table 'flihgts' does not exist in .* Did you mean 'flights'"):
            ask(warehouse, "flihgts")
