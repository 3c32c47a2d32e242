"""What a host imports, for which notebooks; and which runs may share one."""

import pytest

from stagebook.execute.host import client, preload, sameness
from stagebook.execute.host.client import Host, NoHost
from stagebook.notebook.outline import Cell, Outline


def of(*sources):
    return Outline(tuple(Cell("code", source) for source in sources))


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import pandas as pd, polars", ["pandas", "polars"]),
        ("from sklearn.ensemble import RandomForestClassifier", ["sklearn.ensemble"]),
        ("if x:\n    import mlflow.sklearn", ["mlflow.sklearn"]),
        ("%matplotlib inline\n!pip list\nimport pandas", ["pandas"]),
        ("from . import mine\nimport torch, mine", []),  # not known to survive a fork
        ("import matplotlib.pyplot", []),  # looks for its notebook when imported
        ("this is not Python", []),
    ],
)
def test_known_libraries_are_found_in_the_cells(source, names):
    assert preload.modules([of(source)]) == names


def test_they_come_in_the_order_of_the_stages_each_once():
    assert preload.modules([of("import polars", "import pandas"), of("import mlflow, polars")]) == ["polars", "pandas", "mlflow"]  # fmt: skip


def test_the_kit_stands_for_what_it_imports_when_it_is_called():
    assert preload.modules([of("from stagebook import stage")]) == list(preload.LAZILY)


def test_nothing_of_the_project_is_preloaded():
    assert not {name.partition(".")[0] for name in (*preload.BASE, *preload.LAZILY)} & {"stagebook", "flightdelay"}


@pytest.mark.parametrize("name", ["PYTHONPATH", "OMP_NUM_THREADS", "MPLBACKEND", "HOME", "TZ", "LD_LIBRARY_PATH", "PATH", "SOME_LIBRARY_CONFIG"])  # fmt: skip
def test_a_variable_that_an_import_may_look_at_makes_another_host(name):
    assert sameness.key({"A": "b", name: "1"}) != sameness.key({"A": "b", name: "2"})


@pytest.mark.parametrize("name", ["STAGEBOOK_CONTEXT", "PWD", "PYTEST_CURRENT_TEST", "MLFLOW_TRACKING_URI"])
def test_a_variable_of_a_run_does_not(name):
    assert sameness.key({"A": "b", name: "1"}) == sameness.key({"A": "b", name: "2"})


def test_where_there_are_no_hosts_none_is_asked_for(monkeypatch):
    monkeypatch.setattr(client, "SUPPORTED", False)
    monkeypatch.setattr(client.sameness, "key", lambda environment: pytest.fail("it looks at what only Linux has"))
    assert Host.there({}) is None
    with pytest.raises(NoHost, match="Linux"):
        Host.of({}, [])
