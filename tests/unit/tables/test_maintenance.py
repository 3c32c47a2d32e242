"""Maintenance of tables: layouts come from the tables themselves, and rows never change."""

import json

import pandas as pd
import pytest
from deltalake import DeltaTable, write_deltalake

from stagebook.delta import compaction
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.delta.pruning import DataFile
from stagebook.errors import ReadOnlyTable, UnknownTable, UnwritableTable, WriteConflict
from stagebook.model.maintenance import PartitionSizes
from stagebook.model.pipeline import Stage
from stagebook.model.tables import Column, Kind, Layout, PartitionSources, TableSchema
from stagebook.tables import maintenance
from stagebook.tables.warehouse import Warehouse, Writer

COLUMNS = (
    Column("month", Kind.INT32, "month of the flight"),
    Column("delay", Kind.INT32, "late at arrival", unit="min", nullable=True),
)
ORDERED = Layout(z_order=("month", "delay"), target_file_bytes=1_000_000, reason="months are read one by one")
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
    frame = warehouse.read("flights", version=version)
    return frame.sort_values(["month", "delay"], ignore_index=True)


def test_a_description_holds_what_the_schema_declares_without_its_code(warehouse):
    months(warehouse)
    table = maintenance.describe(warehouse, "flights")
    assert (table.version, table.rows, table.files) == (3, 200, 4)
    assert [(c.name, c.type, c.nullable, c.description, c.unit) for c in table.columns] == [
        ("month", "int32", False, "month of the flight", None),
        ("delay", "int32", True, "late at arrival", "min"),
    ]
    assert table.layout == ORDERED
    assert (table.reader_version, table.writer_version, table.features) == (1, 2, [])
    assert not any(engine.unreadable or engine.unwritable for engine in table.access)
    layout = json.loads(json.dumps(table.to_json()))["layout"]
    assert (layout["z_order"], layout["why"]) == (["month", "delay"], "months are read one by one")


def test_a_layout_that_the_schema_declares_anew_counts_from_the_next_write_on(warehouse):
    months(warehouse, PLAIN)
    changed = Layout(z_order=("delay",), reason="asked for by delay")
    warehouse.write(frame(1), schema(changed), writer=Writer("r2", "prep", 1))
    assert maintenance.describe(warehouse, "flights").layout == changed


def test_the_layout_of_a_foreign_table_comes_from_its_properties(warehouse):
    path = warehouse.path("flights")
    write_deltalake(path, frame(1), partition_by=["month"], configuration={"delta.targetFileSize": "5000"})
    assert maintenance.describe(warehouse, "flights").layout == Layout(partition_by=("month",), target_file_bytes=5000)


def test_the_history_names_writer_operation_and_size_of_each_commit(warehouse):
    months(warehouse, count=2)
    maintenance.optimize(warehouse, "flights", dry_run=False)
    newest, second, first = maintenance.history(warehouse, "flights", 9)
    assert (newest.version, newest.operation, newest.run_id, newest.rows, newest.files) == (2, "OPTIMIZE", None, 100, 1)
    assert (second.run_id, second.stage, second.attempt, second.rows) == ("r1", "prep", 1, 100)
    assert (first.rows, first.files) == (50, 1)
    assert first.at.endswith("Z")
    assert [change.version for change in maintenance.history(warehouse, "flights", 1)] == [2]


@pytest.mark.parametrize(("layout", "method"), [(ORDERED, "z_order"), (PLAIN, "compact")])
def test_an_optimization_writes_fewer_files_with_the_same_rows(warehouse, layout, method):
    path = months(warehouse, layout)
    before, planned = rows(warehouse), maintenance.optimize(warehouse, "flights", dry_run=True)
    assert (planned.method, planned.before.count, planned.after.count, planned.version) == (method, 4, 1, None)
    assert warehouse.latest("flights") == 3
    result = maintenance.optimize(warehouse, "flights", dry_run=False)
    assert (result.method, result.before.count, result.after.count, result.version) == (method, 4, 1, 4)
    assert rows(warehouse).equals(before)
    assert rows(warehouse, 3).equals(before)
    protocol = DeltaTable(path).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    warehouse.write(frame(9), schema(layout), writer=Writer("r2", "prep", 1))


def test_an_ordered_table_is_not_rewritten_until_rows_change(warehouse):
    small = Layout(z_order=("month", "delay"), target_file_bytes=40_000)
    for month in (1, 2):
        where = [("month", "=", month)]
        warehouse.write(frame(month, 40_000), schema(small), writer=Writer("r1", "prep", 1), replace=where)
    assert maintenance.optimize(warehouse, "flights", dry_run=False).after.count > 1
    repeated = maintenance.optimize(warehouse, "flights", dry_run=False)
    assert (repeated.method, repeated.version) == ("", None)
    assert repeated.to_json() | {"before": 0, "after": 0} == {
        "how": "", "why": repeated.reason, "before": 0, "after": 0, "version": None, "small_partitions": "",
    }  # fmt: skip
    assert repeated.reason == "its rows have not changed since it was ordered by month, delay"
    warehouse.write(frame(9), schema(small), writer=Writer("r2", "prep", 1), replace=[("month", "=", 9)])
    assert maintenance.optimize(warehouse, "flights", dry_run=True).method == "z_order"


def test_an_optimization_is_no_new_content_and_no_new_write(warehouse):
    flights = schema()
    sources = PartitionSources("month", {month: {"input": "a"} for month in (1, 2)})
    stale = warehouse.stale_partitions(flights, sources)
    both_months = pd.concat([frame(1), frame(2)])
    warehouse.write(both_months, flights, writer=Writer("r1", "s", 1), stale=stale)
    sources = PartitionSources("month", {month: {"input": "a"} for month in (1, 2, 3)})
    warehouse.write(frame(3), flights, writer=Writer("r2", "s", 1), stale=warehouse.stale_partitions(flights, sources))
    content = warehouse.engine.latest_content_version(warehouse.path("flights"))
    assert maintenance.optimize(warehouse, "flights", dry_run=False).version == 2
    assert warehouse.engine.latest_content_version(warehouse.path("flights")) == content == 1
    unchanged = warehouse.stale_partitions(flights, sources)
    assert not unchanged
    repeated = warehouse.write(frame(3), flights, writer=Writer("r2", "s", 2), stale=unchanged)
    assert repeated.version == 1


def test_a_write_during_an_optimization_is_a_conflict_and_neither_loses_rows(warehouse, monkeypatch):
    path = months(warehouse)
    open_table, winners = compaction.open_table, iter(["winner"])

    def open_and_be_overtaken(folder, version=None):
        table = open_table(folder, version)
        for run in winners:
            warehouse.write(frame(2, 7), schema(), writer=Writer(run, "s", 1), replace=[("month", "=", 2)])
        return table

    monkeypatch.setattr(compaction, "require_writable", lambda _: None)
    monkeypatch.setattr(compaction, "open_table", open_and_be_overtaken)
    with pytest.raises(WriteConflict, match="run 'winner' committed version 4 while this write was under way"):
        compaction.z_order(path, ("month",), 1_000_000)
    result = maintenance.optimize(warehouse, "flights", dry_run=False)
    assert (result.version, len(rows(warehouse))) == (5, 157)


def test_a_write_that_an_optimization_overtakes_is_retried(warehouse, monkeypatch):
    months(warehouse)
    engine, tries = warehouse.engine, []
    write = LocalEngine.write

    def write_slowly(self, path, data, order):
        if not tries:
            tries.append(1)
            compaction.z_order(path, ("month",), 1_000_000)
            raise engine.conflict(path)
        return write(self, path, data, order)

    monkeypatch.setattr(LocalEngine, "write", write_slowly)
    commit = warehouse.write(frame(2, 7), schema(), writer=Writer("r2", "s", 1), replace=[("month", "=", 2)])
    assert (commit.version, commit.rows) == (5, 157)


def test_a_table_written_by_spark_is_optimized_and_read_on_spark_again(warehouse, spark):
    on_spark = Warehouse(warehouse.root, spark)
    for month in (1, 2):
        where = [("month", "=", month)]
        on_spark.write(spark.from_local(frame(month)), schema(), writer=Writer("r1", "prep", 1), replace=where)
    assert maintenance.describe(warehouse, "flights").layout == ORDERED
    before = rows(warehouse)
    result = maintenance.optimize(warehouse, "flights", dry_run=False)
    assert (result.method, result.before.count, result.after.count, result.version) == ("z_order", 2, 1, 3)
    assert rows(warehouse).equals(before)
    assert spark.count(on_spark.read("flights", version=3, where=[("month", "=", 2)])) == 50
    repeated = on_spark.write(
        spark.from_local(frame(2)), schema(), writer=Writer("r1", "prep", 2), replace=[("month", "=", 2)]
    )
    assert (repeated.version, repeated.repeated) == (2, True)
    assert maintenance.describe(warehouse, "flights").access[0].unwritable == []


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
    ("layout", "files", "ordered_by", "method", "reason"), [case[1:] for case in PLANS], ids=[c[0] for c in PLANS]
)
def test_the_plan_follows_from_the_layout_and_the_files(layout, files, ordered_by, method, reason):
    planned = maintenance.plan_optimize(layout, files, ordered_by=ordered_by)
    assert planned.method == method
    assert reason in planned.reason
    assert planned.after.count <= planned.before.count


@pytest.mark.parametrize(
    ("partitions", "warning"),
    [
        (None, ""),
        (PartitionSizes(("year",), 2, 10**9), ""),
        (
            PartitionSizes(("year",), 359, 400_000),
            "partitioned by year: 359 partitions, the middle one of 0.4 MB. Below 1 GB",
        ),
    ],
)
def test_a_warning_names_partitions_that_cost_more_than_they_prune(partitions, warning):
    actual = maintenance.small_partitions_warning(partitions)
    assert actual.startswith(warning)
    assert bool(actual) is bool(warning)


def test_descriptions_and_optimizations_mention_small_partitions(warehouse):
    months(warehouse, Layout(partition_by=("month",)))
    partitions = maintenance.describe(warehouse, "flights").partitions
    assert (partitions.by, partitions.count) == (("month",), 4)
    assert (
        "declare `z_order` instead of `partition_by`"
        in maintenance.optimize(warehouse, "flights", dry_run=True).small_partitions
    )


def test_the_list_includes_external_tables_and_tables_not_written_yet(warehouse, tmp_path):
    months(warehouse, count=1)
    write_deltalake(tmp_path / "theirs", frame(1))
    (tmp_path / "broken/_delta_log").mkdir(parents=True)
    (tmp_path / f"broken/_delta_log/{0:020d}.json").write_text(
        '{"protocol":{"minReaderVersion":4,"minWriterVersion":9}}'
    )
    external = {"bookings": tmp_path / "theirs", "broken": tmp_path / "broken"}
    with_external = Warehouse(warehouse.root, LocalEngine(), external)
    stages = [
        Stage("prep", tmp_path, writes=("flights",)),
        Stage("train", tmp_path, reads=("bookings",), writes=("scores",)),
    ]
    tables = {table.name: table for table in maintenance.list_tables(with_external, stages)}
    assert list(tables) == ["bookings", "broken", "flights", "scores"]
    assert (tables["flights"].written_by, tables["flights"].description.rows) == (("prep",), 50)
    assert (tables["scores"].written_by, tables["scores"].description) == (("train",), None)
    assert [table.external for table in tables.values()] == [True, True, False, False]
    assert tables["broken"].description.files is None
    assert [engine.unreadable for engine in tables["broken"].description.access] == [["reader version 4"]] * 3
    assert json.dumps([table.to_json() for table in tables.values()])


def test_external_tables_are_described_but_not_optimized(tmp_path):
    write_deltalake(tmp_path / "theirs", frame(1))
    warehouse = Warehouse(tmp_path / "tables", LocalEngine(), {"bookings": tmp_path / "theirs"})
    assert maintenance.describe(warehouse, "bookings").rows == 50
    with pytest.raises(ReadOnlyTable, match="table 'bookings' is external"):
        maintenance.optimize(warehouse, "bookings", dry_run=True)


def test_a_table_that_delta_rs_would_harm_is_left_to_its_owner(warehouse):
    path = months(warehouse, count=1)
    features = {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["clustering", "domainMetadata"]}
    (path / f"_delta_log/{1:020d}.json").write_text(json.dumps({"protocol": features}))
    with pytest.raises(UnwritableTable, match="it uses clustering, domainMetadata"):
        maintenance.optimize(warehouse, "flights", dry_run=False)


def test_an_unknown_name_gets_the_nearest(warehouse):
    months(warehouse, count=1)
    for command in (
        maintenance.describe,
        lambda w, n: maintenance.history(w, n, 1),
        lambda w, n: maintenance.optimize(w, n, dry_run=True),
    ):
        with pytest.raises(UnknownTable, match="table 'flihgts' does not exist in .* Did you mean 'flights'"):
            command(warehouse, "flihgts")
