"""Schema checks and the warehouse on every engine: one body of tests, the same messages."""

from collections import Counter
from datetime import UTC, date, datetime

import narwhals as nw
import pandas as pd
import pyarrow as pa
import pytest

from stagebook.delta.engine import Engine
from stagebook.delta.estimate import frame_row_bytes
from stagebook.engines.open import open_engine
from stagebook.errors import SchemaViolation, TooLarge
from stagebook.machine import Memory
from stagebook.model.pipeline import SparkSettings
from stagebook.model.tables import Column, Kind, TableSchema
from stagebook.tables.schema_check import check
from stagebook.tables.warehouse import Warehouse, Writer

COLUMNS = (
    Column("id", Kind.INT32, "key"),
    Column("origin", Kind.STRING, "airport", allowed=("EWR", "JFK", "LGA")),
    Column("delay", Kind.INT16, "late", unit="min", nullable=True, minimum=-120, maximum=1500),
    Column("rate", Kind.FLOAT64, "share", nullable=True, minimum=0, maximum=1),
    Column("hour", Kind.TIMESTAMP, "scheduled hour", unit="UTC", nullable=True),
    Column("day", Kind.DATE, "day", nullable=True),
    Column("late", Kind.BOOL, "label", nullable=True),
)
STRICT = TableSchema("flights", "flights", COLUMNS, key=("id",))
TOLERANT = TableSchema("flights", "flights", COLUMNS, key=("id",), max_bad_share=0.5)
TYPES = pa.schema([
    ("id", pa.int32()), ("origin", pa.string()), ("delay", pa.int16()), ("rate", pa.float64()),
    ("hour", pa.timestamp("us", "UTC")), ("day", pa.date32()), ("late", pa.bool_()),
])  # fmt: skip
GOOD = {
    "id": list(range(10)),
    "origin": ["EWR", "JFK", "LGA"] * 3 + ["EWR"],
    "delay": [None, *range(9)],
    "rate": [None, *[0.5] * 9],
    "hour": [datetime(2013, 1, 1, 5, tzinfo=UTC)] * 10,
    "day": [date(2013, 1, 1)] * 10,
    "late": [None, *[True] * 9],
}


def table(**changes: list) -> pa.Table:
    """Ten good rows, some columns of which are replaced."""
    return pa.table({name: pa.array(changes.get(name, GOOD[name]), TYPES.field(name).type) for name in TYPES.names})


def frame(engine: Engine, rows: int = 10, **changes: list) -> object:
    """The first of these rows as a frame of the engine."""
    return engine.from_local(table(**changes).slice(0, rows))


@pytest.fixture(params=["pandas", "polars"])
def local_engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn that computes in this process."""
    return open_engine(request.param, SparkSettings())


def arrow(engine: Engine, data: object) -> pa.Table:
    return engine.to_arrow(data).sort_by("id")


BAD = [
    ({"id": [0, 1, 2, 3, 4, 5, 6, 7, 8, 0]}, {"key (id) is unique": 1}, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ({"id": [0, 1, 2, 3, 4, 5, 0, 0, 5, 0]}, {"key (id) is unique": 4}, [0, 1, 2, 3, 4, 5]),
    ({"id": [None, *range(1, 10)]}, {"id is not null": 1}, list(range(1, 10))),
    ({"id": [None, None, *range(2, 10)]}, {"id is not null": 2}, list(range(2, 10))),
    ({"origin": ["XXX", *["EWR"] * 9]}, {"origin in EWR, JFK, LGA": 1}, list(range(1, 10))),
    ({"origin": [None, *["EWR"] * 9]}, {"origin is not null": 1}, list(range(1, 10))),
    ({"delay": [-121, None, *[0] * 8]}, {"delay >= -120": 1}, list(range(1, 10))),
    ({"delay": [*[0] * 9, 1501]}, {"delay <= 1500": 1}, list(range(9))),
    ({"rate": [1.5, float("nan"), None, *[0.5] * 7]}, {"rate <= 1": 1}, list(range(1, 10))),
    ({"rate": [float("-inf"), float("inf"), *[0.5] * 8]}, {"rate >= 0": 1, "rate <= 1": 1}, list(range(2, 10))),
    (
        {"origin": ["XXX", *["EWR"] * 9], "delay": [2000, *[0] * 9]},
        {"origin in EWR, JFK, LGA": 1, "delay <= 1500": 1},
        list(range(1, 10)),
    ),
    (
        {"id": [0, 0, 2, 3, 4, 5, 6, 7, 7, 8], "origin": ["XXX", *["EWR"] * 9]},
        {"origin in EWR, JFK, LGA": 1, "key (id) is unique": 1},
        [0, 2, 3, 4, 5, 6, 7, 8],
    ),
]
CASES = [pytest.param(*case, id=f"{' and '.join(case[1])} {case[1]}") for case in BAD]


@pytest.mark.parametrize(("changes", "dropped", "remaining"), CASES)
def test_bad_rows_are_counted_by_their_rules_and_dropped(local_engine, changes, dropped, remaining):
    checked = check(local_engine, frame(local_engine, **changes), TOLERANT)
    assert dict(checked.dropped_by_rule) == dropped
    rows = len(remaining)
    assert (checked.rows, checked.dropped_rows) == (rows, 10 - rows)
    assert arrow(local_engine, checked.data)["id"].to_pylist() == remaining
    assert str(checked).startswith(f"{rows} rows fit table 'flights', {10 - rows} dropped: ")


def test_all_rules_at_once_drop_the_rows_that_each_drops_alone(engine):
    """The cases above as one frame, with ids of their own: on Spark, too, where each check takes a second."""
    tables, dropped, remaining = [], Counter(), []
    for number, (changes, dropped_of_case, remaining_of_case) in enumerate(BAD):
        ids = [None if value is None else 100 * number + value for value in changes.get("id", GOOD["id"])]
        tables.append(table(**{**changes, "id": ids}))
        dropped += Counter(dropped_of_case)
        remaining += [100 * number + value for value in remaining_of_case]
    checked = check(engine, engine.from_local(pa.concat_tables(tables)), TOLERANT)
    assert dict(checked.dropped_by_rule) == dropped
    assert (checked.rows, checked.dropped_rows) == (len(remaining), 10 * len(BAD) - len(remaining))
    assert arrow(engine, checked.data)["id"].to_pylist() == remaining


def refusal(engine: Engine, schema: TableSchema = STRICT, **changes: list) -> list[str]:
    with pytest.raises(SchemaViolation, match="of 10 rows break its schema") as caught:
        check(engine, frame(engine, **changes), schema)
    return str(caught.value).splitlines()


MESSAGES = [
    (
        {"origin": ["XXX"] * 2 + ["EWR"] * 8, "delay": [2000, 2000, None, *[0] * 6, -200]},
        [
            "table 'flights': 3 of 10 rows break its schema; tolerated are 0.00%.",
            "  origin in EWR, JFK, LGA: 2 rows",
            "  delay >= -120: 1 rows",
            "  delay <= 1500: 2 rows",
            "  for example:",
            "    id=0, origin='XXX', delay=2000",
            "    id=9, delay=-200",
            "    id=1, origin='XXX', delay=2000",
        ],
    ),
    (
        {"id": [0, 0, 0, 1, 1, 5, 6, 7, 8, 9], "rate": [*[0.5] * 9, 1.25]},
        [
            "table 'flights': 4 of 10 rows break its schema; tolerated are 0.00%.",
            "  rate <= 1: 1 rows",
            "  key (id) is unique: 3 rows",
            "  for example:",
            "    id=9, rate=1.25",
            "    id=0",
            "    id=0",
            "    id=1",
        ],
    ),
    (
        {"id": [None, *range(1, 10)]},
        [
            "table 'flights': 1 of 10 rows break its schema; tolerated are 0.00%.",
            "  id is not null: 1 rows",
            "  for example:",
            "    id=null",
        ],
    ),
]


@pytest.mark.parametrize(("changes", "lines"), MESSAGES, ids=["rules", "keys", "null"])
def test_too_many_bad_rows_are_refused_with_the_same_message(engine, changes, lines):
    todo = "  Correct the data where it is made, or change the rule or max_bad_share in the table's schema."
    assert refusal(engine, **changes) == [*lines, todo]


def test_a_refusal_shows_at_most_five_rows(engine):
    lines = refusal(engine, TOLERANT, origin=["XXX"] * 7 + ["EWR"] * 3, delay=[2000] * 6 + [0] * 4)
    assert lines[1:4] == ["  origin in EWR, JFK, LGA: 7 rows", "  delay <= 1500: 6 rows", "  for example:"]
    assert [line.split(",")[1] for line in lines[4:-1]] == [" origin='XXX'"] * 5


def test_a_table_may_have_very_many_rules(engine):
    """Spark Connect's messages are not as deep as a chain of 200 conditions."""
    names = [f"c{number}" for number in range(100)]
    wide = TableSchema(
        "wide", "", tuple(Column(n, Kind.INT64, "", minimum=0, maximum=9) for n in names), ("c0",), max_bad_share=0.5
    )
    rows = pa.table({name: [1, 2, 3, -1 if name == "c99" else 4] for name in names})
    checked = check(engine, engine.from_local(rows), wide)
    assert (checked.rows, dict(checked.dropped_by_rule)) == (3, {"c99 >= 0": 1})
    assert checked.examples == ({"c0": 4, "c99": -1},)


def test_exactly_the_tolerated_share_is_tolerated(engine):
    assert check(engine, frame(engine, delay=[2000] * 5 + [0] * 5), TOLERANT).dropped_rows == 5
    assert refusal(engine, TOLERANT, delay=[2000] * 6 + [0] * 4)


def test_good_rows_no_rows_and_nan_fit(engine):
    fitting = check(engine, frame(engine), STRICT)
    assert arrow(engine, fitting.data).to_pydict() == GOOD
    assert str(fitting) == "10 rows fit table 'flights'"
    empty = check(engine, frame(engine, 0), STRICT)
    assert (empty.rows, empty.dropped_rows, engine.count(empty.data)) == (0, 0, 0)
    nan = check(engine, frame(engine, rate=[float("nan")] * 10), STRICT)
    assert arrow(engine, nan.data)["rate"].null_count == 10


LOSSY = [
    ("id", pa.array([1, 2**40]), "declared as int32, but the frame has"),
    ("delay", pa.array([1, -(2**15) - 1], pa.int32()), "declared as int16, but the frame has"),
    ("id", pa.array([1, 1.5]), "declared as int32, but the frame has double: "),
    ("delay", pa.array([1.0, 40_000.0]), "declared as int16, but the frame has double: "),
    ("rate", pa.array([1, 2**53 + 1]), "declared as float64, but the frame has"),
    ("rate", pa.array(["0.5", "1"]), "declared as float64, but the frame has string: "),
    ("origin", pa.array([1, 2]), "declared as string, but the frame has"),
    ("late", pa.array([0, 1]), "declared as bool, but the frame has"),
]


@pytest.mark.parametrize(("column", "values", "message"), LOSSY)
def test_a_cast_that_would_lose_something_is_refused(engine, column, values, message):
    columns = {name: pa.array(GOOD[name][1:3], TYPES.field(name).type) for name in TYPES.names}
    with pytest.raises(SchemaViolation, match=f"table 'flights': column '{column}' is {message}"):
        check(engine, engine.from_local(pa.table(columns | {column: values})), STRICT)


LOSSLESS = [
    (Kind.INT16, pa.array([1.0, None]), [1, None]),
    (Kind.INT16, pa.array([1.0, float("nan")]), [1, None]),
    (Kind.INT32, pa.array([-(2**31), 2**31 - 1]), [-(2**31), 2**31 - 1]),
    (Kind.INT16, pa.nulls(2), [None, None]),
    (Kind.FLOAT64, pa.array([1, 0]), [1.0, 0.0]),
]


def test_casts_that_lose_nothing_are_done(engine):
    columns = tuple(Column(f"c{n}", kind, "", nullable=True) for n, (kind, _, _) in enumerate(LOSSLESS))
    rows = pa.table({"key": [1, 2], **{f"c{n}": values for n, (_, values, _) in enumerate(LOSSLESS)}})
    schema = TableSchema("casts", "", (Column("key", Kind.INT64, ""), *columns), key=("key",))
    checked = engine.to_arrow(check(engine, engine.from_local(rows), schema).data).sort_by("key")
    assert {name: checked[name].to_pylist() for name in checked.column_names if name != "key"} == {
        f"c{n}": result for n, (_, _, result) in enumerate(LOSSLESS)
    }


@pytest.fixture
def warehouse(engine, tmp_path) -> Warehouse:
    return Warehouse(tmp_path / "tables", engine)


def by(run: str, attempt: int = 1) -> Writer:
    return Writer(run, "s", attempt)


def test_a_write_drops_tolerated_bad_rows_counts_them_in_the_commit_and_checks_no_row_twice(warehouse):
    bad = frame(warehouse.engine, id=[0, 1, 2, 3, 4, 5, 6, 7, 8, 0], rate=[None, 7.0, *[0.5] * 8])
    checked = warehouse.check(bad, TOLERANT)
    assert warehouse.check(checked, TOLERANT) is checked
    commit = warehouse.write(checked, TOLERANT, writer=by("r"))
    assert (commit.rows, commit.dropped_by_rule) == (8, {"rate <= 1": 1, "key (id) is unique": 1})
    assert warehouse.commit("flights", commit.version) == commit
    rows = warehouse.to_pandas(warehouse.read("flights", version=None, columns=["id"]))
    assert sorted(rows["id"]) == [0, 2, 3, 4, 5, 6, 7, 8]


def test_a_refused_frame_leaves_nothing_behind(warehouse):
    with pytest.raises(SchemaViolation, match="1 of 10 rows break its schema"):
        warehouse.write(frame(warehouse.engine, rate=[2.0, *[0.5] * 9]), STRICT, writer=by("r"))
    assert warehouse.names() == []


def test_the_same_writer_commits_the_same_content_once_and_other_content_anew(warehouse):
    first = warehouse.write(frame(warehouse.engine), STRICT, writer=by("r"))
    repeated = warehouse.write(frame(warehouse.engine), STRICT, writer=by("r", 2))
    assert (repeated.version, repeated.attempt, repeated.repeated) == (first.version, 1, True)
    of_other_run = warehouse.write(frame(warehouse.engine), STRICT, writer=by("another"))
    corrected = warehouse.write(frame(warehouse.engine, delay=[7] * 10), STRICT, writer=by("r", 3))
    assert [of_other_run.version, corrected.version] == [first.version + 1, first.version + 2]
    assert warehouse.committed("flights", run_id="r", stage="s").version == corrected.version


def test_small_frames_become_pandas_frames_of_arrow_types(warehouse):
    pandas_frame = warehouse.to_pandas(frame(warehouse.engine), limit=10).sort_values("id", ignore_index=True)
    assert isinstance(pandas_frame, pd.DataFrame)
    assert pa.Table.from_pandas(pandas_frame, schema=TYPES, preserve_index=False).to_pydict() == GOOD
    assert {name: str(kind) for name, kind in pandas_frame.dtypes.items()} == {
        f.name: f"{f.type}[pyarrow]" for f in TYPES
    }


def test_too_large_a_frame_is_refused_with_what_to_do(warehouse):
    if warehouse.engine.name == "pandas":
        assert len(warehouse.to_pandas(frame(warehouse.engine), limit=1)) == 10, "a pandas frame is in memory already"
        return
    with pytest.raises(TooLarge) as caught:
        warehouse.to_pandas(frame(warehouse.engine), limit=9)
    assert str(caught.value).splitlines() == [
        "10 rows of about 0.0 GB would become a pandas frame; the limit is 9 rows.",
        "  Read fewer columns or rows (`columns=`, `where=`), aggregate or sample first, or give a larger `limit=`.",
    ]


def test_the_default_limit_is_a_quarter_of_the_free_memory(warehouse, monkeypatch):
    if warehouse.engine.name == "pandas":
        return
    monkeypatch.setattr("stagebook.tables.warehouse.memory", lambda: Memory(total=400, free=400))
    with pytest.raises(TooLarge, match=r"the limit is 0\.0 GB, a quarter of the free memory"):
        warehouse.to_pandas(frame(warehouse.engine))


def test_the_head_has_at_most_the_requested_rows_and_the_types_of_the_frame(warehouse):
    head = warehouse.head(frame(warehouse.engine), 3)
    assert (len(head), list(head)) == (3, TYPES.names)
    assert str(head["hour"].dtype) == "timestamp[us, tz=UTC][pyarrow]"
    assert len(warehouse.head(frame(warehouse.engine), 99)) == 10


def test_a_row_is_as_wide_on_every_engine(engine):
    assert frame_row_bytes(frame(engine)) == 4 + 16 + 2 + 8 + 8 + 4 + 1
    assert nw.from_native(frame(engine)).collect_schema().names() == TYPES.names
