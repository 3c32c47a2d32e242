import pytest

from flightdelay import features, schema
from flightdelay.history import WINDOWS


@pytest.mark.parametrize("name", ["flights", "weather", "planes", "airports", "airlines"])
def test_the_real_year_has_the_declared_columns_types_keys_and_nulls(year, schemas, types, keys_and_nulls, name):
    types(year[name], schemas[name])
    keys_and_nulls(year[name], schemas[name])


def test_features_have_the_declared_columns_types_keys_and_nulls(built, types, keys_and_nulls):
    types(built, schema.FEATURES)
    keys_and_nulls(built, schema.FEATURES)


@pytest.mark.parametrize(
    ("name", "bad_rows"),
    [("flights", 0), ("weather", 1), ("planes", 0), ("airports", 0), ("airlines", 0)],
)
def test_the_real_year_is_within_the_declared_bounds_but_for_one_wind_speed(
    year, schemas, out_of_bounds, name, bad_rows
):
    assert out_of_bounds(year[name], schemas[name]) == bad_rows
    assert bad_rows <= schemas[name].max_bad_share * len(year[name])


@pytest.mark.parametrize("name", list(schema.TABLES))
def test_a_table_declares_its_key_and_layout_with_a_reason(schemas, name):
    table = schemas[name]
    assert table.name == name
    assert table.key
    assert set(table.key) | set(table.layout.z_order) | set(table.layout.partition_by) <= set(table.column_names)
    assert len(set(table.column_names)) == len(table.columns)
    assert table.layout.reason
    assert not any(column.nullable for column in table.columns if column.name in table.key)


def test_a_year_of_flights_is_far_below_a_gigabyte_a_partition_so_none_is_declared_and_it_says_so():
    assert not any(table.layout.partition_by for table in schema.TABLES.values())
    assert "far below one gigabyte a partition" in schema.FLIGHTS.layout.reason


def test_features_are_known_before_departure_by_name():
    after = {"dep_at", "arr_at", "dep_delay_min", "arr_delay_min", "air_time_min", "dep_clock_local", "arr_clock_local"}
    assert not after & set(schema.MODEL_FEATURES)
    assert set(features.CATEGORICAL) <= set(schema.MODEL_FEATURES)


def test_every_window_of_history_is_a_feature():
    columns = {f"{window.name}_{measure}" for window in WINDOWS for measure in ("delay_min", "landed")}
    assert columns <= set(schema.MODEL_FEATURES)
