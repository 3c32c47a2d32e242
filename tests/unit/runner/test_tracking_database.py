"""Waiting for the tracking database: who waits, and what is said when it does not come."""

from threading import Thread

import pytest

from stagebook.cache.sources.store import SourceCache
from stagebook.cache.stage_code import CodeReader
from stagebook.runner.background_worker import TrackingDatabase


class Worker:
    """Answers, or not; counts what it is asked."""

    def __init__(self, answer, is_hurried=False):
        self.answer, self.posted, self.waits, self.is_hurried = answer, [], 0, is_hurried

    def post(self, task):
        self.posted.append(task)
        return len(self.posted)

    def wait_for(self, call, seconds):
        self.waits += 1
        return self.answer


@pytest.mark.parametrize(("answer", "warnings"), [({}, 0), (None, 1)])
def test_however_many_wait_the_worker_is_asked_once_and_a_warning_comes_once(answer, warnings):
    worker, warned = Worker(answer), []
    tracking = TrackingDatabase(worker, warned.append, is_needed=True)
    threads = [Thread(target=tracking.wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (worker.posted, worker.waits, len(warned)) == (["prepare"], 1, warnings)


def test_a_run_that_is_being_stopped_is_not_told_that_tracking_does_not_come():
    TrackingDatabase(Worker(None, is_hurried=True), pytest.fail, is_needed=True).wait()


def test_where_nothing_runs_nothing_is_prepared_and_nobody_waits():
    worker = Worker(None)
    TrackingDatabase(worker, pytest.fail, is_needed=False).wait()
    assert (worker.posted, worker.waits) == ([], 0)


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
    assert CodeReader(SourceCache(None)).may_call_mlflow(notebook) is waits
