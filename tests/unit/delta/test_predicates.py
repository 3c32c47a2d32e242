"""Conditions select the right rows, and no value is interpreted as SQL."""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from stagebook.delta import predicates
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.errors import BadPredicate, UnknownColumn

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
TABLE = pa.table(
    {
        "k": pa.array([1, 2, 3, None], pa.int16()),
        "f": pa.array([0.5, -1e-7, 2.0, None]),
        'we"ird': pa.array(["it's", '"; DROP', "\\n", None]),
        "t": pa.array(
            [NOON, NOON + timedelta(hours=1), NOON + timedelta(microseconds=1), None], pa.timestamp("us", "UTC")
        ),
        "d": pa.array([date(2013, 1, 1), date(2013, 1, 2), date(2012, 2, 29), None]),
        "b": pa.array([True, False, True, None]),
        "m": pa.array([Decimal("1.20"), Decimal("-3.00"), Decimal("0.01"), None], pa.decimal128(9, 2)),
        "n": pa.array([datetime(2013, 1, 1), datetime(2014, 1, 1), datetime(2015, 1, 1), None], pa.timestamp("us")),
    }
)
ENGINE = LocalEngine()


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "t"
    write_deltalake(str(path), TABLE)
    return path


CASES = [
    ([("k", "=", 2)], [1]),
    ([("k", "=", 2.0)], [1]),
    ([("k", "=", np.int64(2))], [1]),
    ([("k", "!=", 2)], [0, 2]),  # never true for a null
    ([("k", ">", 1), ("f", "<", 1)], [1]),
    ([("k", "in", [3, 1])], [0, 2]),
    ([("k", "in", [])], []),
    ([], [0, 1, 2, 3]),
    ([("f", "<=", -1e-7)], [1]),
    ([("f", ">", 0)], [0, 2]),
    ([('we"ird', "=", "it's")], [0]),
    ([('we"ird', "in", ['"; DROP', "\\n"])], [1, 2]),
    ([('we"ird', "=", "' OR '1'='1")], []),
    ([('we"ird', "=", "x'; DROP TABLE t; --")], []),
    ([("t", ">=", NOON + timedelta(hours=1))], [1]),
    ([("t", "=", pd.Timestamp("2013-01-01 13:00:00.000001", tz="Europe/Berlin"))], [2]),
    ([("t", "<", "2013-01-01T07:00:00-05:00")], []),
    ([("t", "<=", "2013-01-01T12:00:00Z")], [0]),
    ([("t", "=", datetime(2013, 1, 1, 13, tzinfo=timezone(timedelta(hours=1))))], [0]),
    ([("d", "<", date(2013, 1, 1))], [2]),
    ([("d", "in", ["2013-01-02"])], [1]),
    ([("b", "=", False)], [1]),
    ([("b", "=", np.True_)], [0, 2]),
    ([("m", "=", Decimal("-3"))], [1]),
    ([("n", "=", datetime(2014, 1, 1))], [1]),
]


@pytest.mark.parametrize(("where", "rows"), CASES, ids=[str(case[0]) for case in CASES])
def test_a_condition_selects_the_same_rows_in_sql_and_in_arrow(stored, where, rows):
    assert ENGINE.read_arrow(stored, version=0, where=where).equals(TABLE.take(pa.array(rows, pa.int64())))
    conditions = predicates.check(where, TABLE.schema)
    assert TABLE.filter(predicates.to_expression(conditions)).equals(TABLE.take(pa.array(rows, pa.int64())))


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (("k", "==", 1), "the operator must be one of = != < <= > >= in"),
        (("k", "= 1 OR 1 =", 1), "the operator must be one of"),
        (("k", "=", "1"), "column 'k' is int16: give a whole number"),
        (("k", "<", 2.5), "give a whole number"),
        (("k", "<", math.inf), "give a whole number"),
        (("k", "=", True), "give a whole number"),
        (("k", "<", 40_000), "40000 too large"),
        (("k", "=", None), "never true for a null"),
        (("f", "=", math.nan), "never true for a null"),
        (("f", "=", math.inf), "give a finite number"),
        (("f", "=", 2**53 + 1), "that a float64 can hold"),
        (("f", "=", "1.0"), "give a number"),
        (('we"ird', "=", 3), "give a string"),
        (('we"ird', "=", "a\0b"), "NUL"),
        (('we"ird', "in", "it's"), "'in' takes a list"),
        (("t", "=", datetime(2013, 1, 1)), "give a time with a time zone"),
        (("t", "=", "yesterday"), "Invalid isoformat"),
        (("t", "=", pd.Timestamp(1, tz="UTC")), "whole microseconds"),
        (("t", "=", 5), "give a point in time"),
        (("d", "=", NOON), "give a date"),
        (("b", "=", 1), "give true or false"),
        (("m", "=", 1.2), "give a decimal"),
        (("n", "=", NOON), "without a time zone"),
    ],
    ids=str,
)
def test_an_invalid_condition_is_refused(stored, condition, reason):
    with pytest.raises(BadPredicate, match=reason):
        ENGINE.read(stored, version=0, where=[condition])


def test_an_unknown_column_is_refused_with_the_nearest_name(stored):
    with pytest.raises(UnknownColumn, match=r"no column 'weird'\. Did you mean 'we\"ird'\?"):
        ENGINE.read(stored, version=0, where=[("weird", "=", "a")])
    with pytest.raises(UnknownColumn, match="no column 'K'. Did you mean 'k'"):
        ENGINE.read(stored, version=0, columns=["K"])


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_matches_only_itself(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("text") / "t"
    table = pa.table({"s": [text, text + "'", "other"]})
    write_deltalake(str(path), table)
    matches = ENGINE.read_arrow(path, version=0, where=[("s", "=", text)])["s"].to_pylist()
    assert matches == [value for value in table["s"].to_pylist() if value == text]


@pytest.mark.parametrize(
    "where", [[("k", "in", [1, 3])], [("t", "<", NOON + timedelta(seconds=5))], [("m", ">", Decimal("0.01"))]]
)
def test_the_sql_of_a_condition_limits_what_a_write_replaces(stored, tmp_path, where):
    path = tmp_path / "t"
    write_deltalake(str(path), TABLE)
    conditions = predicates.check(where, TABLE.schema)
    rows = TABLE.filter(predicates.to_expression(conditions))
    write_deltalake(DeltaTable(str(path)), rows, mode="overwrite", predicate=predicates.to_sql(conditions))
    rewritten = ENGINE.read_arrow(path, version=1)
    assert sorted(map(str, rewritten.to_pylist())) == sorted(map(str, TABLE.to_pylist()))
