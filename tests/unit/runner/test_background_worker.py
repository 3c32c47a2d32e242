"""The background worker as the runner has it: forked from a fork server or started afresh, and no task is lost."""

import os
import signal
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from fixtures.processes import wait_until

from stagebook.executor.kernels import fork_server
from stagebook.executor.kernels.fork_server import ForkServer
from stagebook.model.pipeline import Tracking
from stagebook.runner.background_worker import BackgroundWorker


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("STAGEBOOK_STATE_DIR", str(tmp_path / "state"))
    yield ForkServer.start(dict(os.environ), ["statistics"])
    fork_server.stop()


@pytest.fixture
def start_worker(tmp_path):
    """`start_worker(server)` is that of a run with one executed notebook, which has no page yet."""
    notebook = tmp_path / "run/stages/a/attempt-1.ipynb"
    notebook.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(), notebook)
    tracking = Tracking(f"sqlite:///{tmp_path}/mlflow.db", "experiment", "model")
    pipeline = SimpleNamespace(tracking=tracking, notifications={}, paths=SimpleNamespace(tables=tmp_path / "tables"))
    return lambda server: BackgroundWorker(pipeline, tmp_path / "run", server)


@pytest.fixture
def page(tmp_path):
    return tmp_path / "run/stages/a/attempt-1.html"


def children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children() if child.status() != psutil.STATUS_ZOMBIE]


def server_pid() -> int:
    return wait_until(fork_server.running_servers)[0]["pid"]


def test_it_is_forked_from_the_server_and_answers_what_was_asked_before_it_had_started(server, start_worker, page):
    own_children = children(os.getpid())
    with start_worker(server) as worker:
        assert worker.call("render", 30) == {}
        assert page.exists()
        assert len(children(server_pid())) == 1
        assert set(children(os.getpid())) - set(own_children) <= {server_pid()}
    assert children(server_pid()) == []


@pytest.mark.parametrize("is_offered", [False, True])
def test_without_a_server_that_answers_it_starts_afresh_and_does_its_tasks(server, start_worker, page, is_offered):
    pid = server_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        with start_worker(server if is_offered else None) as worker:
            worker.post("render")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert page.exists()


def test_detached_it_goes_on_after_the_run(server, start_worker, page):
    with start_worker(server) as worker:
        worker.detach("render")
    wait_until(page.exists)
