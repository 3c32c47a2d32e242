"""Features by month: what a month follows from, and that some months are built as they are in the whole."""

import ast
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from flightdelay import features, history, months, schema, versions

KEY = list(schema.FEATURES.key)


@pytest.mark.parametrize(("month", "before"), [(201301, 201212), (201302, 201301), (201312, 201311)])
def test_the_month_before(month, before):
    assert months.before(month) == before


def test_history_reaches_back_less_than_a_month():
    assert months.LOOKBACK == timedelta(days=11) < timedelta(days=28)
    assert history.reach([history.Window("", (), 24 * 24)]) == timedelta(days=28)


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param([], id="none"),
        pytest.param([201301], id="the first"),
        pytest.param([201303], id="one"),
        pytest.param([201302, 201303], id="two that follow each other"),
        pytest.param([201311, 201304], id="two apart, in any order"),
        pytest.param(list(range(201301, 201313)), id="all"),
    ],
)
def test_some_months_are_built_as_they_are_in_the_whole(year, built, wanted):
    some = features.build(year["flights"], year["weather"], year["planes"], months=wanted)
    expected = built[built["dep_month"].isin(wanted)]
    pd.testing.assert_frame_equal(
        some.sort_values(KEY, ignore_index=True), expected.sort_values(KEY, ignore_index=True)
    )


def test_the_columns_that_are_read_are_enough(year, built):
    read = [year[name].filter(items=features.READS[name]) for name in ("flights", "weather", "planes")]
    pd.testing.assert_frame_equal(features.build(*read), built)
    assert all(set(columns) <= set(schema.TABLES[name].column_names) for name, columns in features.READS.items())


def test_the_month_of_a_row_is_the_local_one(built):
    local = pd.to_datetime(built["dep_date_local"])
    assert built["dep_month"].equals((local.dt.year * 100 + local.dt.month).astype("int32[pyarrow]"))
    assert set(built["dep_month"]) == set(range(201301, 201313))


def test_a_flight_that_landed_before_it_was_to_leave_is_not_in_its_own_history(table, flight, noon):
    rows = [flight(noon, arr=noon - timedelta(minutes=5), delay=-125), flight(noon + timedelta(hours=1), flight=2)]
    built = features.build(table(schema.FLIGHTS, rows), table(schema.WEATHER, []), table(schema.PLANES, []))
    assert built["carrier_24h_landed"].tolist() == [0, 0]


def test_a_month_is_made_from_its_flights_those_before_its_weather_and_all_planes():
    parts = features.parts({201301: "jan", 201302: "feb", 201304: "apr"}, {201301: "cold", 201303: "mild"}, "planes")
    assert (parts.by, dict(parts.within)) == ("dep_month", {"feature_version": features.version()})
    assert {month: list(inputs.values()) for month, inputs in parts.made_from.items()} == {
        201301: ["jan", "none", "cold", "planes"],
        201302: ["feb", "jan", "none", "planes"],
        201304: ["apr", "none", "none", "planes"],
    }


def test_months_are_told_by_reason():
    told = months.table({201301: "new", 201302: "flights changed", 201303: "new"})
    assert told.to_dict("records") == [
        {"why": "new", "months": 2, "first": 201301, "last": 201303},
        {"why": "flights changed", "months": 1, "first": 201302, "last": 201302},
    ]
    assert months.table({}).empty


def test_features_are_read_in_one_version_by_default_that_of_the_code_at_hand():
    assert features.of_version("abc") == [("feature_version", "=", "abc")]
    assert features.of_version() == [("feature_version", "=", features.version())]


def imported(module: str) -> set[str]:
    """The modules of the example that a module imports, and those that they import."""
    tree = ast.parse((Path(features.__file__).parent / f"{module}.py").read_text())
    found = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("flightdelay")
        for name in ([node.module.partition(".")[2]] if "." in node.module else [alias.name for alias in node.names])
    }
    return found.union(*(imported(name) for name in found))


def test_all_code_that_makes_features_is_in_their_version():
    assert len(features.version()) == 12
    makes_no_values = {"schema", "source", "versions"}
    assert {"features", *imported("features")} == {*features.CODE, *makes_no_values}


CODE = '''
"""What it is for."""

def late(delay, after=15):
    """Whether it is late."""
    return delay > after  # strictly
'''


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(CODE.replace("  # strictly", ""), id="a comment"),
        pytest.param(CODE.replace("Whether it is late.", "In words."), id="a docstring"),
        pytest.param(CODE.replace('    """Whether it is late."""\n', ""), id="no docstring"),
        pytest.param(CODE.replace("delay, after=15", "\n    delay,\n    after = 15,\n"), id="formatting"),
    ],
)
def test_what_does_nothing_does_not_change_the_version(tmp_path, same):
    assert digests(tmp_path, CODE) == digests(tmp_path, same)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(CODE.replace("15", "16"), id="a default"),
        pytest.param(CODE.replace(">", ">="), id="an operator"),
        pytest.param(CODE.replace("late(", "is_late("), id="a name"),
    ],
)
def test_what_does_something_changes_the_version(tmp_path, other):
    assert digests(tmp_path, CODE) != digests(tmp_path, other)


def test_other_columns_change_the_version(tmp_path):
    assert digests(tmp_path, CODE, schema.FEATURES) != digests(tmp_path, CODE, schema.FLIGHTS)


def digests(folder, code, table=schema.FEATURES):
    (folder / "code.py").write_text(code)
    return versions.digest([folder / "code.py"], table)


def test_a_body_of_text_alone_is_still_a_body():
    assert versions.meaning('class A(Exception):\n    """Says what it is."""\n') == "class A(Exception):\n    pass"
