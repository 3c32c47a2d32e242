"""Pruning never excludes a file with a matching row, whatever the statistics omit."""

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from fixtures.properties import costly_examples
from hypothesis import given
from hypothesis import strategies as st

from stagebook.delta import bounds, predicates, pruning
from stagebook.delta.bounds import Bounds, from_log, from_partition, may_match
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.errors import BadPredicate, UnknownColumn

ENGINE = LocalEngine()
NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)

KINDS = {
    "int": (pa.int32(), st.integers(-3, 3)),
    "float": (pa.float64(), st.sampled_from([-1.5, -0.0, 0.0, 1.0, math.nan])),
    "text": (pa.string(), st.sampled_from(["", "a", "b", "a" * 70, "a" * 70 + "b", "a" * 64, "é" * 40, "\U0010ffff" * 40])),
    "instant": (pa.timestamp("us", "UTC"), st.sampled_from([-1500, -1000, -1, 0, 1, 456, 1456]).map(lambda us: NOON + timedelta(microseconds=us))),
    "clock": (pa.timestamp("us"), st.sampled_from([-1500, -1000, -1, 0, 1, 456, 1456]).map(lambda us: datetime(1960, 1, 1) + timedelta(microseconds=us))),
    "date": (pa.date32(), st.dates(date(2013, 1, 1), date(2013, 1, 4))),
    "bool": (pa.bool_(), st.booleans()),
    "decimal": (pa.decimal128(20, 2), st.sampled_from([Decimal(text) for text in ("0", "999999999999999.99", "999999999999999.98", "123456789012345678.91")])),
}  # fmt: skip


@st.composite
def contents(draw, kind):
    """The values of each of a few files, and whether the table is partitioned by them or lacks statistics."""
    files = draw(st.lists(st.lists(st.none() | KINDS[kind][1], min_size=1, max_size=2), min_size=1, max_size=3))
    partitioned = kind != "decimal" and draw(st.integers(0, 3)) == 0
    if partitioned:  # a value becomes the name of a folder, which may be too long for the file system
        files = [[value[:20] if isinstance(value, str) else value for value in values] for values in files]
    return files, partitioned, "0" if draw(st.integers(0, 9)) == 0 else "32"


def holds(value, op, operand, *, total_order):
    """Whether a condition is true: as IEEE compares floats, or as DataFusion and Spark order them."""
    if value is None:
        return False
    if total_order and isinstance(value, float):
        value, operand = _ordered(value), [_ordered(v) for v in operand] if op == "in" else _ordered(operand)
    match op:
        case "=":
            return value == operand
        case "!=":
            return value != operand
        case "<":
            return value < operand
        case "<=":
            return value <= operand
        case ">":
            return value > operand
        case ">=":
            return value >= operand
        case _:
            return value in operand


def _ordered(value):
    return (math.inf, 1) if value != value else (value, math.copysign(1, value) if value == 0 else 0)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@costly_examples(0.12)
def test_a_file_with_a_matching_row_is_never_excluded(tmp_path_factory, kind, data):
    file_values, partitioned, indexed = data.draw(contents(kind))
    path = tmp_path_factory.mktemp("t") / "t"
    for values in file_values:
        rows = pa.table({"c": pa.array(values, KINDS[kind][0]), "v": [repr(value) for value in values]})
        configuration = {"delta.dataSkippingNumIndexedCols": indexed}
        options = {"partition_by": ["c"]} if partitioned else {}
        write_deltalake(str(path), rows, mode="append", configuration=configuration, **options)
    files = pruning.FileStatistics(DeltaTable(str(path)))
    texts = [pq.ParquetFile(path / file.path).read()["v"].to_pylist() for file in files.all]
    value_of = {repr(value): value for values in file_values for value in values}
    candidates = [*value_of.values(), *data.draw(st.lists(KINDS[kind][1], max_size=3))]
    operands = [value for value in candidates if value is not None and value == value]
    for op, value in [*product(predicates.OPERATORS[:-1], operands), ("in", operands[:1]), ("in", operands[1:])]:
        selected = pruning.files_that_may_match(files, files.check([("c", op, value)])[0])
        size = ENGINE.size(path, len(file_values) - 1, where=[("c", op, value)])
        assert size.files == sum(selected)
        matching = 0
        for file, rows, is_selected in zip(files.all, texts, selected, strict=True):
            for total_order in (False, True):
                matches = [row for row in rows if holds(value_of[row], op, value, total_order=total_order)]
                assert is_selected or not matches, (op, value, matches, file)
            matching += len(matches)
        if indexed != "0":
            assert matching <= size.rows <= size.all_rows
            assert 0 <= size.estimated_rows <= size.rows


def stored(tmp_path, table, **options):
    write_deltalake(str(tmp_path / "t"), table, mode="append", **options)
    return tmp_path / "t"


def months(tmp_path, **options):
    for month in range(1, 5):
        table = pa.table({"month": [month] * 10, "delay": [float(i) for i in range(10)], "day": range(1, 11)})
        path = stored(tmp_path, table, **options)
    return path


@pytest.mark.parametrize(
    ("where", "files", "estimated"),
    [
        ([], 4, 40),
        ([("month", "=", 2)], 1, 10),
        ([("month", "!=", 2)], 3, 30),
        ([("month", "in", [1, 4, 9])], 2, 20),
        ([("month", "in", [])], 0, 0),
        ([("month", ">", 2), ("month", "<=", 3)], 1, 10),
        ([("day", "<", 4)], 4, 12),
        ([("day", ">=", 3), ("day", "<", 6)], 4, 12),
        ([("month", "=", 1), ("day", "=", 3)], 1, 1),
        ([("day", "in", [1, 2, 99])], 4, 8),
        ([("delay", "<", 0.0)], 4, 0),  # -0.0 sorts below 0.0 for some readers
        ([("delay", "<", -1.0)], 0, 0),
        ([("delay", "=", 20.0)], 0, 0),
        ([("delay", ">", 20.0)], 4, 0),  # NaN sorts above all numbers, and statistics omit it
    ],
    ids=str,
)
@pytest.mark.parametrize("options", [{}, {"partition_by": ["month"]}], ids=["by statistics", "by partition"])
def test_files_and_rows_of_a_condition(tmp_path, options, where, files, estimated):
    size = ENGINE.size(months(tmp_path, **options), 3, where=where)
    assert (size.files, size.rows, size.estimated_rows) == (files, 10 * files, estimated)
    assert (size.all_files, size.all_rows) == (4, 40)


def test_an_older_version_is_sized_as_it_was(tmp_path):
    path = months(tmp_path)
    assert [ENGINE.size(path, version).rows for version in range(4)] == [10, 20, 30, 40]


def test_columns_take_their_share_of_the_bytes(tmp_path):
    path = months(tmp_path)
    size = ENGINE.size(path, 3, columns=["day"])
    assert size.column_share == pytest.approx(1 / 3)
    assert size.column_bytes == pytest.approx(size.size_bytes / 3, abs=1)
    assert (size.row_bytes, size.memory_bytes) == (8, 320)
    assert ENGINE.size(path, 3, columns=["day"], where=[("month", "=", 1)]).column_share == pytest.approx(2 / 3)
    assert size.to_json()["memory_bytes"] == 320


def test_partition_columns_take_no_bytes_in_the_files(tmp_path):
    assert ENGINE.size(months(tmp_path, partition_by=["month"]), 3, columns=["day"]).column_share == 0.5


def test_nulls_are_subtracted_from_the_estimate(tmp_path):
    path = stored(
        tmp_path,
        pa.table({"k": [1, 1, None, None], "z": [None, None, None, None]}).cast(
            pa.schema({"k": pa.int64(), "z": pa.int64()})
        ),
    )
    assert ENGINE.size(path, 0, where=[("k", "=", 1)]).estimated_rows == 2
    assert ENGINE.size(path, 0, where=[("z", "!=", 1)]).files == 0


def test_without_statistics_all_files_are_read_and_counts_are_unknown(foreign):
    size = ENGINE.size(foreign(stats=False), 0, where=[("k", "=", 99)])
    assert (size.files, size.rows, size.all_rows, size.estimated_rows, size.memory_bytes) == (1, None, None, None, None)


def with_statistics(path: Path, **statistics) -> Path:
    log = path / "_delta_log" / f"{0:020d}.json"
    actions = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    for action in actions:
        if "add" in action:
            action["add"]["stats"] = json.dumps({"numRecords": 10, **statistics})
    log.write_text("\n".join(json.dumps(action) for action in actions), encoding="utf-8")
    return path


def test_a_mapped_column_is_pruned_by_the_statistics_of_its_physical_name(foreign):
    path = foreign(
        physical={"k": "s", "s": "k"},  # swapped: the logical name of one is the other's physical
        configuration={"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2"},
        reader=2,
        writer=5,
    )
    with_statistics(path, minValues={"s": 0, "k": "row 0"}, maxValues={"s": 9, "k": "row 9"})
    assert [ENGINE.size(path, 0, where=[("k", "=", key)]).files for key in (9, 10)] == [1, 0]
    assert [ENGINE.size(path, 0, where=[("s", "=", text)]).files for text in ("row 3", "zero")] == [1, 0]


def test_rows_hidden_by_a_deletion_vector_count_towards_the_upper_bound(foreign):
    path = foreign(reader=3, writer=7, features=("deletionVectors",), deleted=[0, 3, 4])
    assert ENGINE.size(path, 0).rows == 10


def test_columns_with_dots_are_not_mistaken_for_struct_fields(tmp_path):
    path = stored(tmp_path, pa.table({"a.b": [1, 2], "a": [{"b": 100}, {"b": 200}], "min.x": [5, 5]}))
    assert ENGINE.size(path, 0, where=[("a.b", "=", 2)]).files == 1
    assert ENGINE.size(path, 0, where=[("a.b", "=", 100)]).files == 0
    assert ENGINE.size(path, 0, where=[("min.x", "!=", 5)]).files == 0


def test_years_beyond_python_are_unknown(tmp_path):
    late = pa.array([2**60], pa.int64()).cast(pa.timestamp("us"))
    assert bounds.python_values(late) == [None]
    assert bounds.python_values(pa.array([datetime.max])) == [datetime.max]
    loose = from_log(datetime.min, datetime.max, pa.timestamp("us"))
    assert (loose.low, loose.high) == (None, None)


LONG = "a" * 40
BIG = Decimal("1000000000000000.00")


@pytest.mark.parametrize(
    ("column_bounds", "op", "value", "expected"),
    [
        (from_log(LONG, LONG, pa.string()), "=", LONG + "z", True),  # a careless writer truncates the maximum
        (from_log(LONG, LONG, pa.string()), "!=", LONG, True),
        (from_log(LONG, LONG, pa.string()), ">", LONG, True),
        (from_log(LONG, LONG, pa.string()), "=", "b", False),
        (from_log("a", "a", pa.string()), "!=", "a", False),
        (from_log("a", "b", pa.string()), ">=", "c", False),
        (from_log("", "", pa.string()), "=", "a", True),
        (from_log(None, "b", pa.string()), "<", "a", True),
        (from_log(None, None, pa.string()), "=", "a", True),
        (from_log(NOON, NOON, pa.timestamp("us", "UTC")), "=", NOON + timedelta(microseconds=999), True),
        (from_log(NOON, NOON, pa.timestamp("us", "UTC")), "=", NOON + timedelta(milliseconds=2), False),
        (from_log(NOON, NOON, pa.timestamp("us", "UTC")), "!=", NOON, True),
        (from_log(BIG, BIG, pa.decimal128(20, 2)), "=", BIG + Decimal("0.01"), True),  # the log holds a float
        (from_log(BIG, BIG, pa.decimal128(20, 2)), "=", BIG + 100, False),
        (from_log(1.0, 1.0, pa.float64()), "!=", 1.0, True),
        (from_log(1, 1, pa.int64()), "!=", 1, False),
        (from_log(False, False, pa.bool_()), ">", False, False),
        (from_partition(None, pa.string()), "=", "", True),
        (from_partition(None, pa.string()), "=", "a", False),
        (from_partition(None, pa.int64()), "!=", 1, False),
        (from_partition(math.nan, pa.float64()), ">", 1.0, True),
        (from_partition(LONG, pa.string()), "!=", LONG, False),
        (Bounds(all_null=True), "!=", 1, False),
    ],
    ids=str,
)  # fmt: skip
def test_bounds_exclude_only_impossible_conditions(column_bounds, op, value, expected):
    assert may_match(predicates.Condition("c", op, (value,), pa.null()), column_bounds) is expected


def test_invalid_columns_and_conditions_are_refused(tmp_path):
    path = months(tmp_path)
    with pytest.raises(UnknownColumn, match="no column 'dya'. Did you mean 'day'"):
        ENGINE.size(path, 3, columns=["dya"])
    with pytest.raises(BadPredicate, match="give a whole number"):
        ENGINE.size(path, 3, where=[("month", "=", "2")])
