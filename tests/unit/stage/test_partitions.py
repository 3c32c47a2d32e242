"""A table built partition by partition: what is built and why, and that it always equals a full rebuild."""

import importlib
import sys

import narwhals as nw
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from fixtures.stage_runs import StageRuns, clear_caches

from stagebook import Column, Kind, PartitionSource, TableSchema, stage
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.delta.polars_engine import PolarsEngine
from stagebook.errors import SchemaViolation, UndeclaredTable
from stagebook.stage import tables
from stagebook.stage.partitions import PartitionBuild
from stagebook.tables.warehouse import Writer

SALES = TableSchema(
    "sales",
    "what was sold",
    (
        Column("month", Kind.INT32, "when", nullable=True),
        Column("article", Kind.STRING, "what"),
        Column("sold", Kind.INT64, "how many"),
        Column("note", Kind.STRING, "read by nobody", nullable=True),
    ),
)
PRICES = TableSchema(
    "prices", "what it cost", (Column("article", Kind.STRING, "what"), Column("usd", Kind.INT64, "price", "USD"))
)
REVENUE = TableSchema(
    "revenue",
    "what was earned",
    (
        Column("period", Kind.INT32, "the month"),
        Column("usd", Kind.INT64, "earned in the month", "USD"),
        Column("before_usd", Kind.INT64, "earned in the month before", "USD"),
    ),
)
SOURCES = {
    "sales": PartitionSource(by="month", look_back=1, columns=("month", "article", "sold")),
    "prices": PartitionSource(),
}
PRICE_LIST = {"pen": 2, "ink": 5}
LOCAL = {"pandas": LocalEngine, "polars": PolarsEngine}
ARROW = {Kind.STRING: pa.string(), Kind.INT32: pa.int32(), Kind.INT64: pa.int64()}


def revenue(sales, prices):
    """One row a month, with what was earned in the month before."""
    sold = nw.from_native(sales).join(nw.from_native(prices), on="article")
    earned = sold.with_columns(usd=nw.col("sold") * nw.col("usd")).group_by("month").agg(nw.col("usd").sum())
    before = earned.select(period=nw.col("month") + 1, before_usd=nw.col("usd"))
    months = earned.select(period=nw.col("month"), usd=nw.col("usd"))
    zero = nw.col("usd") * 0
    return months.join(before, on="period", how="left").with_columns(nw.col("before_usd").fill_null(zero)).to_native()


def expected(sales: dict[int, int], usd: int = 2) -> list[tuple[int, int, int]]:
    return sorted((month, sold * usd, sales.get(month - 1, 0) * usd) for month, sold in sales.items())


class Shop:
    """A stage of run after run, on one engine: sales by month, prices, and the revenue that is built from them."""

    def __init__(self, engine, folder, patch):
        self.runs, self.engine, self.folder = StageRuns(engine, folder, patch), engine, folder
        self.inputs: list[dict] = []

    def write(self, schema: TableSchema, rows: list[tuple]):
        columns = {
            column.name: pa.array([row[place] for row in rows], ARROW[column.kind])
            for place, column in enumerate(schema.columns)
        }
        self.runs.start(writes=(schema.name,))
        stage.write(self.engine.from_local(pa.table(columns)), schema)

    def sell(self, sales: dict[int, int], note: str | None = None):
        self.write(SALES, [(month, "pen", sold, note) for month, sold in sales.items()])

    def price(self, prices: dict[str, int]):
        self.write(PRICES, list(prices.items()))

    def start_build(self, **changes):
        self.runs.start(**{"reads": ("sales", "prices"), "writes": ("revenue",), **changes})

    def build(self, function=revenue, sources=SOURCES, *, attempt=1, rebuild=False) -> PartitionBuild:
        def remember(**frames):
            self.inputs.append({name: self.engine.to_arrow(frame) for name, frame in frames.items()})
            return function(**frames)

        self.start_build(attempt=attempt)
        return stage.build_partitions(REVENUE, remember, by="period", sources=sources, rebuild=rebuild)

    @property
    def rows(self) -> list[tuple]:
        table = self.engine.to_arrow(tables.warehouse().read("revenue", version=None))
        return sorted(zip(*table.to_pydict().values(), strict=True))

    @property
    def files(self) -> set[str]:
        return set(DeltaTable(self.folder / "tables/revenue").file_uris())


@pytest.fixture
def shop(engine, tmp_path, monkeypatch):
    """A shop with sales of three months."""
    shop = Shop(engine, tmp_path, monkeypatch)
    shop.price(PRICE_LIST)
    shop.sell({1: 10, 2: 20, 3: 30})
    yield shop
    clear_caches()


@pytest.fixture(params=LOCAL)
def local_shop(request, tmp_path, monkeypatch):
    """The same on the engines of one machine."""
    shop = Shop(LOCAL[request.param](), tmp_path, monkeypatch)
    shop.price(PRICE_LIST)
    shop.sell({1: 10, 2: 20, 3: 30})
    yield shop
    clear_caches()


def test_only_stale_partitions_are_built_and_the_table_equals_a_full_rebuild(shop):
    steps = [
        ("the first time", {1: 10, 2: 20, 3: 30}, {1: "new", 2: "new", 3: "new"}, [1, 2, 3]),
        ("nothing has changed", {1: 10, 2: 20, 3: 30}, {}, []),
        ("a change", {1: 10, 2: 21, 3: 30}, {2: "sales changed", 3: "sales of 2 changed"}, [2, 3]),
        ("a new one", {1: 10, 2: 21, 3: 30, 4: 40}, {4: "new"}, [4]),
        ("a change of the last one", {1: 10, 2: 21, 3: 30, 4: 41}, {4: "sales changed"}, [4]),
        ("the last one vanished", {1: 10, 2: 21, 3: 30}, {4: "no longer there"}, []),
        (
            "one in between vanished",
            {1: 10, 3: 30},
            {3: "sales of 1, sales of 2 changed", 2: "no longer there"},
            [3],
        ),
    ]
    if shop.engine.name == "spark":  # four seconds a step
        steps = [steps[0], steps[2], steps[-1]]
    for step, sales, reasons, built in steps:
        shop.sell(sales)
        shop.inputs.clear()
        result = shop.build()
        assert (result.reasons, result.built, result.built_rows) == (reasons, built, len(built)), step
        assert len(shop.inputs) == bool(built), step
        assert shop.rows == expected(sales), step
        assert result.commit.rows == len(sales), step
        assert result.commit.run_id == f"run {shop.runs.number}", step


def test_a_change_of_a_table_without_partitions_builds_all(local_shop):
    local_shop.build()
    local_shop.price({"pen": 3, "ink": 5})
    assert local_shop.build().reasons == dict.fromkeys((1, 2, 3), "prices changed")
    assert local_shop.rows == expected({1: 10, 2: 20, 3: 30}, usd=3)


def test_a_column_that_is_not_read_may_change(local_shop):
    local_shop.build()
    local_shop.sell({1: 10, 2: 20, 3: 30}, note="checked")
    assert local_shop.build().built == []


def test_the_function_gets_the_partitions_to_build_and_those_that_they_look_back_on(local_shop):
    local_shop.sell({month: month for month in range(1, 7)})
    local_shop.build()
    local_shop.sell({month: month * (10 if month == 3 else 1) for month in range(1, 7)})
    local_shop.inputs.clear()
    assert local_shop.build().built == [3, 4]
    (inputs,) = local_shop.inputs
    assert sorted(inputs["sales"]["month"].to_pylist()) == [2, 3, 4]
    assert inputs["sales"].column_names == ["month", "article", "sold"]
    assert sorted(inputs["prices"]["article"].to_pylist()) == ["ink", "pen"]


def test_if_nothing_is_stale_no_file_changes(local_shop):
    local_shop.build()
    before = local_shop.files
    result = local_shop.build()
    assert (result.built, result.built_rows, local_shop.files) == ([], 0, before)
    assert local_shop.build(attempt=2).commit.repeated


def test_a_rebuild_builds_all(local_shop):
    local_shop.build()
    result = local_shop.build(rebuild=True)
    assert result.reasons == dict.fromkeys((1, 2, 3), "asked for")
    assert result.built_rows == 3


def test_another_attempt_after_a_commit_builds_nothing_and_gets_that_commit(local_shop):
    first = local_shop.build().commit
    second = local_shop.build(attempt=2).commit
    assert (second.version, second.attempt, second.repeated) == (first.version, 1, True)


@pytest.fixture
def written_builder(tmp_path, monkeypatch):
    """`written_builder(text)` writes the module `shop.revenue`; gives its function `build`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    (tmp_path / "shop/factors.py").write_text("ONE = 1\n")

    def write(text: str):
        (tmp_path / "shop/revenue.py").write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module("shop.revenue").build

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


CODE = f"""
from shop.factors import ONE
from {__name__} import revenue

def build(sales, prices):
    return revenue(sales, prices)
"""


@pytest.mark.parametrize(
    ("changed", "reasons"),
    [
        pytest.param(CODE, {}, id="nothing"),
        pytest.param(f"# What was earned.\n{CODE}  # by month\n", {}, id="comments"),
        pytest.param(CODE.replace("(sales, prices):", "(\n    sales,\n    prices,\n):"), {}, id="formatting"),
        pytest.param(
            CODE.replace("return revenue", "_ = ONE\n    return revenue"),
            dict.fromkeys((1, 2, 3), "the code changed"),
            id="its code",
        ),
    ],
)
def test_other_code_of_the_function_builds_all_and_a_comment_none(local_shop, written_builder, changed, reasons):
    def build(text):
        local_shop.start_build()
        return stage.build_partitions(REVENUE, written_builder(text), by="period", sources=SOURCES)

    assert build(CODE).built == [1, 2, 3]
    assert build(changed).reasons == reasons


def test_other_code_of_a_module_that_the_function_uses_builds_all(local_shop, written_builder, tmp_path):
    function = written_builder(CODE)
    for text, built in (("ONE = 1\n", [1, 2, 3]), ("ONE = 1  # not 2\n", []), ("ONE = 2\n", [1, 2, 3])):
        (tmp_path / "shop/factors.py").write_text(text)
        local_shop.start_build()
        assert stage.build_partitions(REVENUE, function, by="period", sources=SOURCES).built == built


def test_partitions_may_come_from_an_expression_and_a_source_from_a_table_of_another_name(local_shop):
    half_years = {
        "sold": PartitionSource(by=(nw.col("month") - 1) // 6 + 1, table="sales", columns=("month", "sold")),
    }

    def build(sold):
        months = nw.from_native(sold).with_columns(period=((nw.col("month") - 1) // 6 + 1).cast(nw.Int32()))
        usd = months.group_by("period").agg(usd=nw.col("sold").sum())
        return usd.with_columns(before_usd=nw.col("usd") * 0).to_native()

    local_shop.sell({1: 1, 6: 2, 7: 4})
    assert local_shop.build(build, half_years).reasons == {1: "new", 2: "new"}
    local_shop.sell({1: 1, 6: 2, 7: 4, 12: 8})
    assert local_shop.build(build, half_years).reasons == {2: "sold changed"}
    assert local_shop.rows == [(1, 3, 0), (2, 12, 0)]


def test_rows_of_other_partitions_are_left_out(local_shop):
    local_shop.build()
    local_shop.sell({1: 10, 2: 20, 3: 31})
    result = local_shop.build()
    assert sorted(local_shop.inputs[-1]["sales"]["month"].to_pylist()) == [2, 3], "it builds the month before as well"
    assert (result.built_rows, local_shop.rows) == (1, expected({1: 10, 2: 20, 3: 31}))


def test_the_function_may_return_data_of_this_process(local_shop):
    def build(sales, prices):
        return pa.table({"period": pa.array([1], pa.int32()), "usd": [1], "before_usd": [0]})

    assert local_shop.build(build).built_rows == 1
    assert local_shop.rows == [(1, 1, 0)]


def test_no_partitions_give_an_empty_table(local_shop):
    local_shop.sell({})
    result = local_shop.build()
    assert (result.built, result.commit.rows, local_shop.inputs, local_shop.rows) == ([], 0, [], [])


def test_rows_of_the_first_source_without_a_partition_are_refused(local_shop):
    local_shop.write(SALES, [(1, "pen", 10, None), (None, "pen", 20, None)])
    with pytest.raises(SchemaViolation, match="'sales': some of its rows have no partition") as raised:
        local_shop.build()
    assert "a whole number or a text in every row" in str(raised.value)


def test_the_first_source_needs_partitions(local_shop):
    with pytest.raises(SchemaViolation, match="'prices': some of its rows have no partition"):
        local_shop.build(sources=dict(reversed(SOURCES.items())))


def test_a_partition_that_the_log_cannot_keep_is_refused(local_shop):
    by_day = {"sales": PartitionSource(by=nw.col("month").cast(nw.Float64())), "prices": PartitionSource()}
    with pytest.raises(SchemaViolation, match=r"'sales': \d\.0 cannot name a partition"):
        local_shop.build(sources=by_day)


def test_rows_that_are_built_for_no_partition_are_refused_by_the_schema(local_shop):
    def build(sales, prices):
        period = pa.array([1, None], pa.int32())
        return pa.table({"period": period, "usd": [1, 2], "before_usd": [0, 0]})

    with pytest.raises(SchemaViolation, match="period is not null"):
        local_shop.build(build)


def never_called(**frames):
    pytest.fail("it is built")


def test_a_table_that_the_stage_does_not_declare_is_neither_read_nor_built(local_shop):
    for declared, line in (({"reads": ("sales",)}, "reads: .*prices"), ({"writes": ()}, "writes: .*revenue")):
        local_shop.start_build(**declared)
        with pytest.raises(UndeclaredTable, match=rf"stages\.build\.{line}"):
            stage.build_partitions(REVENUE, never_called, by="period", sources=SOURCES)


def test_what_pandas_has_built_polars_does_not_build_again(tmp_path, monkeypatch):
    pandas = Shop(LocalEngine(), tmp_path, monkeypatch)
    pandas.price(PRICE_LIST)
    pandas.sell({1: 10, 2: 20})
    assert pandas.build().built == [1, 2]
    assert Shop(PolarsEngine(), tmp_path, monkeypatch).build().built == []
    clear_caches()


def test_a_table_that_was_written_as_a_whole_meanwhile_is_built_again(local_shop):
    local_shop.build()
    local_shop.start_build()
    frame = pd.DataFrame({"period": [1], "usd": [1], "before_usd": [0]})
    tables.warehouse().write(local_shop.engine.from_local(frame), REVENUE, writer=Writer("other", "s", 1))
    assert set(local_shop.build().reasons.values()) == {"not known what it is made from"}
    assert local_shop.rows == expected({1: 10, 2: 20, 3: 30})


def test_a_notebook_shows_the_partitions_by_reason(local_shop):
    assert "<td>new</td><td>3</td><td>1</td><td>3</td>" in local_shop.build()._repr_html_()
    assert local_shop.build()._repr_html_() == "<p>All partitions are up to date.</p>"
    unsafe = PartitionBuild({"<b>": "<i>"}, ["<b>"], 1, local_shop.build().commit)
    assert "<td>&lt;i&gt;</td><td>1</td><td>&lt;b&gt;</td>" in unsafe._repr_html_()
