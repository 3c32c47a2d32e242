"""What every engine does alike: one body of tests, on pandas, polars and Spark."""

from datetime import UTC, date, datetime

import narwhals as nw
import pyarrow as pa
import pytest

from stagebook.engines.base import CONTENT, RUN_ID, STAGE, WriteOrder
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
    return engine.frame(pa.Table.from_pylist(rows, schema=pa.schema([
        ("flight", pa.int32()), ("dest", pa.string()), ("hour", pa.timestamp("us", "UTC")), ("day", pa.date32()),
        ("delay", pa.int16()), ("share", pa.float64()), ("late", pa.bool_()),
    ])))  # fmt: skip


def order(run="r1", content="c1", **changes):
    metadata = {RUN_ID: run, STAGE: "s", CONTENT: content}
    return WriteOrder(**{"schema": SCHEMA, "app_id": f"{run}/s/delays", "metadata": metadata, **changes})


def write(engine, path, rows=ROWS, **changes):
    return engine.write(path, engine.conform(frame(engine, rows), SCHEMA), order(**changes))


def read(engine, path, version, columns=None, where=()):
    found = engine.to_arrow(engine.read(path, version=version, columns=columns, where=where)).to_pylist()
    return sorted(found, key=lambda row: row["flight"])


@pytest.fixture
def table(engine, tmp_path):
    """A table of this test alone."""
    path = tmp_path / "delays"
    return path, write(engine, path)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return {}, tmp_path_factory.mktemp("written")


@pytest.fixture
def shared(engine, written):
    """One table for each engine, for the tests that only look at it."""
    known, folder = written
    if engine.name not in known:
        path = folder / engine.name
        known[engine.name] = path, write(engine, path)
    return known[engine.name]


def test_what_is_written_comes_back(engine, shared):
    path, commit = shared
    assert (commit.rows, commit.run_id, commit.stage, commit.repeated) == (40, "r1", "s", False)
    assert read(engine, path, commit.version) == ROWS


def test_what_one_engine_writes_pandas_reads(engine, shared):
    from stagebook.engines.local import LocalEngine

    path, commit = shared
    assert read(LocalEngine(), path, commit.version) == ROWS
    assert commit == LocalEngine().commit(path, commit.version)


def test_a_new_table_is_as_its_schema_declares_it(engine, shared):
    from deltalake import DeltaTable

    found = DeltaTable(str(shared[0]))
    assert (found.protocol().min_reader_version, found.protocol().min_writer_version) == (1, 2)
    assert [(field.name, field.nullable) for field in found.schema().fields] == [
        (column.name, column.nullable) for column in SCHEMA.columns
    ]
    assert "late at arrival" in found.schema().fields[4].metadata["comment"]
    assert found.metadata().configuration["delta.targetFileSize"] == str(SCHEMA.layout.target_file_bytes)


def test_columns_come_in_the_order_in_which_they_are_asked_for(engine, shared):
    path, commit = shared
    found = engine.to_arrow(engine.read(path, version=commit.version, columns=["delay", "flight"], where=()))
    assert found.column_names == ["delay", "flight"]


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


def test_conditions_and_columns_that_do_not_fit_are_refused_in_words(engine, shared):
    path, commit = shared
    with pytest.raises(UnknownColumn, match="Did you mean 'delay'"):
        engine.read(path, version=commit.version, columns=["delai"], where=())
    with pytest.raises(BadPredicate, match="column 'delay' is int16: give a whole number"):
        engine.read(path, version=commit.version, columns=None, where=[("delay", "=", 1.5)])


def test_the_same_content_is_committed_once_and_other_content_again(engine, table):
    path, first = table
    again = write(engine, path)
    assert (again.version, again.repeated) == (first.version, True)
    mended = write(engine, path, ROWS[:7], content="c2")
    assert (mended.version, mended.rows, mended.repeated) == (first.version + 1, 7, False)
    assert write(engine, path, ROWS[:7], content="c2").version == mended.version
    assert read(engine, path, first.version) == ROWS


def test_a_part_is_replaced_and_the_rest_stays(engine, table):
    path, _ = table
    only = [row | {"delay": 99} for row in ROWS if row["dest"] == "it's"]
    commit = write(engine, path, only, content="c2", replace=[("dest", "=", "it's")], app_id="r1/s/delays/part")
    expected = [row | {"delay": 99} if row["dest"] == "it's" else row for row in ROWS]
    assert read(engine, path, commit.version) == expected


def test_rows_outside_of_the_part_are_refused(engine, shared):
    path, commit = shared
    with pytest.raises(SchemaViolation, match="30 of 40 rows lie outside"):
        write(engine, path, content="c2", replace=[("dest", "=", "SFO")], app_id="r1/s/delays/part")
    assert engine.latest(path) == commit.version


def test_other_columns_replace_the_whole_table_only(engine, table):
    path, _ = table
    wider = TableSchema("delays", "", (*SCHEMA.columns, Column("note", Kind.STRING, "more", nullable=True)))
    more = nw.from_native(frame(engine)).with_columns(note=nw.lit("x")).to_native()
    data = engine.conform(more, wider)
    with pytest.raises(SchemaViolation, match="its columns have changed since version .*: note"):
        engine.write(path, data, order(schema=wider, content="c3", replace=[("flight", ">=", 0)]))
    commit = engine.write(path, data, order(schema=wider, content="c3"))
    assert read(engine, path, commit.version)[0]["note"] == "x"


def test_equal_content_has_an_equal_digest_and_a_changed_value_another(engine):
    def digest(rows):
        return engine.digest(engine.conform(frame(engine, rows), SCHEMA))

    changed = [row | {"delay": 1234} if row["flight"] == 8 else row for row in ROWS]
    assert digest(ROWS) == digest(ROWS) != digest(changed)
    assert digest(ROWS) != digest(ROWS[:-1])
    assert digest([]) == digest([]) != digest(ROWS)


def test_a_digest_is_of_the_rows_in_any_order_where_the_engine_promises_none(engine):
    """Joins and groups come in another order each time: a retry must recognise its own content."""
    there, back = (engine.digest(engine.conform(frame(engine, rows), SCHEMA)) for rows in (ROWS, ROWS[::-1]))
    assert (there == back) is (engine.name != "pandas")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop("late"), "missing: late"),
        (lambda f: f.with_columns(lat=nw.col("late")), "not declared: lat"),
        (lambda f: f.with_columns(delay=nw.col("dest")), "column 'delay' is declared as int16"),
        (lambda f: f.with_columns(late=nw.col("flight")), "column 'late' is declared as bool"),
    ],
)
def test_a_frame_of_other_columns_or_kinds_is_refused(engine, change, message):
    with pytest.raises(SchemaViolation, match=message):
        engine.conform(change(nw.from_native(frame(engine))).to_native(), SCHEMA)


def test_narrower_whole_numbers_are_taken_and_not_a_number_is_null(engine):
    wide = nw.from_native(frame(engine)).with_columns(nw.col("delay").cast(nw.Int64()))
    odd = wide.with_columns(share=nw.when(nw.col("flight") == 4).then(nw.lit(float("nan"))).otherwise(nw.col("share")))
    rows = {row["flight"]: row for row in engine.to_arrow(engine.conform(odd.to_native(), SCHEMA)).to_pylist()}
    assert (rows[8]["delay"], rows[4]["share"], rows[5]["share"]) == (-2, None, 5 / 7)


def test_frames_of_any_kind_become_frames_of_the_engine(engine):
    import polars as pl

    table = pa.table({"a": [1, 2]})
    for data in (table, table.to_pandas(), pl.from_arrow(table)):
        assert engine.to_arrow(engine.frame(data)).to_pydict() == {"a": [1, 2]}
        assert engine.count(engine.frame(data)) == 2


def test_a_frame_without_rows_has_the_columns_and_types_of_one_with_rows(engine):
    empty = frame(engine, [])
    assert engine.count(empty) == 0
    assert nw.from_native(empty).collect_schema() == nw.from_native(frame(engine)).collect_schema()
    assert engine.to_arrow(empty).schema == engine.to_arrow(frame(engine)).schema


def test_a_cached_frame_is_the_same_frame(engine):
    cached = engine.cache(frame(engine))
    assert sorted(engine.to_arrow(cached)["flight"].to_pylist()) == list(range(40))
    engine.release()
    assert engine.count(cached) == 40
