"""The behaviour that all engines share: the same tests on pandas, polars and Spark."""

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime

import narwhals as nw
import pyarrow as pa
import pytest

from stagebook.delta.engine import CONTENT, RUN_ID, STAGE, WriteOrder
from stagebook.errors import BadPredicate, SchemaViolation, UnknownColumn
from stagebook.model.tables import Column, Kind, Layout, TableSchema

SCHEMA = TableSchema(
    "delays",
    "one row per flight",
    (
        Column("flight", Kind.INT32, "number"),
        Column("dest", Kind.STRING, "airport", nullable=True),
        Column("hour", Kind.TIMESTAMP, "scheduled hour", unit="UTC", nullable=True),
        Column("day", Kind.DATE, "local day", nullable=True),
        Column("delay", Kind.INT16, "late at arrival", unit="min", nullable=True),
        Column("share", Kind.FLOAT64, "of all", nullable=True),
        Column("late", Kind.BOOL, "label", nullable=True),
    ),
    key=("flight",),
    layout=Layout(z_order=("dest",)),
)
ROWS = [
    {
        "flight": number,
        "dest": ["SFO", "LAX", None, "it's"][number % 4],
        "hour": datetime(2013, 3, 10, number % 24, tzinfo=UTC) if number % 5 else None,
        "day": date(2013, 3, 1 + number % 28),
        "delay": None if number % 7 == 0 else number - 10,
        "share": None if number % 3 == 0 else number / 7,
        "late": None if number % 7 == 0 else number > 25,
    }
    for number in range(40)
]


def frame(engine, rows=ROWS):
    return engine.from_local(pa.Table.from_pylist(rows, schema=pa.schema([
        ("flight", pa.int32()), ("dest", pa.string()), ("hour", pa.timestamp("us", "UTC")), ("day", pa.date32()),
        ("delay", pa.int16()), ("share", pa.float64()), ("late", pa.bool_()),
    ])))  # fmt: skip


def order(run="r1", content="c1", **changes):
    metadata = {RUN_ID: run, STAGE: "s", CONTENT: content}
    return WriteOrder(**{"schema": SCHEMA, "app_id": f"{run}/s/delays", "metadata": metadata, **changes})


def write(engine, path, rows=ROWS, **changes):
    return engine.write(path, engine.conform(frame(engine, rows), SCHEMA), order(**changes))


def read(engine, path, version, columns=None, where=()):
    rows = engine.to_arrow(engine.read(path, version=version, columns=columns, where=where)).to_pylist()
    return sorted(rows, key=lambda row: row["flight"])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return {}, tmp_path_factory.mktemp("written")


@pytest.fixture
def shared(engine, written):
    """One table for each engine, for tests that only read it."""
    tables, folder = written
    if engine.name not in tables:
        path = folder / engine.name
        tables[engine.name] = path, write(engine, path)
    return tables[engine.name]


@pytest.fixture
def table(shared, tmp_path):
    """A table for one test: a copy of that one."""
    path, commit = shared
    shutil.copytree(path, tmp_path / "delays")
    return tmp_path / "delays", commit


def test_written_rows_are_read_back(engine, shared):
    path, commit = shared
    assert (commit.rows, commit.run_id, commit.stage, commit.repeated) == (40, "r1", "s", False)
    assert read(engine, path, commit.version) == ROWS


def test_pandas_reads_tables_of_every_engine(engine, shared):
    from stagebook.delta.pandas_engine import LocalEngine

    path, commit = shared
    assert read(LocalEngine(), path, commit.version) == ROWS
    assert commit == LocalEngine().commit(path, commit.version)


def test_a_new_table_has_its_declared_schema(engine, shared):
    from deltalake import DeltaTable

    table = DeltaTable(str(shared[0]))
    assert (table.protocol().min_reader_version, table.protocol().min_writer_version) == (1, 2)
    assert [(field.name, field.nullable) for field in table.schema().fields] == [
        (column.name, column.nullable) for column in SCHEMA.columns
    ]
    assert "late at arrival" in table.schema().fields[4].metadata["comment"]
    assert table.metadata().configuration["delta.targetFileSize"] == str(SCHEMA.layout.target_file_bytes)


def test_columns_come_in_the_requested_order(engine, shared):
    path, commit = shared
    rows = engine.to_arrow(engine.read(path, version=commit.version, columns=["delay", "flight"], where=()))
    assert rows.column_names == ["delay", "flight"]


CONDITIONS = [
    ([("flight", "=", 3)], lambda row: row["flight"] == 3),
    ([("delay", "!=", 5)], lambda row: row["delay"] not in (None, 5)),
    ([("delay", "<", 0)], lambda row: row["delay"] is not None and row["delay"] < 0),
    ([("share", ">=", 2.5)], lambda row: row["share"] is not None and row["share"] >= 2.5),
    ([("dest", "=", "it's")], lambda row: row["dest"] == "it's"),
    ([("dest", "in", ["SFO", "none"])], lambda row: row["dest"] == "SFO"),
    ([("dest", "in", [])], lambda row: False),
    ([("day", ">", "2013-03-20")], lambda row: row["day"] > date(2013, 3, 20)),
    ([("hour", "<=", "2013-03-10T06:00Z")], lambda row: row["hour"] is not None and row["hour"].hour <= 6),
    ([("late", "=", True)], lambda row: row["late"] is True),
    ([("delay", ">", -5), ("dest", "=", "LAX")], lambda row: (row["delay"] or -9) > -5 and row["dest"] == "LAX"),
]


@pytest.mark.parametrize(
    ("where", "holds"), CONDITIONS, ids=lambda value: str(value) if isinstance(value, list) else ""
)
def test_a_condition_is_never_true_for_a_null(engine, shared, where, holds):
    path, commit = shared
    assert read(engine, path, commit.version, where=where) == [row for row in ROWS if holds(row)]


def test_invalid_conditions_and_columns_are_refused_with_a_hint(engine, shared):
    path, commit = shared
    with pytest.raises(UnknownColumn, match="Did you mean 'delay'"):
        engine.read(path, version=commit.version, columns=["delai"], where=())
    with pytest.raises(BadPredicate, match="column 'delay' is int16: give a whole number"):
        engine.read(path, version=commit.version, columns=None, where=[("delay", "=", 1.5)])


def test_equal_content_is_committed_once_and_changed_content_again(engine, table):
    path, first = table
    repeated = write(engine, path)
    assert (repeated.version, repeated.repeated) == (first.version, True)
    changed = write(engine, path, ROWS[:7], content="c2")
    assert (changed.version, changed.rows, changed.repeated) == (first.version + 1, 7, False)
    assert write(engine, path, ROWS[:7], content="c2").version == changed.version
    assert read(engine, path, first.version) == ROWS


def test_a_partial_replace_keeps_all_other_rows(engine, table):
    path, _ = table
    only = [row | {"delay": 99} for row in ROWS if row["dest"] == "it's"]
    commit = write(engine, path, only, content="c2", replace=[("dest", "=", "it's")], app_id="r1/s/delays/part")
    expected = [row | {"delay": 99} if row["dest"] == "it's" else row for row in ROWS]
    assert read(engine, path, commit.version) == expected


def test_rows_outside_the_replaced_range_are_refused(engine, shared):
    path, commit = shared
    with pytest.raises(SchemaViolation, match="30 of 40 rows lie outside"):
        write(engine, path, content="c2", replace=[("dest", "=", "SFO")], app_id="r1/s/delays/part")
    assert engine.latest(path) == commit.version


def test_changed_columns_need_a_full_replace(engine, table):
    path, _ = table
    wider = TableSchema("delays", "", (*SCHEMA.columns, Column("note", Kind.STRING, "more", nullable=True)))
    wider = replace(
        wider, columns=tuple(replace(c, kind=Kind.INT64) if c.name == "flight" else c for c in wider.columns)
    )
    widened = nw.from_native(frame(engine)).with_columns(note=nw.lit("x")).to_native()
    data = engine.conform(widened, wider)
    with pytest.raises(SchemaViolation, match="its columns have changed since version .*: flight, note"):
        engine.write(path, data, order(schema=wider, content="c3", replace=[("flight", ">=", 0)]))
    commit = engine.write(path, data, order(schema=wider, content="c3"))
    assert read(engine, path, commit.version)[0]["note"] == "x"


def test_a_partial_replace_adds_columns_that_may_be_null(engine, table):
    path, _ = table
    wider = TableSchema("delays", "", (*SCHEMA.columns, Column("note", Kind.STRING, "more", nullable=True)))
    one = nw.from_native(frame(engine, ROWS[:1])).with_columns(note=nw.lit("x")).to_native()
    replaced = [("flight", "=", ROWS[0]["flight"])]
    commit = engine.write(path, engine.conform(one, wider), order(schema=wider, content="c4", replace=replaced))
    notes = {row["flight"]: row["note"] for row in read(engine, path, commit.version)}
    assert notes == {row["flight"]: "x" if row is ROWS[0] else None for row in ROWS}
    strict = replace(wider, columns=(*wider.columns, Column("gate", Kind.STRING, "never null")))
    gated = nw.from_native(one).with_columns(gate=nw.lit("A")).to_native()
    with pytest.raises(SchemaViolation, match="its columns have changed since version .*: gate"):
        engine.write(path, engine.conform(gated, strict), order(schema=strict, content="c5", replace=replaced))


def test_a_complete_write_moves_the_files_into_the_declared_partitions_and_a_partial_one_is_refused(engine, table):
    path, _ = table
    for number, by in enumerate([("dest",), ()] if engine.name == "spark" else [("dest",), ("dest", "late"), ()]):
        schema = replace(SCHEMA, layout=Layout(partition_by=by))
        data = engine.conform(frame(engine), schema)
        with pytest.raises(SchemaViolation, match="(?s)its files are partitioned by .*without `replace=`"):
            engine.write(path, data, order(schema=schema, content=f"p{number}", replace=[("flight", ">=", 0)]))
        commit = engine.write(path, data, order(schema=schema, content=f"p{number}"))
        assert engine.layout(path).partition_by == by
        assert len(read(engine, path, commit.version)) == len(ROWS)


def test_digests_are_equal_only_for_equal_content(engine):
    def digest(rows):
        return engine.digest(engine.conform(frame(engine, rows), SCHEMA))

    changed = [row | {"delay": 1234} if row["flight"] == 8 else row for row in ROWS]
    assert digest(ROWS) == digest(ROWS) != digest(changed)
    assert digest(ROWS) != digest(ROWS[:-1])
    assert digest([]) == digest([]) != digest(ROWS)


def test_a_digest_ignores_row_order_unless_the_engine_guarantees_it(engine):
    """Joins and groups change the row order: a retry must recognise its own content."""
    forwards, backwards = (engine.digest(engine.conform(frame(engine, rows), SCHEMA)) for rows in (ROWS, ROWS[::-1]))
    assert (forwards == backwards) is (engine.name != "pandas")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop("late"), "missing: late"),
        (lambda f: f.with_columns(lat=nw.col("late")), "not declared: lat"),
        (lambda f: f.with_columns(delay=nw.col("dest")), "column 'delay' is declared as int16"),
        (lambda f: f.with_columns(late=nw.col("flight")), "column 'late' is declared as bool"),
    ],
)
def test_a_frame_with_undeclared_columns_or_kinds_is_refused(engine, change, message):
    with pytest.raises(SchemaViolation, match=message):
        engine.conform(change(nw.from_native(frame(engine))).to_native(), SCHEMA)


def test_integers_are_narrowed_and_nan_becomes_null(engine):
    wide = nw.from_native(frame(engine)).with_columns(nw.col("delay").cast(nw.Int64()))
    with_nan = wide.with_columns(
        share=nw.when(nw.col("flight") == 4).then(nw.lit(float("nan"))).otherwise(nw.col("share"))
    )
    rows = {row["flight"]: row for row in engine.to_arrow(engine.conform(with_nan.to_native(), SCHEMA)).to_pylist()}
    assert (rows[8]["delay"], rows[4]["share"], rows[5]["share"]) == (-2, None, 5 / 7)


def test_local_frames_become_frames_of_the_engine(engine):
    import polars as pl

    table = pa.table({"a": [1, 2]})
    for data in (table, table.to_pandas(), pl.from_arrow(table)):
        assert engine.to_arrow(engine.from_local(data)).to_pydict() == {"a": [1, 2]}
        assert engine.count(engine.from_local(data)) == 2


def test_an_empty_frame_has_the_same_columns_and_types(engine):
    empty = frame(engine, [])
    assert engine.count(empty) == 0
    assert nw.from_native(empty).collect_schema() == nw.from_native(frame(engine)).collect_schema()
    assert engine.to_arrow(empty).schema == engine.to_arrow(frame(engine)).schema


def test_a_cached_frame_has_the_same_rows(engine):
    cached = engine.cache(frame(engine))
    assert sorted(engine.to_arrow(cached)["flight"].to_pylist()) == list(range(40))
    engine.release()
    assert engine.count(cached) == 40
