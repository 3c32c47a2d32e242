"""Waiting for the tracking database: who waits, and what is said when it does not come."""

from threading import Thread
from types import SimpleNamespace

import pytest

from stagebook.code.cache import SourceCache
from stagebook.execute.reusing import Results
from stagebook.run.clerk import Prepared


class Clerk:
    """Answers, or not; counts what it is asked."""

    def __init__(self, answer):
        self.answer, self.told, self.waited = answer, [], 0

    def tell(self, word):
        self.told.append(word)
        return len(self.told)

    def wait_for(self, call, seconds):
        self.waited += 1
        return self.answer


@pytest.mark.parametrize(("answer", "warnings"), [({}, 0), (None, 1)])
def test_however_many_wait_the_clerk_is_asked_once_and_a_warning_comes_once(answer, warnings):
    clerk, said = Clerk(answer), []
    tracking = Prepared(clerk, said.append, wanted=True)
    waiting = [Thread(target=tracking.wait) for _ in range(5)]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join()
    assert (clerk.told, clerk.waited, len(said)) == (["prepare"], 1, warnings)


def test_where_nothing_runs_nothing_is_prepared_and_nobody_waits():
    clerk = Clerk(None)
    Prepared(clerk, pytest.fail, wanted=False).wait()
    assert (clerk.told, clerk.waited) == ([], 0)


@pytest.mark.parametrize(
    ("cell", "library", "waits"),
    [
        ("from stagebook import stage\nstage.register_model(1, example=2, metrics={})", "", False),
        ("import helper", "import pandas", False),
        ("import mlflow", "", True),
        ("def late():\n    from mlflow import log_metric", "", True),
        ("import helper", "def late():\n    import mlflow.sklearn", True),
        ("!mlflow runs list", "", True),
        ("import importlib\nname = input()\nimportlib.import_module(name)", "", True),
        ("import helper", "import importlib, os\nimportlib.import_module(os.environ['X'])", True),
    ],
)
def test_only_a_notebook_that_may_call_mlflow_by_itself_waits(tmp_path, cell, library, waits):
    notebook = tmp_path / "stage.py"
    notebook.write_text(f"# %%\n{cell}\n")
    (tmp_path / "helper.py").write_text(library)
    results = Results(None, None, (), {}, SourceCache(None))
    assert results.may_call_mlflow(SimpleNamespace(notebook=notebook)) is waits
