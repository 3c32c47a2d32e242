"""Every type of a column goes through a write and a read unchanged, on every engine."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from fixtures.properties import costly_examples
from hypothesis import given, settings
from hypothesis import strategies as st

from stagebook.delta.arrow import arrow_type, kind_of
from stagebook.engines.open import open_engine
from stagebook.model.kinds import AnyKind
from stagebook.model.pipeline import SparkSettings
from stagebook.model.tables import Column, DecimalKind, Kind, ListKind, MapKind, StructKind, TableSchema
from stagebook.tables.warehouse import Warehouse, Writer

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999))
VALUES = {
    Kind.STRING: TEXT,
    Kind.BINARY: st.binary(max_size=6),
    **{kind: st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
       for kind, bits in ((Kind.INT8, 8), (Kind.INT16, 16), (Kind.INT32, 32), (Kind.INT64, 64))},
    Kind.FLOAT32: st.floats(width=32, allow_nan=False),
    Kind.FLOAT64: st.floats(allow_nan=False),
    Kind.BOOL: st.booleans(),
    Kind.DATE: st.dates(date(1, 1, 1), date(9999, 12, 31)),
    Kind.TIMESTAMP: MOMENTS.map(lambda moment: moment.replace(tzinfo=UTC)),
    Kind.TIMESTAMP_NTZ: MOMENTS,
}  # fmt: skip
DECIMALS = st.integers(1, 38).flatmap(
    lambda precision: st.builds(DecimalKind, st.just(precision), st.integers(0, precision))
)
FLAT = st.sampled_from(Kind) | DECIMALS
KINDS = st.recursive(
    FLAT,
    lambda inner: (
        st.builds(ListKind, inner)
        | st.lists(inner, min_size=1, max_size=3).map(
            lambda kinds: StructKind(tuple((f"f{i}", k) for i, k in enumerate(kinds)))
        )
        | st.builds(MapKind, st.sampled_from([Kind.STRING, Kind.INT64, Kind.DATE]), inner)
    ),
    max_leaves=4,
)


def values(kind: AnyKind) -> st.SearchStrategy:
    match kind:
        case DecimalKind(precision, scale):
            digits = st.integers(-(10**precision) + 1, 10**precision - 1)
            return digits.map(lambda unscaled: Decimal((unscaled < 0, tuple(map(int, str(abs(unscaled)))), -scale)))
        case ListKind(element):
            return st.lists(st.none() | values(element), max_size=3)
        case StructKind(fields):
            return st.fixed_dictionaries({name: st.none() | values(field) for name, field in fields})
        case MapKind(key, value):
            return st.dictionaries(values(key), st.none() | values(value), max_size=3).map(lambda d: list(d.items()))
        case _:
            return VALUES[Kind(str(kind))]


@st.composite
def tables(draw: st.DrawFn, columns: int) -> tuple[TableSchema, pa.Table]:
    """A schema with a number of columns of any kinds and one that numbers the rows, and two rows that fit it."""
    kinds = [draw(KINDS) for _ in range(columns)]
    schema = TableSchema("t", "", (
        Column("row", Kind.INT32, "its number"),
        *(Column(f"c{number}", kind, "values", nullable=True) for number, kind in enumerate(kinds)),
    ))  # fmt: skip
    data = {f"c{number}": pa.array([draw(values(kind)), draw(st.none() | values(kind))], arrow_type(kind))
            for number, kind in enumerate(kinds)}  # fmt: skip
    return schema, pa.table({"row": pa.array([0, 1], pa.int32()), **data})


def refuse_difference(warehouse: Warehouse, schema: TableSchema, data: pa.Table) -> None:
    commit = warehouse.write(warehouse.engine.from_local(data), schema, writer=Writer("r", "s", 1))
    rows = warehouse.engine.to_arrow(warehouse.read("t", version=commit.version)).sort_by("row")
    assert [kind_of(kind) for kind in rows.schema.types] == [column.kind for column in schema.columns]
    assert rows.to_pylist() == data.to_pylist()


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_values_of_every_type_come_back_as_they_were_written(name, tmp_path_factory):
    @costly_examples(0.2)
    @given(tables(columns=3))
    def comes_back(table):
        refuse_difference(Warehouse(tmp_path_factory.mktemp("t"), open_engine(name, SparkSettings())), *table)

    comes_back()


EVERY_KIND: list[AnyKind] = [
    *Kind, DecimalKind(38, 10), DecimalKind(5, 5), ListKind(Kind.FLOAT32), MapKind(Kind.STRING, ListKind(Kind.TIMESTAMP)),
    ListKind(StructKind((("d", Kind.DATE), ("n", Kind.TIMESTAMP_NTZ), ("b", Kind.BINARY), ("m", DecimalKind(9, 2))))),
]  # fmt: skip


def samples(kind: AnyKind, count: int) -> list:
    """Values of a kind, the extreme ones among them, always the same."""
    drawn: list = []
    settings(max_examples=count, derandomize=True, database=None)(
        given(st.none() | values(kind))(lambda value: drawn.append(value))
    )()
    return (drawn * count)[:count]


def test_values_of_every_type_come_back_from_every_engine_in_one_table(engine, tmp_path):
    """One write and one read, for Spark; the property above has many of them, of all combinations of types."""
    values_of = {f"c{number}": kind for number, kind in enumerate(EVERY_KIND)}
    nulls_of = {f"n{number}": kind for number, kind in enumerate(EVERY_KIND)}
    columns = [Column(name, kind, "values", nullable=True) for name, kind in (values_of | nulls_of).items()]
    rows = {name: pa.array(samples(kind, 40), arrow_type(kind)) for name, kind in values_of.items()}
    nulls = {name: pa.nulls(40) for name in nulls_of}
    data = pa.table({"row": pa.array(range(40), pa.int32()), **rows, **nulls})
    schema = TableSchema("t", "", (Column("row", Kind.INT32, "its number"), *columns))
    refuse_difference(Warehouse(tmp_path, engine), schema, data)
