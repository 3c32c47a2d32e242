"""Explained reads: files by the log, row groups by the footers; a matching row is never excluded."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import WriterProperties, write_deltalake
from fixtures.properties import costly_examples
from hypothesis import given
from hypothesis import strategies as st

from stagebook.delta.arrow import arrow_schema
from stagebook.delta.creation import GROUP_ROWS
from stagebook.delta.engine import WriteOrder
from stagebook.delta.footers import explain
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.errors import BadPredicate, DamagedTable, UnknownColumn
from stagebook.model.tables import Column, Kind, Layout, TableSchema

ROWS = pd.DataFrame(
    {
        "month": pd.array([m for m in range(1, 13) for _ in range(100)], dtype="int32[pyarrow]"),
        "dest": pd.array(["SFO", "LAX"] * 600, dtype="string[pyarrow]"),
        "at": pd.date_range("2013-01-01", periods=1200, freq="7h", tz="UTC").astype("timestamp[us, UTC][pyarrow]"),
        "text": pd.array([f"{number:05d}" * 8 for number in range(1200)], dtype="string[pyarrow]"),
    }
)


@pytest.fixture
def path(tmp_path):
    """Two files, January to June and July to December, of six row groups each."""
    groups = WriterProperties(max_row_group_size=100)
    for half in (ROWS[:600], ROWS[600:]):
        write_deltalake(tmp_path / "t", half, mode="append", writer_properties=groups)
    return tmp_path / "t"


@pytest.mark.parametrize(
    ("where", "files", "groups", "of_groups", "ruled"),
    [
        ([], 2, 12, 12, []),
        ([("month", "=", 8)], 1, 1, 6, [(1, 5)]),
        ([("month", ">", 8)], 1, 4, 6, [(1, 2)]),
        ([("month", "in", [1, 12])], 2, 2, 12, [(0, 10)]),
        ([("dest", "=", "SFO")], 2, 12, 12, [(0, 0)]),
        ([("dest", "=", "SFO"), ("month", "=", 8)], 1, 1, 6, [(0, 0), (1, 5)]),
        ([("at", "<", "2013-01-02T00:00:00+00:00")], 1, 1, 6, [(1, 5)]),
        ([("month", "=", 13)], 0, 0, 0, [(2, 0)]),
    ],
    ids=str,
)
def test_the_explanation_counts_what_each_condition_excludes(path, where, files, groups, of_groups, ruled):
    explanation = explain(path, 1, ["month"], where)
    assert (explanation.files, explanation.all_files) == (files, 2)
    assert (explanation.row_groups, explanation.all_row_groups) == (groups, of_groups)
    assert [(condition.files, condition.row_groups) for condition in explanation.conditions] == ruled
    assert explanation.rows == groups * 100
    assert explanation.all_rows == 1200


def test_bytes_count_only_columns_read_in_touched_row_groups(path):
    all_columns = explain(path, 1, None, [])
    assert 0 < all_columns.size_bytes < all_columns.all_bytes
    text_only, text_in_august = explain(path, 1, ["text"], []), explain(path, 1, ["text"], [("month", "=", 8)])
    assert text_only.size_bytes < all_columns.size_bytes
    assert text_in_august.columns == ["month", "text"]
    assert text_in_august.size_bytes < text_only.size_bytes / 6


def test_partition_columns_are_in_no_file_and_are_pruned_by_the_log(tmp_path):
    write_deltalake(tmp_path / "t", ROWS, partition_by=["dest"])
    explanation = explain(tmp_path / "t", 0, ["dest"], [("dest", "=", "SFO")])
    assert (explanation.files, explanation.all_files, explanation.size_bytes) == (1, 2, 0)


def test_mapped_columns_are_found_by_their_physical_names(foreign):
    mapping = {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2"}
    path = foreign(physical={"k": "s", "s": "k"}, configuration=mapping, reader=2, writer=5)
    assert [explain(path, 0, ["k"], [("k", "=", key)]).row_groups for key in (9, 10)] == [1, 0]


def test_columns_with_dots_are_not_mistaken_for_struct_fields(tmp_path):
    write_deltalake(tmp_path / "t", pa.table({"a.b": [1, 2], "a": [{"b": 100}, {"b": 200}]}))
    assert explain(tmp_path / "t", 0, ["a.b"], [("a.b", "=", 2)]).row_groups == 1


def test_a_missing_file_is_named_and_an_excluded_file_is_not_opened(path):
    for file in path.glob("*.parquet"):
        if pq.read_table(file)["month"][0].as_py() == 1:
            file.unlink()
    assert explain(path, 1, None, [("month", "=", 8)]).files == 1
    with pytest.raises(DamagedTable, match=r"has lost 1 of its data files, for example .*\.parquet"):
        explain(path, 1, None, [])


def test_invalid_columns_and_conditions_are_refused(path):
    with pytest.raises(UnknownColumn, match="no column 'mnth'. Did you mean 'month'"):
        explain(path, 1, ["mnth"], [])
    with pytest.raises(BadPredicate, match="give a whole number"):
        explain(path, 1, None, [("month", "=", "August")])


def test_one_file_of_a_sorted_table_is_pruned_too(tmp_path):
    schema = TableSchema("t", "", (Column("k", Kind.INT64, "key"),), layout=Layout(z_order=("k",)))
    rows = pa.table({"k": range(3 * GROUP_ROWS)}).cast(arrow_schema(schema))
    LocalEngine().write(tmp_path / "t", rows, WriteOrder(schema, "r/s/t"))
    explanation = explain(tmp_path / "t", 0, None, [("k", "<", 10)])
    assert (explanation.files, explanation.all_files, explanation.row_groups, explanation.all_row_groups) == (
        1,
        1,
        1,
        3,
    )


KINDS = [
    (pa.int32(), st.integers(-3, 3)),
    (pa.float64(), st.floats(allow_infinity=False)),
    (pa.string(), st.text(max_size=40)),
]


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=["int32", "float64", "string"])
@given(data=st.data())
@costly_examples(0.12)
def test_a_row_group_with_a_matching_row_is_never_excluded(tmp_path_factory, kind, values, data):
    column = data.draw(
        st.lists(st.none() | values.filter(lambda v: not isinstance(v, str) or "\0" not in v), min_size=1, max_size=6)
    )
    path = tmp_path_factory.mktemp("t") / "t"
    write_deltalake(
        path, pa.table({"c": pa.array(column, kind)}), writer_properties=WriterProperties(max_row_group_size=2)
    )
    for value in [item for item in column if item is not None and item == item]:
        for op in ("=", "!=", "<", "<=", ">", ">="):
            where = [("c", op, value)]
            matching = LocalEngine().read_arrow(path, version=0, where=where).num_rows
            assert explain(path, 0, None, where).rows >= matching, (op, value)
