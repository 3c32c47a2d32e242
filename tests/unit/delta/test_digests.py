"""Digests of rows: in their order by Arrow, and in any order by every engine (fingerprints)."""

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest

from stagebook.delta.arrow import arrow_type
from stagebook.delta.digests import digest
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.delta.polars_engine import PolarsEngine
from stagebook.model.tables import Kind

VALUES = {
    Kind.STRING: ["a", None, ""],
    Kind.INT16: [1, None, 0],
    Kind.INT32: [1, None, 0],
    Kind.INT64: [1, None, 0],
    Kind.FLOAT64: [0.5, None, 0.0],
    Kind.BOOL: [True, None, False],
    Kind.DATE: [date(2013, 1, 1), None, date(1970, 1, 1)],
    Kind.TIMESTAMP: [datetime(2013, 1, 1, tzinfo=UTC), None, datetime(1970, 1, 1, tzinfo=UTC)],
}
TABLE = pa.table({kind.value: pa.array(values, arrow_type(kind)) for kind, values in VALUES.items()})
ROWS = [(1, 1), (1, None), (2, 7), (2, 7), (3, 0)]


def test_the_digest_depends_on_the_values_and_not_on_their_memory_layout():
    chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)])
    sliced = pa.concat_tables([TABLE, TABLE, TABLE]).combine_chunks().slice(3, 3)
    assert digest(chunked) == digest(sliced) == digest(TABLE)


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("order", [[0, 1, 1], [0, 2, 2], [2, 1, 0]])
def test_the_digest_changes_with_any_value_null_or_order(kind, order):
    position = TABLE.schema.get_field_index(kind.value)
    changed = TABLE.set_column(position, kind.value, TABLE[kind.value].take(pa.array(order)))
    assert digest(changed) != digest(TABLE)


def test_the_digest_depends_on_names_and_types():
    table = pa.table({"a": pa.array([1], pa.int32())})
    assert (
        len({digest(table), digest(table.rename_columns(["b"])), digest(table.cast(pa.schema([("a", pa.int64())])))})
        == 3
    )


def test_a_value_hidden_by_a_null_does_not_change_the_digest():
    def column(hidden):
        return pa.table({"x": pa.array(np.array([1.0, hidden]), mask=np.array([False, True]))})

    assert digest(column(5.0)) == digest(column(7.0))


def test_a_null_mask_without_nulls_does_not_change_the_digest():
    masked = pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x03"), pa.array([1, 2]).buffers()[1]])
    assert digest(pa.table({"x": masked})) == digest(pa.table({"x": pa.array([1, 2])}))


def frame(engine, rows=ROWS):
    return engine.from_local(pa.table({"a": [a for a, _ in rows], "b": pa.array([b for _, b in rows], pa.int64())}))


def fingerprint(engine, rows):
    return engine.fingerprints(frame(engine, rows), None)[None]


def test_the_order_of_rows_does_not_change_the_fingerprint(engine):
    assert fingerprint(engine, ROWS) == fingerprint(engine, ROWS[::-1])


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([(1, 1), (1, None), (2, 7), (2, 7), (3, 1)], id="a value differs"),
        pytest.param([(1, 1), (1, None), (2, 7), (2, 7), (3, None)], id="a zero is missing"),
        pytest.param([(1, 1), (None, 1), (2, 7), (2, 7), (3, 0)], id="a value is in the next column"),
        pytest.param([(1, 1), (1, None), (2, 7), (3, 0)], id="a repeated row is missing"),
        pytest.param([(1, 1), (1, None), (7, 2), (2, 7), (3, 0)], id="two values are swapped"),
        pytest.param([(1, 0), (1, None), (2, 7), (2, 7), (3, 1)], id="two rows have swapped a value"),
        pytest.param([], id="there are no rows"),
    ],
)
def test_any_change_of_the_rows_changes_the_fingerprint(engine, rows):
    assert fingerprint(engine, ROWS) != fingerprint(engine, rows)


def test_each_value_of_a_column_has_its_own_fingerprint(engine):
    before = engine.fingerprints(frame(engine), "a")
    after = engine.fingerprints(frame(engine, [*ROWS[:2], (2, 8), *ROWS[3:], (4, 4)]), "a")
    assert sorted(before) == [1, 2, 3]
    assert {value for value in after if after[value] != before.get(value)} == {2, 4}
    assert engine.fingerprints(frame(engine, []), "a") == {}


def test_a_fingerprint_names_the_engine_that_computed_it(engine):
    name, rows, _ = fingerprint(engine, ROWS).split(":")
    assert name.partition("-")[0] in ("polars", "spark")
    assert rows == "5"


def test_the_engines_of_one_machine_have_the_same_fingerprints():
    assert fingerprint(LocalEngine(), ROWS) == fingerprint(PolarsEngine(), ROWS)


def test_a_fingerprinted_column_may_have_any_name(engine):
    table = engine.from_local(pa.table({"part": [1, 1], "value": [2, 2], "a`b": ["x", "y"]}))
    assert list(engine.fingerprints(table, "part")) == [1]
    assert list(engine.fingerprints(table, "value")) == [2]
    assert sorted(engine.fingerprints(table, "a`b")) == ["x", "y"]
