"""What a read touches: files by the log, row groups by the footers; never fewer than hold a matching row."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import WriterProperties, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from stagebook.engines.arrow import arrow_schema
from stagebook.engines.base import WriteOrder
from stagebook.engines.creation import GROUP_ROWS
from stagebook.engines.footers import explain
from stagebook.engines.local import LocalEngine
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
def test_what_each_condition_rules_out_is_told(path, where, files, groups, of_groups, ruled):
    found = explain(path, 1, ["month"], where)
    assert (found.files, found.all_files) == (files, 2)
    assert (found.row_groups, found.all_row_groups) == (groups, of_groups)
    assert [(one.files, one.row_groups) for one in found.ruled] == ruled
    assert found.rows == groups * 100
    assert found.all_rows == 1200


def test_bytes_are_those_of_the_wanted_columns_in_the_reached_groups(path):
    whole = explain(path, 1, None, [])
    assert 0 < whole.size_bytes < whole.all_bytes
    narrow, one = explain(path, 1, ["text"], []), explain(path, 1, ["text"], [("month", "=", 8)])
    assert narrow.size_bytes < whole.size_bytes
    assert one.columns == ["month", "text"]
    assert one.size_bytes < narrow.size_bytes / 6


def test_partitions_columns_are_in_no_file_and_are_pruned_by_the_log(tmp_path):
    write_deltalake(tmp_path / "t", ROWS, partition_by=["dest"])
    found = explain(tmp_path / "t", 0, ["dest"], [("dest", "=", "SFO")])
    assert (found.files, found.all_files, found.size_bytes) == (1, 2, 0)


def test_mapped_columns_are_found_by_their_physical_names(foreign):
    mapping = {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2"}
    path = foreign(physical={"k": "s", "s": "k"}, configuration=mapping, reader=2, writer=5)
    assert [explain(path, 0, ["k"], [("k", "=", key)]).row_groups for key in (9, 10)] == [1, 0]


def test_columns_with_dots_are_not_taken_for_fields_of_structs(tmp_path):
    write_deltalake(tmp_path / "t", pa.table({"a.b": [1, 2], "a": [{"b": 100}, {"b": 200}]}))
    assert explain(tmp_path / "t", 0, ["a.b"], [("a.b", "=", 2)]).row_groups == 1


def test_a_file_that_is_gone_is_named_and_one_that_is_ruled_out_is_not_opened(path):
    for file in path.glob("*.parquet"):
        if pq.read_table(file)["month"][0].as_py() == 1:
            file.unlink()
    assert explain(path, 1, None, [("month", "=", 8)]).files == 1
    with pytest.raises(DamagedTable, match=r"has lost 1 of its data files, for example .*\.parquet"):
        explain(path, 1, None, [])


def test_columns_and_conditions_that_do_not_fit_are_refused(path):
    with pytest.raises(UnknownColumn, match="no column 'mnth'. Did you mean 'month'"):
        explain(path, 1, ["mnth"], [])
    with pytest.raises(BadPredicate, match="give a whole number"):
        explain(path, 1, None, [("month", "=", "August")])


def test_one_file_of_a_sorted_table_is_pruned_too(tmp_path):
    schema = TableSchema("t", "", (Column("k", Kind.INT64, "key"),), layout=Layout(z_order=("k",)))
    rows = pa.table({"k": range(3 * GROUP_ROWS)}).cast(arrow_schema(schema))
    LocalEngine().write(tmp_path / "t", rows, WriteOrder(schema, "r/s/t"))
    found = explain(tmp_path / "t", 0, None, [("k", "<", 10)])
    assert (found.files, found.all_files, found.row_groups, found.all_row_groups) == (1, 1, 1, 3)


KINDS = [
    (pa.int32(), st.integers(-3, 3)),
    (pa.float64(), st.floats(allow_infinity=False)),
    (pa.string(), st.text(max_size=40)),
]


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=["int32", "float64", "string"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_row_group_with_a_matching_row_is_never_left_out(tmp_path_factory, kind, values, data):
    held = data.draw(
        st.lists(st.none() | values.filter(lambda v: not isinstance(v, str) or "\0" not in v), min_size=1, max_size=6)
    )
    path = tmp_path_factory.mktemp("t") / "t"
    write_deltalake(
        path, pa.table({"c": pa.array(held, kind)}), writer_properties=WriterProperties(max_row_group_size=2)
    )
    for wanted in [value for value in held if value is not None and value == value]:
        for op in ("=", "!=", "<", "<=", ">", ">="):
            where = [("c", op, wanted)]
            matching = LocalEngine().read_arrow(path, version=0, where=where).num_rows
            assert explain(path, 0, None, where).rows >= matching, (op, wanted)
