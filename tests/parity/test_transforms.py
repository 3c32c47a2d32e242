"""Every transform of the example on every engine: the same rows as on pandas, of the declared types.

What pandas gives is checked by hand in `tests/unit/flightdelay`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import narwhals as nw
import pyarrow as pa
import pytest
from fixtures import flights as edges
from fixtures.alike import assert_same_rows, differences

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
from stagebook.engines.arrow import arrow_schema
from stagebook.engines.base import Engine
from stagebook.engines.local import LocalEngine
from stagebook.model.tables import Kind, TableSchema


@dataclass(frozen=True)
class Case:
    """A transform, what it takes, and the table that it makes (None: the columns that it takes, and more)."""

    transform: Callable[..., Any]
    takes: tuple[pa.Table, ...]
    makes: TableSchema | None = None

    @property
    def key(self) -> Sequence[str]:
        """What rows are sorted by, to be compared."""
        return self.makes.key if self.makes else schema.FLIGHT_KEY

    def first(self, rows: int) -> "Case":
        """The same of the first rows of the frame that is transformed."""
        return Case(self.transform, (self.takes[0].slice(0, rows), *self.takes[1:]), self.makes)


def real(name: str) -> pa.Table:
    return pa.Table.from_pandas(source.read(name), preserve_index=False).replace_schema_metadata()


CASES = {
    "prep.flights": Case(prep.flights, (edges.raw_flights(), real("airports")), schema.FLIGHTS),
    "prep.weather": Case(prep.weather, (edges.raw_weather(),), schema.WEATHER),
    "prep.planes": Case(prep.planes, (edges.raw_planes(),), schema.PLANES),
    "prep.airports": Case(prep.airports, (real("airports"),), schema.AIRPORTS),
    "prep.airlines": Case(prep.airlines, (real("airlines"),), schema.AIRLINES),
    "history.add_history": Case(history.add_history, (edges.flights(),)),
    "features.build": Case(features.build, (edges.flights(), edges.weather(), edges.planes()), schema.FEATURES),
    "split.with_label": Case(partial(split.with_label, late_after_min=15), (edges.flights(),)),
}
SIZES = {"edges": None, "one row": 1, "no row": 0}


def chosen(name: str, size: str) -> Case:
    rows = SIZES[size]
    return CASES[name] if rows is None else CASES[name].first(rows)


@pytest.fixture(scope="module")
def expected() -> Callable[[str, str], pa.Table]:
    """What pandas gives, computed once for all engines."""
    known: dict[tuple[str, str], pa.Table] = {}
    pandas = LocalEngine()

    def of(name: str, size: str) -> pa.Table:
        if (name, size) not in known:
            case = chosen(name, size)
            known[name, size] = pandas.to_arrow(case.transform(*map(pandas.frame, case.takes)))
        return known[name, size]

    return of


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CASES)
def test_a_transform_gives_the_same_on_every_engine_and_changes_nothing(engine: Engine, name, size, expected):
    case = chosen(name, size)
    taken = [engine.frame(table) for table in case.takes]
    found = engine.to_arrow(case.transform(*taken))
    assert_same_rows(found, expected(name, size), by=case.key)
    if case.makes is not None:
        assert found.schema.remove_metadata().types == arrow_schema(case.makes).types
        assert found.column_names == list(case.makes.column_names)
    assert [engine.to_arrow(frame).to_pylist() for frame in taken] == [table.to_pylist() for table in case.takes]


def test_the_edges_are_among_the_flights(expected):
    """A generator that lost an edge would leave every engine in agreement about nothing."""
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
"""A column of `flights` or `weather` for each kind that they have, one with nulls where there is one."""


@pytest.mark.parametrize("size", SIZES)
def test_single_figures_are_the_same_on_every_engine(engine: Engine, size):
    def told(by: Engine) -> dict[str, Any]:
        flights = by.frame(edges.flights().slice(0, SIZES[size]))
        weather = by.frame(edges.weather().slice(0, SIZES[size]))
        figures = {"repeated key": facts.repeated(flights, schema.FLIGHT_KEY)}
        figures["repeated instants"] = facts.repeated(flights, ["sched_dep_at", "tailnum"])
        for kind, column in ONE_OF_EACH_KIND.items():
            frame = weather if kind is Kind.FLOAT64 else flights
            figures[f"nulls {column}"] = facts.nulls(frame, column)
            figures[f"largest {column}"] = facts.largest(frame, column)
        return figures

    assert not differences(told(engine), told(LocalEngine()), rel=1e-9)


def test_single_figures_of_no_row_are_none_or_nothing(engine: Engine):
    nothing = engine.frame(edges.flights(0))
    assert facts.nulls(nothing, "arr_at") == facts.repeated(nothing, ["flight"]) == 0
    assert facts.largest(nothing, "arr_at") is None


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
            figures.late_by_tenth(by.frame(HALVES.slice(0, rows)), column, late_after_min=15), preserve_index=False
        ).replace_schema_metadata()

    assert_same_rows(tenths(engine), tenths(LocalEngine()), by=())


def test_the_durations_that_are_drawn_are_the_same_on_every_engine(engine: Engine):
    def drawn(by: Engine) -> Sequence[Any]:
        axes = figures.durations(by.frame(edges.flights())).axes[0]
        return sorted(axes.collections[0].get_offsets().tolist())

    assert drawn(engine) == drawn(LocalEngine()) == [[719.0, 120.0]]


def test_more_rows_than_are_asked_for_do_not_come_into_this_process(engine: Engine):
    lazy = nw.from_native(engine.frame(edges.flights())).lazy().to_native()
    if engine.name == "pandas":
        assert len(frames.to_pandas(lazy, limit=10)) == 400, "a pandas frame is here already"
        return
    assert len(frames.to_pandas(lazy, limit=400)) == 400
    with pytest.raises(ValueError, match="more than 399 rows: aggregate them first"):
        frames.to_pandas(lazy, limit=399)


def test_what_learns_and_measures_takes_frames_of_any_engine(engine: Engine):
    flights = [row for row in edges.flights().to_pylist() if row["arr_delay_min"] is not None]
    scored = pa.Table.from_pylist(
        [{**row, "late": row["arr_delay_min"] >= 15, "score": row["flight"] / 1000} for row in flights]
    )

    def told(by: Engine) -> list[Any]:
        frame = by.frame(scored)
        rates = baseline.fit(frame)
        slices = evaluate.slice_metrics(frame, columns=("origin", "dep_hour_local"))
        return [
            sorted(rates.rates.items()),
            rates.overall,
            slices,
            serve.largest_gap(frame, by.frame(scored.slice(0, 9))),
        ]

    assert not differences(told(engine), told(LocalEngine()), rel=1e-9)
