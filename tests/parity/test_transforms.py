"""Every transform of the example gives the same rows on every engine, of the declared types.

The results of pandas are checked by hand in `tests/unit/flightdelay`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import narwhals as nw
import pyarrow as pa
import pytest
from fixtures import edge_case_flights as edges
from fixtures.comparison import assert_same_rows, differences

from flightdelay import (
    baseline,
    evaluate,
    facts,
    features,
    figures,
    frames,
    history,
    prep,
    schema,
    serve,
    source,
    split,
)
from stagebook.delta.arrow import arrow_schema
from stagebook.delta.engine import Engine
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.model.tables import Kind, TableSchema


@dataclass(frozen=True)
class Case:
    """A transform, its inputs, and the schema of its result (None: the columns of its first input, and more)."""

    transform: Callable[..., Any]
    inputs: tuple[pa.Table, ...]
    result: TableSchema | None = None

    @property
    def key(self) -> Sequence[str]:
        """The columns that rows are sorted by, for the comparison."""
        return self.result.key if self.result else schema.FLIGHT_KEY

    def head(self, rows: int) -> "Case":
        """The same case with so many rows of its first input."""
        return Case(self.transform, (self.inputs[0].slice(0, rows), *self.inputs[1:]), self.result)


def real_table(name: str) -> pa.Table:
    return pa.Table.from_pandas(source.read(name), preserve_index=False).replace_schema_metadata()


CASES = {
    "prep.flights": Case(prep.flights, (edges.raw_flights(), real_table("airports")), schema.FLIGHTS),
    "prep.weather": Case(prep.weather, (edges.raw_weather(),), schema.WEATHER),
    "prep.planes": Case(prep.planes, (edges.raw_planes(),), schema.PLANES),
    "prep.airports": Case(prep.airports, (real_table("airports"),), schema.AIRPORTS),
    "prep.airlines": Case(prep.airlines, (real_table("airlines"),), schema.AIRLINES),
    "history.add_history": Case(history.add_history, (edges.flights(),)),
    "features.build": Case(features.build, (edges.flights(), edges.weather(), edges.planes()), schema.FEATURES),
    "split.with_label": Case(partial(split.with_label, late_after_min=15), (edges.flights(),)),
}
SIZES = {"edges": None, "one row": 1, "no row": 0}


def case_of(name: str, size: str) -> Case:
    rows = SIZES[size]
    return CASES[name] if rows is None else CASES[name].head(rows)


@pytest.fixture(scope="module")
def expected() -> Callable[[str, str], pa.Table]:
    """The results on pandas, computed once for all engines."""
    results: dict[tuple[str, str], pa.Table] = {}
    pandas = LocalEngine()

    def result(name: str, size: str) -> pa.Table:
        if (name, size) not in results:
            case = case_of(name, size)
            results[name, size] = pandas.to_arrow(case.transform(*map(pandas.from_local, case.inputs)))
        return results[name, size]

    return result


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CASES)
def test_a_transform_gives_the_same_on_every_engine_and_changes_no_input(engine: Engine, name, size, expected):
    case = case_of(name, size)
    inputs = [engine.from_local(table) for table in case.inputs]
    actual = engine.to_arrow(case.transform(*inputs))
    assert_same_rows(actual, expected(name, size), by=case.key)
    if case.result is not None:
        assert actual.schema.remove_metadata().types == arrow_schema(case.result).types
        assert actual.column_names == list(case.result.column_names)
    assert [engine.to_arrow(frame).to_pylist() for frame in inputs] == [table.to_pylist() for table in case.inputs]


def test_the_edges_are_among_the_flights(expected):
    """Without an edge case in the generated rows, all engines would agree and prove nothing."""
    raw, typed = expected("prep.flights", "edges").to_pandas(), expected("features.build", "edges").to_pandas()
    assert raw["sched_arr_at"].isna().sum() > 200, "without a zone, or beyond the clocks"
    assert raw["arr_at"].isna().sum() > raw["sched_arr_at"].isna().sum() + 100
    assert (raw["sched_arr_at"].dt.date > raw["sched_dep_at"].dt.date).sum() > 100
    assert set(raw["sched_arr_clock_local"]) == set(edges.CLOCKS)
    flights = edges.flights().to_pandas()
    assert set(flights["arr_at"]) & set(flights["sched_dep_at"]), "some land at the very instant of a question"
    assert flights["sched_dep_at"].duplicated().any()
    for column in ("temp_f", "seats", "engine_type", "aircraft_age_years", "tail_24h_delay_min", "arr_delay_min"):
        assert 0 < typed[column].isna().sum() < len(typed), column
    for window in history.WINDOWS:
        assert typed[f"{window.name}_landed"].max() > 1, window.name
        assert (typed[f"{window.name}_landed"] == 0).any(), window.name


# Single figures: the same values, of the same Python types.

ONE_OF_EACH_KIND = {column.kind: column.name for column in schema.FLIGHTS.columns} | {
    Kind.FLOAT64: "temp_f", Kind.STRING: "tailnum", Kind.INT32: "arr_delay_min", Kind.TIMESTAMP: "arr_at",
}  # fmt: skip
"""A column of `flights` or `weather` for each kind, with nulls where such a column exists."""


@pytest.mark.parametrize("size", SIZES)
def test_single_figures_are_the_same_on_every_engine(engine: Engine, size):
    def single_figures(by: Engine) -> dict[str, Any]:
        flights = by.from_local(edges.flights().slice(0, SIZES[size]))
        weather = by.from_local(edges.weather().slice(0, SIZES[size]))
        figures = {"repeated key": facts.repeated(flights, schema.FLIGHT_KEY)}
        figures["repeated instants"] = facts.repeated(flights, ["sched_dep_at", "tailnum"])
        for kind, column in ONE_OF_EACH_KIND.items():
            frame = weather if kind is Kind.FLOAT64 else flights
            figures[f"nulls {column}"] = facts.nulls(frame, column)
            figures[f"largest {column}"] = facts.largest(frame, column)
        return figures

    assert not differences(single_figures(engine), single_figures(LocalEngine()), rel=1e-9)


def test_single_figures_of_no_row_are_zero_or_none(engine: Engine):
    no_rows = engine.from_local(edges.flights(0))
    assert facts.nulls(no_rows, "arr_at") == facts.repeated(no_rows, ["flight"]) == 0
    assert facts.largest(no_rows, "arr_at") is None


@pytest.mark.parametrize("column", ["carrier", "dep_hour_local"])
def test_lateness_is_the_same_on_every_engine(engine: Engine, column):
    def lateness(by: Engine) -> list[Any]:
        flights = by.from_local(edges.flights())
        tables = [facts.lateness_by(flights, column, late_after_min=15), facts.delay_counts(flights)]
        return [pa.Table.from_pandas(table, preserve_index=False).to_pylist() for table in tables]

    assert not differences(lateness(engine), lateness(LocalEngine()), rel=1e-9)


# Tenths: halves lie between two whole numbers, and engines round them to different ones.

HALVES = pa.table(
    {
        "mean": pa.array([None, *(number / 2 for number in range(-20, 60)), *[0.5] * 40], pa.float64()),
        "whole": pa.array([None, *range(-60, 60)], pa.int32()),
        "arr_delay_min": pa.array(
            [20, *(None if number % 9 == 0 else number % 31 for number in range(120))], pa.int32()
        ),
    }
)


@pytest.mark.parametrize("column", ["mean", "whole"])
@pytest.mark.parametrize("rows", [121, 2, 1, 0])
def test_tenths_are_the_same_on_every_engine(engine: Engine, column, rows):
    def tenths(by: Engine) -> pa.Table:
        return pa.Table.from_pandas(
            facts.late_by_tenth(by.from_local(HALVES.slice(0, rows)), column, late_after_min=15), preserve_index=False
        ).replace_schema_metadata()

    assert_same_rows(tenths(engine), tenths(LocalEngine()), by=())


def test_the_durations_that_are_drawn_are_the_same_on_every_engine(engine: Engine):
    def drawn(by: Engine) -> Sequence[Any]:
        axes = figures.durations(by.from_local(edges.flights()), max_duration_min=720, claim="as scheduled").axes[0]
        return sorted(axes.collections[0].get_offsets().tolist())

    assert drawn(engine) == drawn(LocalEngine()) == [[719.0, 120.0]]


def test_more_rows_than_the_limit_do_not_come_into_this_process(engine: Engine):
    lazy = nw.from_native(engine.from_local(edges.flights())).lazy().to_native()
    if engine.name == "pandas":
        assert len(frames.to_pandas(lazy, limit=10)) == 400, "a pandas frame is already in this process"
        return
    assert len(frames.to_pandas(lazy, limit=400)) == 400
    with pytest.raises(ValueError, match="more than 399 rows: aggregate them first"):
        frames.to_pandas(lazy, limit=399)


def test_training_and_evaluation_take_frames_of_any_engine(engine: Engine):
    flights = [row for row in edges.flights().to_pylist() if row["arr_delay_min"] is not None]
    scored = pa.Table.from_pylist(
        [{**row, "late": row["arr_delay_min"] >= 15, "score": row["flight"] / 1000} for row in flights]
    )

    def results(by: Engine) -> list[Any]:
        frame = by.from_local(scored)
        rates = baseline.fit(frame)
        slices = evaluate.slice_metrics(frame, columns=("origin", "dep_hour_local"))
        return [
            sorted(rates.rates.items()),
            rates.overall,
            slices,
            serve.largest_gap(frame, by.from_local(scored.slice(0, 9))),
        ]

    assert not differences(results(engine), results(LocalEngine()), rel=1e-9)
