import pyarrow as pa

from stagebook.delta.arrow import arrow_schema, plain
from stagebook.model.tables import Column, Kind, TableSchema

ARROW_TYPES = {
    Kind.STRING: "string",
    Kind.BINARY: "binary",
    Kind.INT8: "int8",
    Kind.INT16: "int16",
    Kind.INT32: "int32",
    Kind.INT64: "int64",
    Kind.FLOAT32: "float",
    Kind.FLOAT64: "double",
    Kind.BOOL: "bool",
    Kind.DATE: "date32[day]",
    Kind.TIMESTAMP: "timestamp[us, tz=UTC]",
    Kind.TIMESTAMP_NTZ: "timestamp[us]",
}


def test_every_kind_has_an_arrow_type_and_columns_have_comments():
    columns = tuple(Column(kind.value, kind, "words", unit="min", nullable=True) for kind in Kind)
    schema = arrow_schema(TableSchema("t", "", columns))
    assert {field.name: (str(field.type), field.nullable) for field in schema} == {
        kind.value: (name, True) for kind, name in ARROW_TYPES.items()
    }
    assert {field.metadata[b"comment"] for field in schema} == {b"words [min]"}


def test_views_and_dictionaries_become_plain_types():
    table = pa.table(
        {
            "a": pa.array(["x"], pa.string_view()),
            "b": pa.array(["x"], pa.large_string()),
            "c": pa.array(["x"]).dictionary_encode(),
            "d": pa.array([b"x"], pa.binary_view()),
            "e": pa.array([1], pa.int8()),
        }
    )
    assert [str(field.type) for field in plain(table).schema] == ["string", "string", "string", "binary", "int8"]
