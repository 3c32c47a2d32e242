"""The real year, read once; and tiny frames of flights, as the engine hands them out."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from flightdelay import features, prep, schema, source
from stagebook.model.tables import Kind, TableSchema

ARROW = {
    Kind.STRING: pa.string(),
    Kind.INT16: pa.int16(),
    Kind.INT32: pa.int32(),
    Kind.INT64: pa.int64(),
    Kind.FLOAT64: pa.float64(),
    Kind.BOOL: pa.bool_(),
    Kind.DATE: pa.date32(),
    Kind.TIMESTAMP: pa.timestamp("us", "UTC"),
}

Table = Callable[..., pd.DataFrame]


@pytest.fixture(scope="session")
def raw() -> dict[str, pd.DataFrame]:
    """The five files, as they are."""
    return {name: source.read(name) for name in source.COLUMNS}


@pytest.fixture(scope="session")
def year(raw) -> dict[str, pd.DataFrame]:
    """The five tables of the real year."""
    return {
        "flights": prep.flights(raw["flights"], raw["airports"]),
        "weather": prep.weather(raw["weather"]),
        "planes": prep.planes(raw["planes"]),
        "airports": prep.airports(raw["airports"]),
        "airlines": prep.airlines(raw["airlines"]),
    }


@pytest.fixture(scope="session")
def built(year) -> pd.DataFrame:
    """The features of the real year."""
    return features.build(year["flights"], year["weather"], year["planes"])


@pytest.fixture(scope="session")
def table() -> Table:
    """`table(schema.FLIGHTS, [{…}, …])`: an Arrow-backed frame with the schema's types; what is left out is null."""

    def make(of: TableSchema, rows: list[dict[str, Any]]) -> pd.DataFrame:
        columns = {
            column.name: pa.array([row.get(column.name) for row in rows], ARROW[column.kind]) for column in of.columns
        }
        return pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)

    return make


@pytest.fixture(scope="session")
def flight() -> Callable[..., dict[str, Any]]:
    """`flight(at, arr=None, **columns)`: a row of `flights` scheduled at `at`, landing at `arr` with a delay."""

    def make(at: datetime, arr: datetime | None = None, delay: int = 0, **columns: Any) -> dict[str, Any]:
        return {
            "time_hour": at.replace(minute=0),
            "carrier": "UA",
            "flight": 1,
            "origin": "EWR",
            "dest": "ORD",
            "tailnum": "N1",
            "dep_date_local": date(at.year, at.month, at.day),
            "dep_hour_local": at.hour,
            "dep_minute": at.minute,
            "sched_dep_at": at,
            "sched_arr_at": at + timedelta(hours=2),
            "sched_duration_min": 120,
            "sched_arr_clock_local": 1200,
            "arr_at": arr,
            "arr_delay_min": None if arr is None else delay,
            "distance_mi": 700,
            **columns,
        }

    return make


@pytest.fixture
def noon() -> datetime:
    return datetime(2013, 6, 5, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def types() -> Callable[[pd.DataFrame, TableSchema], None]:
    """Check that a frame has exactly the columns and the Arrow types that its schema declares."""

    def check(frame: pd.DataFrame, of: TableSchema) -> None:
        assert list(frame.columns) == list(of.column_names)
        declared = {column.name: pd.ArrowDtype(ARROW[column.kind]) for column in of.columns}
        assert {name: frame[name].dtype for name in frame} == declared

    return check


@pytest.fixture(scope="session")
def keys_and_nulls() -> Callable[[pd.DataFrame, TableSchema], None]:
    """Check that the key is unique and that nulls are only where the schema allows them."""

    def check(frame: pd.DataFrame, of: TableSchema) -> None:
        assert not frame.duplicated(list(of.key)).any()
        nulls = {name for name in frame if frame[name].isna().any()}
        assert nulls <= {column.name for column in of.columns if column.nullable}

    return check


@pytest.fixture(scope="session")
def out_of_bounds() -> Callable[[pd.DataFrame, TableSchema], int]:
    """Count the rows with a value beyond its column's bounds or not among the allowed ones."""

    def count(frame: pd.DataFrame, of: TableSchema) -> int:
        bad = frame[frame.columns[0]].isna()
        for column in of.columns:
            values = frame[column.name]
            if column.minimum is not None:
                bad |= (values < column.minimum).fillna(False)
            if column.maximum is not None:
                bad |= (values > column.maximum).fillna(False)
            if column.allowed is not None:
                bad |= ~values.isin(column.allowed) & values.notna()
        return int(bad.sum())

    return count


@pytest.fixture(scope="session")
def schemas() -> dict[str, TableSchema]:
    return schema.TABLES
