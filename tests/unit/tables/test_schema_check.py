"""Schema checks in memory: columns, casts without loss, rules, messages, and pandera's own verdict."""

import time
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pandera.errors
import pyarrow as pa
import pytest
from fixtures.properties import costly_examples
from hypothesis import given
from hypothesis import strategies as st

from stagebook.delta.pandas_engine import LocalEngine
from stagebook.errors import SchemaViolation
from stagebook.model.tables import Column, Kind, TableSchema
from stagebook.tables.schema_check import check as check_with
from stagebook.tables.schema_check import pandera_schema


def check(table, schema):
    return check_with(LocalEngine(), table, schema)


COLUMNS = (
    Column("id", Kind.INT32, "key"),
    Column("origin", Kind.STRING, "airport", allowed=("EWR", "JFK", "LGA")),
    Column("delay", Kind.INT16, "late", unit="min", nullable=True, minimum=-120, maximum=1500),
    Column("rate", Kind.FLOAT64, "share", nullable=True, minimum=0, maximum=1),
    Column("hour", Kind.TIMESTAMP, "scheduled hour", unit="UTC", nullable=True),
    Column("day", Kind.DATE, "day", nullable=True),
    Column("late", Kind.BOOL, "label", nullable=True),
)
SCHEMA = TableSchema("flights", "flights", COLUMNS, key=("id",))
TOLERANT = TableSchema("flights", "flights", COLUMNS, key=("id",), max_bad_share=0.5)


def frame(n=10, **changes):
    base = {
        "id": range(n),
        "origin": (["EWR", "JFK", "LGA"] * n)[:n],
        "delay": [5] * n,
        "rate": [0.5] * n,
        "hour": pd.to_datetime(["2013-01-01T00:00Z"] * n),
        "day": [date(2013, 1, 1)] * n,
        "late": [True] * n,
    }
    return pa.Table.from_pandas(pd.DataFrame({**base, **changes}), preserve_index=False)


def test_a_fitting_frame_passes_in_declared_order_and_types():
    table = frame()
    checked = check(table.select(list(reversed(table.column_names))), SCHEMA)
    assert checked.data.column_names == list(SCHEMA.column_names)
    assert [str(f.type) for f in checked.data.schema] == [
        "int32",
        "string",
        "int16",
        "double",
        "timestamp[us, tz=UTC]",
        "date32[day]",
        "bool",
    ]
    assert (checked.dropped_by_rule, checked.dropped_rows, str(checked)) == ({}, 0, "10 rows fit table 'flights'")


BAD = [
    ({"id": [0, 1, 2, 3, 4, 5, 6, 7, 8, 0]}, "key (id) is unique", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ({"id": pd.array([0, None, *range(2, 10)], dtype="Int32")}, "id is not null", [0, 2, 3, 4, 5, 6, 7, 8, 9]),
    ({"origin": ["XXX", *["EWR"] * 9]}, "origin in EWR, JFK, LGA", list(range(1, 10))),
    ({"origin": [None, *["EWR"] * 9]}, "origin is not null", list(range(1, 10))),
    ({"delay": [-121, *[0] * 9]}, "delay >= -120", list(range(1, 10))),
    ({"delay": [*[0] * 9, 1501]}, "delay <= 1500", list(range(9))),
    ({"rate": [1.5, None, *[0.5] * 8]}, "rate <= 1", list(range(1, 10))),
    ({"rate": [-0.1, np.nan, *[0.5] * 8]}, "rate >= 0", list(range(1, 10))),
]


@pytest.mark.parametrize(("changes", "rule", "remaining"), BAD, ids=[case[1] for case in BAD])
def test_a_bad_row_is_counted_by_its_rule_and_dropped(changes, rule, remaining):
    checked = check(frame(**changes), TOLERANT)
    assert checked.dropped_by_rule == {rule: 1}
    assert checked.data["id"].to_pylist() == remaining
    assert checked.dropped_rows == len(checked.examples) == 1
    assert str(checked) == f"9 rows fit table 'flights', 1 dropped: {rule}: 1"


@pytest.mark.parametrize(("changes", "rule", "remaining"), BAD, ids=[case[1] for case in BAD])
def test_without_tolerance_one_bad_row_is_too_many(changes, rule, remaining):
    with pytest.raises(SchemaViolation, match=r"table 'flights': 1 of 10 rows break its schema; tolerated are 0\.00%"):
        check(frame(**changes), SCHEMA)


def test_the_message_has_counts_by_rule_examples_and_what_to_do():
    bad = frame(origin=["XXX"] * 7 + ["EWR"] * 3, delay=[2000] * 6 + [0] * 4)
    with pytest.raises(SchemaViolation) as caught:
        check(bad, TOLERANT)
    assert str(caught.value).splitlines() == [
        "table 'flights': 7 of 10 rows break its schema; tolerated are 50.00%.",
        "  origin in EWR, JFK, LGA: 7 rows",
        "  delay <= 1500: 6 rows",
        "  for example:",
        "    id=0, origin='XXX', delay=2000",
        "    id=1, origin='XXX', delay=2000",
        "    id=2, origin='XXX', delay=2000",
        "    id=3, origin='XXX', delay=2000",
        "    id=4, origin='XXX', delay=2000",
        "  Correct the data where it is made, or change the rule or max_bad_share in the table's schema.",
    ]


def test_a_row_that_breaks_two_rules_is_dropped_once():
    checked = check(frame(origin=["XXX", *["EWR"] * 9], delay=[2000, *[0] * 9]), TOLERANT)
    assert checked.dropped_by_rule == {"origin in EWR, JFK, LGA": 1, "delay <= 1500": 1}
    assert (checked.dropped_rows, checked.data.num_rows) == (1, 9)


def test_exactly_the_tolerated_share_is_tolerated():
    assert check(frame(delay=[2000] * 5 + [0] * 5), TOLERANT).dropped_rows == 5


def test_nan_is_a_missing_value():
    assert check(frame(rate=[np.nan] * 10), SCHEMA).data["rate"].null_count == 10


def test_an_empty_frame_fits():
    assert check(frame().slice(0, 0), SCHEMA).data.num_rows == 0


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("id", [1.5] * 10, "declared as int32, but the frame has double: .*truncated"),
        ("id", [2**40] * 10, "not in range"),
        ("id", ["1"] * 10, "different kinds of value"),
        ("id", [True] * 10, "different kinds of value"),
        ("origin", [1] * 10, "declared as string, but the frame has int64: these are different kinds"),
        ("late", [0, 1] * 5, "different kinds of value"),
        ("rate", [2**53 + 1] * 10, "declared as float64"),
        ("rate", ["0.5"] * 10, "different kinds of value"),
        ("hour", pd.to_datetime(["2013-01-01"] * 10), r"without a zone is no instant; use \.dt\.tz_localize"),
        ("hour", pd.to_datetime(["2013-01-01T00:00:00.000000001Z"] * 10), "would lose data"),
        ("day", pd.to_datetime(["2013-01-01T12:00"] * 10), "some values have a time of day"),
        ("day", pd.to_datetime(["2013-01-01T00:00Z"] * 10), "different kinds of value"),
    ],
)
def test_a_cast_that_would_lose_something_is_refused(column, values, reason):
    with pytest.raises(SchemaViolation, match=f"column '{column}' is declared as"):
        check(frame(**{column: values}), SCHEMA)
    with pytest.raises(SchemaViolation, match=reason):
        check(frame(**{column: values}), SCHEMA)


@pytest.mark.parametrize(
    ("column", "values", "result"),
    [
        ("delay", [1.0, None], [1, None]),
        ("delay", [None, None], [None, None]),
        ("rate", [1, 0], [1.0, 0.0]),
        ("origin", pd.Categorical(["EWR", "JFK"]), ["EWR", "JFK"]),
        ("day", pd.to_datetime(["2013-01-01", None]), [date(2013, 1, 1), None]),
        (
            "hour",
            pd.to_datetime(["2013-01-01T00:00-05:00", None], utc=True),
            [datetime(2013, 1, 1, 5, tzinfo=UTC), None],
        ),
    ],
)
def test_a_cast_that_loses_nothing_is_done(column, values, result):
    table = LocalEngine().to_arrow(frame(2, **{column: values}).to_pandas())
    assert check(table, SCHEMA).data[column].to_pylist() == result


def test_the_columns_must_be_exactly_the_declared_ones():
    table = frame().rename_columns(["id", "origins", "delay", "rate", "hour", "day", "late"])
    with pytest.raises(SchemaViolation) as caught:
        check(table.append_column("delay", table["delay"]).append_column("x", table["delay"]), SCHEMA)
    assert str(caught.value).splitlines()[:4] == [
        "table 'flights': the frame does not have exactly the declared columns.",
        "  missing: origin",
        "  not declared: origins Did you mean 'origin'?, x",
        "  more than once: delay",
    ]


def test_the_pandera_schema_by_itself_gives_the_same_verdict():
    good = check(frame(), SCHEMA).data.to_pandas(types_mapper=pd.ArrowDtype)
    schema = pandera_schema(SCHEMA)
    schema.validate(good, lazy=True)
    with pytest.raises(pandera.errors.SchemaErrors, match="delay <= 1500"):
        schema.validate(good.assign(delay=good["delay"] + 1499), lazy=True)


def test_a_year_of_flights_is_checked_in_seconds_good_or_bad():
    n = 300_000
    wide = TableSchema(
        "wide",
        "",
        (Column("id", Kind.INT64, ""), *(Column(f"c{i}", Kind.FLOAT64, "", minimum=0, maximum=1) for i in range(24))),
        key=("id",),
    )
    good = pa.table({"id": np.arange(n), **{f"c{i}": np.linspace(0, 1, n) for i in range(24)}})
    bad = pa.table({"id": np.zeros(n, dtype=int), **{f"c{i}": np.full(n, 2.0) for i in range(24)}})
    check(good.slice(0, 10), wide)  # imports
    start = time.perf_counter()
    check(good, wide)
    with pytest.raises(SchemaViolation, match="300,000 of 300,000 rows"):
        check(bad, wide)
    assert (
        time.perf_counter() - start < 8
    )  # 0.6 s on an idle machine; pandera's own report of the bad one takes minutes


@costly_examples(0.25)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["EWR", "XXX", None]), st.integers(-300, 3000)), max_size=30)
)
def test_the_remaining_rows_always_fit(rows):
    lenient = TableSchema("t", "", COLUMNS[:3], key=("id",), max_bad_share=1.0)
    schema = pa.schema([("id", pa.int64()), ("origin", pa.string()), ("delay", pa.int64())])
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(schema.names)}, schema=schema)
    checked = check(table, lenient)
    assert check(checked.data, TableSchema("t", "", COLUMNS[:3], key=("id",))).dropped_rows == 0
    assert checked.data.num_rows + checked.dropped_rows == len(rows)
