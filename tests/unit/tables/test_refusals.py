"""What a write refuses, and what it does not: one table of cases, the same answer on every engine, always a sentence."""

import datetime as dt
import re
import uuid
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from stagebook.delta.engine import Engine
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.errors import BadFrame, BadSchema, PermanentError, SchemaViolation
from stagebook.model.kinds import AnyKind
from stagebook.model.tables import (
    Coercion,
    Column,
    DecimalKind,
    Kind,
    Layout,
    ListKind,
    MapKind,
    StructKind,
    TableSchema,
)
from stagebook.tables.warehouse import Warehouse, Writer

BERLIN = dt.datetime(2024, 7, 1, 12)
ONE_UUID = uuid.UUID(int=7)


def one_column(kind: AnyKind) -> TableSchema:
    return TableSchema("t", "", (Column("a", kind, "", nullable=True),))


def write(engine: Engine, folder, frame: object, schema: TableSchema, coercion: Coercion | None = None) -> dict:
    """The rows after a write, by column."""
    warehouse = Warehouse(folder, engine)
    commit = warehouse.write(frame, schema, writer=Writer("r", "s", 1), coercion=coercion)
    return engine.to_arrow(warehouse.read("t", version=commit.version)).sort_by("row").to_pydict()


def in_one_frame(engine: Engine, cases: list, *, of_arrow: bool) -> tuple[object, TableSchema, list]:
    """The cases as columns of one frame of two rows, its schema, and the cases in the order of its columns.

    Spark takes seconds for a frame of one column, and for one of twenty. Values of Arrow come as a frame of the engine,
    the others as a pandas frame.
    """
    chosen = [case for case in cases if isinstance(case.values, pa.Array) is of_arrow]
    columns = [
        Column("row", Kind.INT8, ""),
        *(Column(f"a{n}", c.kind, "", c.unit, nullable=True) for n, c in enumerate(chosen)),
    ]
    if of_arrow:
        data = {
            f"a{n}": pa.array(c.values.to_pylist() + [None] * (2 - len(c.values)), c.values.type)
            for n, c in enumerate(chosen)
        }
        frame = engine.from_local(pa.table({"row": pa.array([0, 1], pa.int8()), **data}))
    else:
        frame = pd.DataFrame(
            {"row": [0, 1], **{f"a{n}": pd.Series(c.values).reindex([0, 1]) for n, c in enumerate(chosen)}}
        )
    return frame, TableSchema("t", "", tuple(columns)), chosen


class Case(NamedTuple):
    """Values for a column of a kind, and what becomes of them: other values, or the words of the refusal."""

    kind: AnyKind
    values: object
    result: object
    unit: str | None = None


NOT_A_FRAME = [
    ([{"a": 1}], "a list is no frame"),
    ({"a": [1]}, "a dict is no frame"),
    (pd.Series([1], name="a"), "a Series is one column"),
    (pl.Series("a", [1]), "a Series is one column"),
    (None, "a value of type NoneType is no frame"),
    (np.zeros((2, 1)), "a value of type ndarray is no frame"),
    (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than one column 'a'"),
    (pd.DataFrame({"a": ["x", 1]}), "column 'a' holds int and str"),
    (pd.DataFrame({"a": [1 + 2j]}), "column 'a' holds complex"),
    (pd.DataFrame({"a": [object()]}), "column 'a' holds object"),
    (pd.DataFrame({"a": [[1], ["x"]]}), "column 'a' holds list"),
    (pd.DataFrame({"a": ["\ud800"]}), "column 'a' holds str"),
    (pd.DataFrame({"a": [2**70]}), "column 'a' holds int"),
    (pd.DataFrame({"A": [1]}), "missing: a"),
]


def test_what_is_no_frame_is_a_sentence_with_the_table(engine, tmp_path):
    for frame, problem in NOT_A_FRAME:
        with pytest.raises(
            (BadFrame, SchemaViolation), match=f"table 't': .*{re.escape(problem)}|{re.escape(problem)}"
        ) as caught:
            write(engine, tmp_path, frame, one_column(Kind.INT64))
        assert str(caught.value).startswith("table 't': "), problem
    assert not (tmp_path / "t").exists()


US, NS = pa.timestamp("us"), pa.timestamp("ns")
LOSSY = [
    Case(*case)
    for case in [
        (
            Kind.INT64,
            pd.Series([6760925268837314561, None]),
            "a float, which holds every integer only below 9,007,199,254,740,992",
        ),
        (Kind.INT64, pa.array([2.0**53, 1.0]), "every integer only below 9,007"),
        (Kind.INT64, pa.array([-(2.0**53), 1.0]), "every integer only below 9,007"),
        (Kind.INT32, pa.array([2.0**24], pa.float32()), "every integer only below 16,777,216"),
        (Kind.INT8, pa.array([128]), "declared as int8, but the frame has int64"),
        (Kind.INT8, pa.array([1.5]), "declared as int8, but the frame has double"),
        (Kind.FLOAT32, pa.array([0.1]), "declared as float32, but the frame has double"),
        (Kind.FLOAT32, pa.array([2**24 + 1]), "declared as float32, but the frame has int64"),
        (Kind.FLOAT64, pa.array([Decimal("0.1")]), "different kinds of value"),
        (DecimalKind(4, 2), pa.array([Decimal("100.00")]), r"declared as decimal\(4,2\)"),
        (DecimalKind(4, 1), pa.array([Decimal("1.05")]), r"declared as decimal\(4,1\)"),
        (DecimalKind(4, 2), pa.array([100]), r"declared as decimal\(4,2\)"),
        (DecimalKind(4, 2), pa.array([0.5]), "different kinds of value"),
        (Kind.BINARY, pa.array(["x"]), "different kinds of value"),
        (Kind.STRING, pa.array([b"x"]), "different kinds of value"),
        (Kind.DATE, pa.array([dt.datetime(2024, 1, 1, 5)], US), "declared as date"),
        (Kind.TIMESTAMP, pa.array([BERLIN], US), "a time without a zone is no instant"),
        (Kind.TIMESTAMP_NTZ, pa.array([BERLIN], pa.timestamp("us", "UTC")), "another time in each zone"),
        (Kind.BOOL, pa.array([0, 1]), "different kinds of value"),
        (Kind.INT64, pd.Series(pd.to_timedelta([1, 2], unit="s")), "different kinds of value"),
        (Kind.STRING, pd.Series([ONE_UUID]), "different kinds of value"),
        (Kind.STRING, pd.Series([pd.Interval(0, 1)]), "different kinds of value"),
        (Kind.STRING, pd.Series(pd.period_range("2024", periods=1, freq="D")), "different kinds of value"),
        (ListKind(Kind.FLOAT32), pa.array([[0.5]]), "declared as list<float32>, but the frame has list"),
        (ListKind(Kind.INT64), pa.array([["x"]]), "different kinds of value"),
        (MapKind(Kind.STRING, Kind.INT64), pa.array([{"k": 1}]), "different kinds of value"),
        (StructKind((("k", Kind.STRING),)), pa.array([{"k": 1}]), "different kinds of value"),
    ]
]
KEPT = [
    Case(*case)
    for case in [
        (Kind.INT64, pa.array([2.0**53 - 1, None]), [2**53 - 1, None]),
        (Kind.INT64, pd.Series([6760925268837314561, None], dtype="Int64"), [6760925268837314561, None]),
        (Kind.INT8, pa.array([-128.0, 127.0]), [-128, 127]),
        (Kind.INT16, pa.array([200], pa.uint8()), [200]),
        (Kind.FLOAT32, pa.array([0.5, 2.0**-30]), [0.5, 2.0**-30]),
        (Kind.FLOAT32, pa.array([2**24]), [2.0**24]),
        (DecimalKind(10, 2), pa.array([5, None]), [Decimal("5.00"), None]),
        (DecimalKind(10, 2), pa.array([Decimal("1.5")]), [Decimal("1.50")]),
        (Kind.DATE, pa.array([dt.datetime(9999, 12, 31)], US), [dt.date(9999, 12, 31)]),
        (Kind.TIMESTAMP, pd.Series(pd.to_datetime([None, None])), [None, None]),
        (Kind.TIMESTAMP, pa.array([None, None], US), [None, None]),
        (Kind.TIMESTAMP_NTZ, pa.array([None], pa.timestamp("us", "UTC")), [None]),
        (Kind.STRING, pd.Series([None, None]), [None, None]),
        (Kind.STRING, pd.Series([float("nan")]), [None]),
        (Kind.BOOL, pa.nulls(2), [None, None]),
        (ListKind(Kind.FLOAT64), pa.array([[1], None], pa.list_(pa.int32())), [[1.0], None]),
        (ListKind(Kind.FLOAT64), pd.Series([[1.0, 2.0]]), [[1.0, 2.0]]),
        (ListKind(Kind.FLOAT32), pd.Series([np.array([0.1], np.float32)]), [[pytest.approx(0.1)]]),
    ]
]
COERCED = [
    Case(kind, values, result, unit)
    for kind, unit, values, result in [
        (Kind.BOOL, None, pa.array([0, 1]), [False, True]),
        (Kind.BOOL, None, pa.array([1.0, float("nan")]), [True, None]),
        (Kind.TIMESTAMP, None, pa.array([BERLIN], US), [dt.datetime(2024, 7, 1, 10, tzinfo=dt.UTC)]),
        (Kind.TIMESTAMP_NTZ, None, pa.array([BERLIN.replace(tzinfo=dt.UTC)]), [dt.datetime(2024, 7, 1, 14)]),
        (Kind.INT64, "s", pa.array([90_000_000], pa.duration("us")), [90]),
        (Kind.FLOAT64, "min", pa.array([90_000_000], pa.duration("us")), [1.5]),
        (Kind.INT32, "d", pd.Series(pd.to_timedelta([2], unit="D")), [2]),
        (Kind.STRING, None, pd.Series([ONE_UUID, None]), [str(ONE_UUID), None]),
        (Kind.FLOAT32, None, pa.array([0.1]), [pytest.approx(0.1)]),
        (Kind.INT64, None, pa.array(["12", None]), [12, None]),
        (Kind.DATE, None, pa.array(["2024-02-29"]), [dt.date(2024, 2, 29)]),
        (DecimalKind(5, 2), None, pa.array(["1.10"]), [Decimal("1.10")]),
        (Kind.FLOAT64, None, pa.array(["0.5"]), [0.5]),
    ]
]
NOT_COERCED = [
    Case(kind, values, "is declared as", unit)
    for kind, unit, values in [
        (Kind.BOOL, None, pa.array([0, 2])),
        (Kind.INT64, "s", pa.array([1_500_000], pa.duration("us"))),
        (Kind.INT64, None, pa.array([1_000_000], pa.duration("us"))),
        (Kind.INT64, None, pa.array(["12", "x"])),
        (Kind.DATE, None, pa.array(["2024-02-30"])),
        (Kind.INT64, None, pa.array([True])),
    ]
]


@pytest.mark.parametrize(
    ("cases", "coercion"), [(LOSSY, None), (NOT_COERCED, Coercion("UTC"))], ids=["cast", "coerced"]
)
def test_values_that_would_change_are_refused_all_at_once(engine, tmp_path, cases, coercion):
    for of_arrow in (True, False):
        frame, schema, chosen = in_one_frame(engine, cases, of_arrow=of_arrow)
        if not chosen:
            continue
        with pytest.raises(SchemaViolation, match=f"table 't': {len(chosen)} columns do not fit their types") as caught:
            write(engine, tmp_path, frame, schema, coercion)
        lines = [line for line in str(caught.value).splitlines() if line.startswith("  column 'a")]
        for line, (number, case) in zip(lines, enumerate(chosen), strict=True):
            assert f"column 'a{number}' is declared as {case.kind}, but the frame has " in line
            assert re.search(case.result, line), (line, case)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("cases", "coercion"), [(KEPT, None), (COERCED, Coercion("Europe/Berlin"))], ids=["cast", "coerced"]
)
def test_values_that_do_not_change_are_written(engine, tmp_path, cases, coercion):
    """On Spark frames of its own only: other data is cast before it gets them, as on the other engines."""
    for of_arrow in (True,) if engine.name == "spark" else (True, False):
        frame, schema, chosen = in_one_frame(engine, cases, of_arrow=of_arrow)
        written = write(engine, tmp_path / str(of_arrow), frame, schema, coercion)
        for number, case in enumerate(chosen):
            assert written[f"a{number}"] == [*case.result, None][:2], case


def test_one_column_that_would_change_is_named_with_its_row(tmp_path):
    frame = pd.DataFrame({"a": [1.0, 6760925268837314561, None]})
    with pytest.raises(
        SchemaViolation, match="table 't': column 'a' is declared as int64, but the frame has double: row 1: 6,7"
    ):
        write(LocalEngine(), tmp_path, frame, one_column(Kind.INT64))


def test_a_time_without_a_zone_is_not_coerced_without_one(engine, tmp_path):
    with pytest.raises(SchemaViolation, match="a time without a zone is no instant"):
        engine.conform(
            engine.from_local(pa.table({"a": pa.array([BERLIN], US)})), one_column(Kind.TIMESTAMP), Coercion()
        )


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_keep_their_microseconds_and_lie_in_the_years_1_to_9999(unit):
    engine, schema = LocalEngine(), one_column(Kind.TIMESTAMP)
    kept = pa.table({"a": pa.array([0], pa.timestamp(unit, "UTC"))})
    assert engine.conform(kept, schema)["a"].to_pylist() == [dt.datetime(1970, 1, 1, tzinfo=dt.UTC)]
    for count in (-(2**63), 2**63 - 1, 253_402_300_800 * 10**6 if unit == "us" else 2**63 - 1):
        with pytest.raises(SchemaViolation, match="would lose data|out of bounds|overflow|years 1 to 9999"):
            engine.conform(pa.table({"a": pa.array([count], pa.timestamp(unit, "UTC"))}), schema)


BY_TEXT = TableSchema(
    "t",
    "",
    (Column("a", Kind.STRING, "", nullable=True), Column("v", Kind.INT64, "")),
    layout=Layout(partition_by=("a",)),
)
ODD_TEXTS = ["a/b", "x=y", "%41", "é", "a\nb", " ", ".", "..", "*", "null", "%", "a\\b", ":", "'\"", "?#", "\t", "a ", "\r", "\x7f", None]  # fmt: skip
UNFIT_TEXTS = ["", "\x00", "__HIVE_DEFAULT_PARTITION__", "a" * 254, "é" * 50, "日" * 40]


def test_a_partition_has_any_text_that_every_reader_reads_alike(engine, tmp_path):
    rows = pa.table({"a": ODD_TEXTS, "v": range(len(ODD_TEXTS))})
    warehouse = Warehouse(tmp_path, engine)
    version = warehouse.write(engine.from_local(rows), BY_TEXT, writer=Writer("r", "s", 1)).version
    stored = engine.to_arrow(warehouse.read("t", version=version)).sort_by("v")
    assert stored["a"].to_pylist() == ODD_TEXTS
    unfit = pa.table({"a": ["a", *UNFIT_TEXTS], "v": range(1 + len(UNFIT_TEXTS))})
    with pytest.raises(
        SchemaViolation, match=f"{len(UNFIT_TEXTS)} of 7 rows break its schema.*\n.*a can name a partition"
    ):
        warehouse.write(engine.from_local(unfit), BY_TEXT, writer=Writer("r", "s", 1))
    assert warehouse.latest("t") == version


def test_tolerated_rows_without_a_partition_are_dropped_and_counted(engine, tmp_path):
    columns = (Column("a", Kind.STRING, ""), Column("v", Kind.INT64, ""))
    schema = TableSchema("t", "", columns, layout=Layout(partition_by=("a",)), max_bad_share=0.5)
    commit = Warehouse(tmp_path, engine).write(
        engine.from_local(pa.table({"a": ["x", ""], "v": [1, 2]})), schema, writer=Writer("r", "s", 1)
    )
    assert (commit.rows, list(commit.dropped_by_rule.values())) == (1, [1])


A, B = Column("a", Kind.INT64, ""), Column("b", Kind.STRING, "")
UNFIT_SCHEMAS = [
    ({"columns": ()}, "it has no columns"),
    ({"columns": (A, A)}, "columns a, a: names have to differ"),
    ({"columns": (A, Column("A", Kind.INT64, ""))}, "columns a, A: names have to differ, and not only by upper and lower case"),
    ({"columns": (Column("a.b", Kind.INT64, ""),)}, "column 'a.b': a name is 1 to 255 bytes without"),
    ({"columns": (Column("", Kind.INT64, ""),)}, "column '': a name is"),
    ({"columns": (Column("a b", Kind.INT64, ""),)}, "column 'a b': a name is"),
    ({"columns": (Column("a`", Kind.INT64, ""),)}, "a name is"),
    ({"columns": (Column("a", "int64", ""),)}, "'int64' is no type of a column"),
    ({"columns": (Column("a", DecimalKind(39, 2), ""),)}, "precision is 1 to 38"),
    ({"columns": (Column("a", StructKind((("x", Kind.INT8), ("X", Kind.INT8))), ""),)}, "needs fields with different names"),
    ({"columns": (Column("a", MapKind(ListKind(Kind.INT8), Kind.INT8), ""),)}, "keys of a map"),
    ({"columns": (Column("a", Kind.STRING, "", minimum=0),)}, "minimum and maximum are for integers and floats"),
    ({"columns": (Column("a", Kind.INT8, "", minimum=2, maximum=1),)}, "its minimum 2 is above its maximum 1"),
    ({"columns": (Column("a", Kind.INT8, "", allowed=("x",)),)}, "allowed values are for string"),
    ({"columns": (A, B), "key": ("c",)}, "key names 'c', which is no column"),
    ({"columns": (A, B), "key": "a"}, r'key is a tuple of columns: ("a",)'),
    ({"columns": (A, B), "key": ("a", "a")}, "key names 'a' twice"),
    ({"columns": (A, B), "layout": Layout(z_order=("A",))}, "z_order names 'A', which is no column. Did you mean 'a'?"),
    ({"columns": (A, B), "layout": Layout(partition_by=("a", "b"))}, "partition_by names all columns"),
    ({"columns": (A, B), "layout": Layout(partition_by=("a",), z_order=("a",))}, "z_order and partition_by both name a"),
    ({"columns": (A, Column("f", Kind.FLOAT64, "")), "layout": Layout(partition_by=("f",))}, "files cannot be partitioned by float64"),
    ({"columns": (A, Column("f", DecimalKind(3), "")), "layout": Layout(partition_by=("f",))}, "files cannot be partitioned by decimal(3,0)"),
    ({"columns": (A, Column("f", ListKind(Kind.INT8), "")), "key": ("f",)}, "list<int8> has no order"),
    ({"columns": (A, B), "max_bad_share": 2}, "max_bad_share is a share from 0 to 1"),
    ({"columns": (A, B), "layout": Layout(target_file_bytes=0)}, "target_file_bytes is a number of bytes above 0"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "problem"), UNFIT_SCHEMAS, ids=[problem[:40] for _, problem in UNFIT_SCHEMAS])
def test_a_schema_that_no_table_can_have_is_refused_where_it_is_declared(fields, problem):
    with pytest.raises(BadSchema, match=f"table 't': no table can have this schema.\n.*{re.escape(problem)}"):
        TableSchema("t", "", **fields)


def test_all_faults_of_a_schema_are_told_at_once():
    with pytest.raises(BadSchema, match="(?s)no column.*twice.*max_bad_share") as caught:
        TableSchema("t", "", (A, B), key=("c", "a", "a"), max_bad_share=-1)
    assert isinstance(caught.value, PermanentError)
