"""The clerk as the runner has it: forked from the kernel host, or started afresh, and nothing told is lost."""

import os
import signal
import time
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from fixtures.waiting import wait_until

from stagebook.execute.host import client
from stagebook.execute.host.client import Host
from stagebook.model.pipeline import Tracking
from stagebook.run.clerk import Clerk


@pytest.fixture
def host(monkeypatch, tmp_path):
    monkeypatch.setenv("STAGEBOOK_STATE_DIR", str(tmp_path / "state"))
    yield Host.of(dict(os.environ), ["statistics"])
    client.stop()


@pytest.fixture
def clerk(tmp_path):
    """`clerk(host)` is that of a run with one executed notebook, which has no page yet."""
    notebook = tmp_path / "run/stages/a/attempt-1.ipynb"
    notebook.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(), notebook)
    tracking = Tracking(f"sqlite:///{tmp_path}/mlflow.db", "experiment", "model")
    pipeline = SimpleNamespace(tracking=tracking, notifications={}, places=SimpleNamespace(tables=tmp_path / "tables"))
    return lambda host: Clerk(pipeline, tmp_path / "run", host)


def children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children() if child.status() != psutil.STATUS_ZOMBIE]


def test_it_is_forked_from_the_host_and_answers_what_was_asked_before_it_was_there(host, clerk, tmp_path):
    ours = children(os.getpid())
    found = clerk(host)
    assert found.ask("render", 30) == {}
    assert (tmp_path / "run/stages/a/attempt-1.html").exists()
    assert len(children(client.everyone()[0]["pid"])) == 1
    assert set(children(os.getpid())) - set(ours) <= {client.everyone()[0]["pid"]}
    found.close()
    assert children(client.everyone()[0]["pid"]) == []


@pytest.mark.parametrize("there", [False, True])
def test_without_a_host_that_answers_it_starts_afresh_and_does_what_it_was_told(host, clerk, tmp_path, there):
    hosts = wait_until(client.everyone)
    os.kill(hosts[0]["pid"], signal.SIGSTOP)
    try:
        found = clerk(host if there else None)
        found.tell("render")
        found.close()
    finally:
        os.kill(hosts[0]["pid"], signal.SIGCONT)
    assert (tmp_path / "run/stages/a/attempt-1.html").exists()


def test_left_alone_it_goes_on_after_the_run(host, clerk, tmp_path):
    started = time.monotonic()
    clerk(host).leave_alone("render")
    assert time.monotonic() - started < 2
    page = tmp_path / "run/stages/a/attempt-1.html"
    wait_until(page.exists)
