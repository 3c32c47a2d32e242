"""A table built partition by partition: what is stale and why, and that it always equals a full rebuild."""

import random
import shutil
from collections.abc import Mapping

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from stagebook.delta.pandas_engine import LocalEngine
from stagebook.errors import PartitionsMoved, SchemaViolation
from stagebook.model.tables import Column, Kind, Layout, PartitionSources, TableSchema
from stagebook.tables.warehouse import Warehouse, Writer

COLUMNS = (
    Column("version", Kind.STRING, "of the code"),
    Column("month", Kind.INT32, "the partition"),
    Column("value", Kind.INT64, "what is computed"),
)
SCHEMA = TableSchema("t", "built by month", COLUMNS, layout=Layout(z_order=("month",)))

Inputs = Mapping[int, list[int]]


@pytest.fixture
def warehouse(engine, tmp_path):
    return Warehouse(tmp_path / "tables", engine)


FIRST = {1: [1], 2: [2, 3]}
"""The inputs of the run `first`."""


@pytest.fixture(scope="module")
def first_builds(tmp_path_factory):
    """Warehouses by engine, filled when they are first needed."""
    return {}, tmp_path_factory.mktemp("first")


@pytest.fixture
def built_warehouse(engine, tmp_path, first_builds):
    """A warehouse whose table the run `first` has built; a copy, since Spark takes seconds to build one."""
    folders, parent = first_builds
    if engine.name not in folders:
        folders[engine.name] = parent / engine.name
        build(Warehouse(folders[engine.name], engine), FIRST, run="first")
    shutil.copytree(folders[engine.name], tmp_path / "tables")
    return Warehouse(tmp_path / "tables", engine)


@pytest.fixture
def local(tmp_path):
    return Warehouse(tmp_path / "tables", LocalEngine())


def sources(inputs: Inputs, version="v1") -> PartitionSources:
    return PartitionSources(
        "month", {month: {"values": str(values)} for month, values in inputs.items()}, {"version": version}
    )


def rows(inputs: Inputs, version="v1"):
    return sorted((version, month, value * 10) for month, values in inputs.items() for value in values)


def frame(engine, inputs: Inputs, months, version="v1"):
    selected = rows({month: inputs[month] for month in months}, version)
    columns = [
        pa.array([row[n] for row in selected], kind) for n, kind in enumerate((pa.string(), pa.int32(), pa.int64()))
    ]
    return engine.from_local(pa.table(columns, names=["version", "month", "value"]))


def build(warehouse, inputs: Inputs, *, run="r", attempt=1, version="v1", schema=SCHEMA, everything=False):
    """One run: find the stale partitions, compute these, write."""
    stale = warehouse.stale_partitions(schema, sources(inputs, version), everything=everything)
    built = frame(warehouse.engine, inputs, stale.to_build, version)
    commit = warehouse.write(built, schema, writer=Writer(run, "s", attempt), stale=stale)
    return stale, commit


def table(warehouse, version=None):
    records = warehouse.engine.to_arrow(warehouse.read("t", version=version)).to_pylist()
    return sorted((row["version"], row["month"], row["value"]) for row in records)


def files(warehouse):
    return set(DeltaTable(warehouse.path("t")).file_uris())


def test_a_table_built_by_partitions_equals_a_full_rebuild(warehouse):
    chance = random.Random(13)
    inputs = {month: [month, month + 1] for month in range(1, 5)}
    steps = [
        "first",
        "change two",
        "nothing",
        "remove and add",
        "change",
        "add",
        "remove",
        "change",
        "nothing",
        "empty",
    ]
    if warehouse.engine.name == "spark":  # a second or two a step
        steps = [*steps[:4], steps[-1]]
    for number, step in enumerate(steps):
        before = dict(inputs)
        if step.startswith("change"):
            for month in chance.sample(sorted(inputs), 2 if "two" in step else 1):
                inputs[month] = [chance.randrange(100) for _ in range(chance.randrange(4))]
        if "remove" in step:
            del inputs[chance.choice(sorted(inputs))]
        if "add" in step:
            inputs[max(before) + 1] = [chance.randrange(100)]
        if step == "empty":
            inputs = {}
        stale, commit = build(warehouse, inputs, run=f"run {number}")
        if step != "first":
            assert set(stale.reasons) == {m for m in {*before, *inputs} if before.get(m) != inputs.get(m)}, step
        assert table(warehouse) == rows(inputs), step
        assert (commit.version, commit.run_id) == (warehouse.latest("t"), f"run {number}")


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        ({1: [1]}, {1: [1]}, {}),
        ({1: [1]}, {1: [2]}, {1: "values changed"}),
        ({1: [1]}, {1: [1], 2: [2]}, {2: "new"}),
        ({1: [1], 2: [2]}, {2: [2]}, {1: "no longer there"}),
        ({1: [1], 2: [2]}, {2: [3], 4: []}, {1: "no longer there", 2: "values changed", 4: "new"}),
    ],
)
def test_every_stale_partition_has_its_reason(local, before, after, reasons):
    build(local, before)
    assert local.stale_partitions(SCHEMA, sources(after)).reasons == reasons


def test_a_reason_names_the_inputs_that_changed(local):
    def built_from(**inputs):
        return PartitionSources("month", {1: inputs}, {"version": "v1"})

    stale = local.stale_partitions(SCHEMA, built_from(flights="a", weather="b", planes="c"))
    local.write(frame(local.engine, {1: [1]}, [1]), SCHEMA, writer=Writer("r", "s", 1), stale=stale)
    assert local.stale_partitions(SCHEMA, built_from(flights="a", weather="x", aircraft="c")).reasons == {
        1: "weather, aircraft, planes changed"
    }


def test_if_nothing_is_stale_one_commit_without_files_is_made_and_the_frame_is_not_computed(built_warehouse):
    warehouse = built_warehouse
    before = files(warehouse)
    stale = warehouse.stale_partitions(SCHEMA, sources(FIRST))
    assert not stale
    for attempt in (1, 2):
        commit = warehouse.write("no frame at all", SCHEMA, writer=Writer("second", "s", attempt), stale=stale)
        assert (commit.run_id, commit.attempt, commit.repeated) == ("second", 1, attempt == 2)
        assert warehouse.committed("t", run_id="second", stage="s").version == commit.version == warehouse.latest("t")
    assert files(warehouse) == before
    assert table(warehouse) == rows(FIRST)


def test_files_without_a_stale_partition_are_not_touched_and_a_retry_commits_nothing_new(built_warehouse):
    warehouse = built_warehouse
    first_files = files(warehouse)
    build(warehouse, FIRST | {3: [3]}, run="second")
    assert first_files < files(warehouse)
    _, killed = build(warehouse, FIRST | {3: [4]}, run="third")
    stale, retried = build(warehouse, FIRST | {3: [4]}, run="third", attempt=2)
    assert (stale.reasons, retried.version, retried.attempt, retried.repeated) == ({}, killed.version, 1, True)
    assert warehouse.latest("t") == killed.version
    assert first_files < files(warehouse)
    assert len(files(warehouse)) == len(first_files) + 1


def test_a_forced_rebuild_is_committed_once_whatever_the_order_of_its_rows(built_warehouse):
    warehouse = built_warehouse
    stale, commit = build(warehouse, FIRST, run="r", everything=True)
    assert stale.reasons == {1: "asked for", 2: "asked for"}
    backwards = pa.Table.from_pylist(
        warehouse.engine.to_arrow(frame(warehouse.engine, FIRST, [2, 1])).to_pylist()[::-1]
    )
    repeated = warehouse.write(warehouse.engine.from_local(backwards), SCHEMA, writer=Writer("r", "s", 2), stale=stale)
    assert (repeated.version, repeated.repeated) == (commit.version, True)
    assert table(warehouse) == rows(FIRST)


def test_rows_of_other_versions_of_the_code_stay(built_warehouse):
    warehouse = built_warehouse
    stale, _ = build(warehouse, FIRST, version="v2", run="r2")
    assert stale.reasons == {1: "new", 2: "new"}
    build(warehouse, {1: [5]}, version="v2", run="r3")
    assert table(warehouse) == rows(FIRST, "v1") + rows({1: [5]}, "v2")
    reverted, _ = build(warehouse, FIRST | {2: [4]}, version="v1", run="r4")
    assert reverted.reasons == {2: "values changed"}, "the log still records what the first version was built from"
    assert table(warehouse) == rows(FIRST | {2: [4]}, "v1") + rows({1: [5]}, "v2")


def rewritten(warehouse):
    engine = warehouse.engine
    warehouse.write(frame(engine, {1: [9]}, [1]), SCHEMA, writer=Writer("other", "s", 1))


def vacuumed_log(warehouse):
    (warehouse.path("t") / f"_delta_log/{warehouse.latest('t'):020d}.json").write_text("")


@pytest.mark.parametrize("change", [rewritten, vacuumed_log])
def test_a_table_whose_log_records_no_partitions_is_replaced_entirely(local, change):
    build(local, {1: [1], 2: [2]}, version="v0")
    change(local)
    stale = local.stale_partitions(SCHEMA, sources({1: [1]}))
    assert (stale.unknown, stale.reasons) == (True, {1: "not known what it is made from"})


def test_a_table_of_other_columns_is_replaced_entirely(built_warehouse):
    warehouse = built_warehouse
    wider = TableSchema("t", "", (*COLUMNS, Column("note", Kind.STRING, "more", nullable=True)))
    assert warehouse.stale_partitions(wider, sources({1: [1]})).unknown
    narrower = TableSchema("t", "", tuple(Column(c.name, c.kind, c.description, nullable=True) for c in COLUMNS))
    build(warehouse, {1: [1]}, schema=narrower, run="new")
    assert table(warehouse) == rows({1: [1]})


def test_compacting_the_files_makes_no_partition_stale(local):
    build(local, {1: [1]}, run="first")
    build(local, {1: [1], 2: [2]}, run="second")
    assert DeltaTable(local.path("t")).optimize.compact()["numFilesRemoved"] == 2
    assert not local.stale_partitions(SCHEMA, sources({1: [1], 2: [2]}))


def test_a_run_overtaken_by_one_with_other_inputs_does_not_mix_with_it(local):
    build(local, {1: [1], 2: [2]}, run="first")
    mine = {1: [1], 2: [3]}
    stale = local.stale_partitions(SCHEMA, sources(mine))
    build(local, {1: [7], 2: [2]}, run="other")
    with pytest.raises(PartitionsMoved, match="another run has written 1 from other inputs"):
        local.write(frame(local.engine, mine, [2]), SCHEMA, writer=Writer("r", "s", 1), stale=stale)
    build(local, mine, run="r", attempt=2)
    assert table(local) == rows(mine)


def test_a_run_overtaken_by_one_with_the_same_inputs_continues(local):
    build(local, {1: [1], 2: [2]}, run="first")
    mine = {1: [1], 2: [3]}
    stale = local.stale_partitions(SCHEMA, sources(mine))
    build(local, mine, run="other")
    local.write(frame(local.engine, mine, [2]), SCHEMA, writer=Writer("r", "s", 1), stale=stale)
    assert table(local) == rows(mine)


def test_rows_of_partitions_that_are_not_stale_are_refused(local):
    build(local, {1: [1], 2: [2]}, run="first")
    inputs = {1: [1], 2: [3]}
    stale = local.stale_partitions(SCHEMA, sources(inputs))
    with pytest.raises(SchemaViolation, match="1 of 2 rows lie outside"):
        local.write(frame(local.engine, inputs, [1, 2]), SCHEMA, writer=Writer("r", "s", 1), stale=stale)


def test_the_commit_of_a_stage_corrected_after_its_first_commit_is_its_last(local):
    build(local, {1: [1]}, run="r", version="wrong")
    _, corrected = build(local, {1: [1]}, run="r", attempt=2, version="corrected")
    assert local.committed("t", run_id="r", stage="s").version == corrected.version == 1
