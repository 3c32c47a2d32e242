"""Every public name has a docstring with an example, and the examples do what they say."""

import doctest
import inspect
import json

import pandas as pd
import pyarrow as pa
import pytest
from sklearn.dummy import DummyClassifier

import stagebook
from stagebook import Column, Kind, PartitionSource, TableSchema, api, stage
from stagebook.model import tables as model_tables
from stagebook.stage import current, tables

PARAMS = "pipeline: example\ntables: {engine: pandas}\nstages: {hello: {notebook: notebooks/hello.py}}\n"
NOTEBOOK = """# %% tags=["parameters"]
rows: int = 1  # rows to count

# %%
from stagebook import stage

stage.glue("rows", rows)
"""
FLIGHTS = pd.DataFrame(
    {"carrier": ["AA", "B6", "AA"], "origin": ["JFK", "JFK", "EWR"], "distance_mi": [2475, 187, 719]}
)
AIRLINES = pd.DataFrame({"carrier": ["AA", "B6"], "airline": ["American", "JetBlue"]})


def schema(name: str, /, **kinds: Kind) -> TableSchema:
    return TableSchema(name, f"the {name}", tuple(Column(column, kind, column) for column, kind in kinds.items()))


def longest_flights(flights):
    """The longest distance from each origin."""
    return flights.groupby("origin", as_index=False)["distance_mi"].max()


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory):
    """A project with one stage and two tables, in which the examples run."""
    root = tmp_path_factory.mktemp("example")
    for path, text in {"params/dev.yaml": PARAMS, "notebooks/hello.py": NOTEBOOK}.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for variable in ("STAGEBOOK_CONTEXT", "STAGEBOOK_WAREHOUSE", "STAGEBOOK_RUNS_DIR"):
            patch.delenv(variable, raising=False)
        clear_caches()
        text, whole = Kind.STRING, Kind.INT64
        stage.write(FLIGHTS, schema("flights", carrier=text, origin=text, distance_mi=whole))
        stage.write(AIRLINES, schema("airlines", carrier=text, airline=text))
        stagebook.run("dev.yaml")
        yield root
    clear_caches()


def clear_caches() -> None:
    current.current.cache_clear()
    tables.warehouse.cache_clear()


NAMES = {
    "stagebook": stagebook,
    "stage": stage,
    "pd": pd,
    "pa": pa,
    "os": __import__("os"),
    "json": json,
    "DummyClassifier": DummyClassifier,
    "PartitionSource": PartitionSource,
    "AIRPORTS": schema("airports", code=Kind.STRING, name=Kind.STRING),
    "DISTANCES": schema("distances", origin=Kind.STRING, distance_mi=Kind.INT64),
    "longest_flights": longest_flights,
}

PUBLIC = {f"stage.{name}": getattr(stage, name) for name in stage.__all__} | {
    name: getattr(stagebook, name) for name in stagebook.__all__ if name not in ("__version__", "stage")
}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_a_docstring_whose_example_runs(name, capsys, monkeypatch):
    monkeypatch.delenv("WAREHOUSE_TOKEN", raising=False)
    monkeypatch.setattr("scrapbook.glue", lambda name, value: None)  # outside of a notebook it prints
    example = doctest.DocTestParser().get_doctest(
        inspect.getdoc(PUBLIC[name]) or "", {**NAMES, **vars(model_tables)}, name, None, None
    )
    assert example.examples, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(example)
    assert runner.summarize().failed == 0, capsys.readouterr().out


def test_what_is_public_is_what_the_package_lists():
    assert set(stagebook.__all__) <= set(dir(stagebook))
    assert stagebook.__version__
    assert stagebook.run is api.run
    with pytest.raises(AttributeError, match="module 'stagebook' has no attribute 'walk'"):
        _ = stagebook.walk
