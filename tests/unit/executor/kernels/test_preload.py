"""What a fork server imports, for which notebooks; and which runs may share one."""

import pytest

from stagebook.executor.kernels import compatibility, fork_server, preload
from stagebook.executor.kernels.fork_server import ForkServer, ForkServerUnavailable
from stagebook.notebooks.outline import Cell, Outline


def outline(*sources):
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
def test_fork_safe_libraries_that_the_cells_import_are_preloaded(source, names):
    assert preload.modules_to_preload([outline(source)]) == names


def test_libraries_are_preloaded_once_in_the_order_of_the_stages():
    assert preload.modules_to_preload([outline("import polars", "import pandas"), outline("import mlflow, polars")]) == ["polars", "pandas", "mlflow"]  # fmt: skip


def test_a_notebook_that_imports_the_kit_needs_what_the_kit_imports_lazily():
    assert preload.modules_to_preload([outline("from stagebook import stage")]) == list(preload.LAZY_IMPORTS)


def test_nothing_of_the_project_is_preloaded():
    assert not {name.partition(".")[0] for name in (*preload.BASE, *preload.LAZY_IMPORTS)} & {
        "stagebook",
        "flightdelay",
    }


@pytest.mark.parametrize("name", ["PYTHONPATH", "OMP_NUM_THREADS", "MPLBACKEND", "HOME", "TZ", "LD_LIBRARY_PATH", "PATH", "SOME_LIBRARY_CONFIG"])  # fmt: skip
def test_a_variable_that_an_import_may_look_at_needs_another_fork_server(name):
    assert compatibility.key({"A": "b", name: "1"}) != compatibility.key({"A": "b", name: "2"})


@pytest.mark.parametrize("name", ["STAGEBOOK_CONTEXT", "PWD", "PYTEST_CURRENT_TEST", "MLFLOW_TRACKING_URI"])
def test_a_variable_of_a_run_does_not_need_another_fork_server(name):
    assert compatibility.key({"A": "b", name: "1"}) == compatibility.key({"A": "b", name: "2"})


def test_where_there_are_no_fork_servers_none_is_looked_for(monkeypatch):
    monkeypatch.setattr(fork_server, "SUPPORTED", False)
    monkeypatch.setattr(compatibility, "key", lambda environment: pytest.fail("it looks at what only Linux has"))
    assert ForkServer.find({}) is None
    with pytest.raises(ForkServerUnavailable, match="Linux"):
        ForkServer.start({}, [])
