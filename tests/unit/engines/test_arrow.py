from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest

from stagebook.engines.arrow import arrow_schema, arrow_type, digest, plain
from stagebook.model.tables import Column, Kind, TableSchema

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


def test_the_digest_is_of_the_values_however_they_lie_in_memory():
    chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)])
    sliced = pa.concat_tables([TABLE, TABLE, TABLE]).combine_chunks().slice(3, 3)
    assert digest(chunked) == digest(sliced) == digest(TABLE)


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("order", [[0, 1, 1], [0, 2, 2], [2, 1, 0]])
def test_the_digest_changes_with_any_value_null_or_order(kind, order):
    position = TABLE.schema.get_field_index(kind.value)
    changed = TABLE.set_column(position, kind.value, TABLE[kind.value].take(pa.array(order)))
    assert digest(changed) != digest(TABLE)


def test_the_digest_knows_names_and_types():
    other = pa.table({"a": pa.array([1], pa.int32())})
    assert (
        len({digest(other), digest(other.rename_columns(["b"])), digest(other.cast(pa.schema([("a", pa.int64())])))})
        == 3
    )


def test_what_lies_under_a_null_does_not_count():
    def column(hidden):
        return pa.table({"x": pa.array(np.array([1.0, hidden]), mask=np.array([False, True]))})

    assert digest(column(5.0)) == digest(column(7.0))


def test_a_column_without_a_null_is_the_same_with_and_without_a_mask():
    masked = pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x03"), pa.array([1, 2]).buffers()[1]])
    assert digest(pa.table({"x": masked})) == digest(pa.table({"x": pa.array([1, 2])}))


def test_every_kind_has_a_type_and_comments_travel():
    columns = tuple(Column(kind.value, kind, "words", unit="min", nullable=True) for kind in Kind)
    schema = arrow_schema(TableSchema("t", "", columns))
    assert schema.equals(TABLE.schema)
    assert {field.metadata[b"comment"] for field in schema} == {b"words [min]"}


def test_plain_types_come_out_of_views_and_dictionaries():
    odd = pa.table(
        {
            "a": pa.array(["x"], pa.string_view()),
            "b": pa.array(["x"], pa.large_string()),
            "c": pa.array(["x"]).dictionary_encode(),
            "d": pa.array([b"x"], pa.binary_view()),
            "e": pa.array([1], pa.int8()),
        }
    )
    assert [str(field.type) for field in plain(odd).schema] == ["string", "string", "string", "binary", "int8"]
