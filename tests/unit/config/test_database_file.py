"""A tracking address that cannot be a database is found before anything starts."""

import pytest

from stagebook.config.database_file import database_problem
from stagebook.config.flags import Flags
from stagebook.config.load import load
from stagebook.errors import ConfigError

CASES = {
    "sqlite:////proc/mlflow.db": "/proc is no folder on a disk",
    "sqlite:////sys/x/mlflow.db": "/sys is no folder on a disk",
    "sqlite:////proc/self/fd/x/mlflow.db": "no folder on a disk",
    "sqlite:////dev/null": "/dev/null is no ordinary file",
    "sqlite:////dev/null/mlflow.db": "/dev/null is no folder",
    "sqlite:///folder": "folder is a folder, not a file",
    "sqlite:///text.txt": "text.txt is no sqlite database",
    "sqlite:///text.txt/mlflow.db": "text.txt is no folder",
    "sqlite:///empty.db": None,
    "sqlite:///new/mlflow.db": None,
    "sqlite:///new.db?timeout=2": None,
    "sqlite:///:memory:": None,
    "http://localhost:5000": None,
    "databricks": None,
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text("no database at all")
    (tmp_path / "empty.db").write_text("")
    return tmp_path


@pytest.mark.parametrize(("uri", "problem"), CASES.items(), ids=CASES)
def test_what_cannot_be_a_database_is_told(folder, uri, problem):
    told = database_problem(uri, folder)
    assert told is None if problem is None else problem in told


def test_it_is_a_finding_with_its_place(folder, notebook, params, monkeypatch):
    notebook("a", "1")
    params("dev", "pipeline: demo\nstages: {a: {notebook: notebooks/a.ipynb}}\ntracking: {uri: 'sqlite:////proc/x.db'}")
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match=r"dev.yaml:3: tracking.uri: /proc/x.db cannot be made"):
        load(("dev",), Flags(), {}, folder)
