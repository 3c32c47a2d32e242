"""Whatever happens to MLflow takes a run seconds at most, loses nothing, and attaches nothing to another run."""

import socket
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stagebook.errors import TrackingUnavailable
from stagebook.model.pipeline import Tracking
from stagebook.runner import background_process
from stagebook.runner.background_process import BackgroundTasks
from stagebook.runner.event_sinks import EventSinks
from stagebook.tracking import database
from stagebook.tracking.links import Links
from stagebook.tracking.sync import sync


class Broken(BaseHTTPRequestHandler):
    def answer(self):
        self.server.asked += 1
        if self.server.hangs.wait(0 if self.server.status else 60):
            return
        self.send_response(self.server.status)
        self.end_headers()

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


@pytest.fixture
def broken_server():
    """A server that answers every call with its `status`; with None it does not answer."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Broken)
    server.daemon_threads, server.asked, server.status, server.hangs = True, 0, 500, threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.hangs.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """`tasks(uri)`: the tasks of a background worker, in this process."""
    for name, value in background_process.HURRIED.items():
        monkeypatch.setenv(name, value)

    def make(uri):
        sinks = EventSinks(Tracking(uri, "flights", "m"), {}, tmp_path / "tables")
        return BackgroundTasks({"run_folder": str(tmp_path / "runs/r"), "sinks": sinks.to_json()})

    return make


@pytest.mark.parametrize("status", [500, 503, None], ids=str)
def test_a_server_that_fails_or_hangs_is_asked_once_in_a_run(broken_server, tasks, status):
    import mlflow.store.tracking.rest_store  # noqa: F401 - not what is measured

    broken_server.status = status
    background = tasks(f"http://127.0.0.1:{broken_server.server_port}")
    began = time.monotonic()
    with pytest.raises(TrackingUnavailable, match="does not answer"):
        background.prepare()
    asked = broken_server.asked
    for task in (background.sync, background.sync):
        with pytest.raises(TrackingUnavailable, match="does not answer"):
            task()
    [problem] = background.finish()["problems"]
    assert problem.startswith("tracking: TrackingUnavailable: ")
    assert (broken_server.asked, asked) == (1, 1)
    assert time.monotonic() - began < 60, "a call of MLflow takes four minutes"


def test_a_server_that_refuses_connections_is_not_asked_again(tasks, free_port):
    background = tasks(f"http://127.0.0.1:{free_port}")
    with pytest.raises(TrackingUnavailable):
        background.prepare()
    with socket.create_server(("127.0.0.1", free_port)) as server:
        server.setblocking(False)
        assert background.finish()["problems"]
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_locked_database_is_given_up_after_seconds_and_sent_later(tracking, database_file, record, run_dir):
    database.prepare(tracking)
    with closing(sqlite3.connect(database_file, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingUnavailable, match="database is locked"):
            sync(record, tracking, run_dir, final=True)
    assert sync(record, tracking, run_dir, final=True)["run_id"]


def test_a_lock_that_is_held_without_progress_is_not_waited_for(tmp_path, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr(database, "STALLED_SECONDS", 0.3)
    stalled = pytest.raises(TrackingUnavailable, match="held by another process, which does not go on")
    with FileLock(tmp_path / "mlflow.db.lock"), stalled:
        database.prepare(Tracking(f"sqlite:///{tmp_path}/mlflow.db", "flights", "m"))


@pytest.mark.parametrize(
    "place", ["/proc/mlflow.db", "/proc/self/x/mlflow.db", "/sys/mlflow.db", "/dev/null/mlflow.db"]
)
def test_a_database_that_cannot_be_made_is_said_at_once(place):
    with pytest.raises(TrackingUnavailable, match=f"{place} cannot be made"):
        database.prepare(Tracking(f"sqlite:///{place}", "flights", "m"))


def test_a_run_is_not_attached_to_a_namesake_from_elsewhere(tracking, record, run_dir, tmp_path):
    elsewhere = replace(record, started_at="2026-11-22T02:00:00+00:00")
    first = sync(elsewhere, tracking, tmp_path / "elsewhere" / record.run_id, final=True)
    second = sync(record, tracking, run_dir, final=True)
    assert first["run_id"] != second["run_id"]
    assert set(first["stages"].values()).isdisjoint(second["stages"].values())
    (run_dir / "mlflow.json").unlink()
    assert sync(record, tracking, run_dir, final=True) == second, "its own is found again"


@pytest.mark.parametrize("damage", ["[3]", "{"])
def test_damaged_links_are_found_again_by_tag(tracking, record, run_dir, damage):
    linked = sync(record, tracking, run_dir, final=True)
    (run_dir / "mlflow.json").write_text(damage)
    assert sync(record, tracking, run_dir, final=True) == linked


@pytest.mark.parametrize("text", ["[3]", "{", '{"tracking_uri": 3}', '{"run_id": "m", "more": 1}', "\x00", "", "null"])
def test_links_that_are_damaged_are_none(tmp_path, text):
    (tmp_path / "mlflow.json").write_text(text)
    assert Links.load(tmp_path, "sqlite:///x") == Links("sqlite:///x")


def test_links_of_the_wrong_type_are_left_out(tmp_path):
    uri = "sqlite:///x"
    (tmp_path / "mlflow.json").write_text(
        '{"tracking_uri": "sqlite:///x", "run_id": 3, "stages": [1], "sent": {"a": "b"}}'
    )
    assert Links.load(tmp_path, uri) == Links(uri, sent={"a": "b"})


def test_what_an_accident_interrupted_is_sent_later_as_if_nothing_had_happened(
    tracking, record, run_dir, tmp_path, monkeypatch
):
    """MLflow dies at every call in turn; in the end it holds what an undisturbed run leaves."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from unit.tracking.test_sync import server_state

    undisturbed = replace(tracking, experiment="undisturbed")
    sync(record, undisturbed, tmp_path / "undisturbed", final=True)
    calls, limit = 0, 0

    def counted(method):
        def call(*words, **options):
            nonlocal calls
            calls += 1
            if calls > limit:
                raise MlflowException("it died")
            return method(*words, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("create_run", "log_batch", "log_inputs", "set_terminated", "log_artifact", "update_run"):
            patch.setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))
        for calls_until_death in range(1, 40):
            calls, limit = 0, calls_until_death
            try:
                sync(record, tracking, run_dir, final=True)
                break
            except TrackingUnavailable:
                continue
    states = [server_state(tracking), server_state(undisturbed)]
    for state in states:
        for run in state.values():
            run.pop("artifacts")
    assert states[0] == states[1]
