import json
import os
import subprocess
import sys
import time

import pytest
from fixtures.processes import SLOW_SECONDS

from stagebook.errors import TrackingRefused, TrackingUnavailable
from stagebook.model.pipeline import Tracking
from stagebook.tracking import connection, database
from stagebook.tracking.connection import connected, public_uri, sqlite_file

SIX_PROCESSES = """
import json, os, sys
from pathlib import Path
import mlflow, mlflow.store.tracking.sqlalchemy_store  # imported, never used before the fork
from stagebook.model.pipeline import Tracking
from stagebook.model.record import RunRecord
from stagebook.tracking import sync
folder, children = Path(sys.argv[1]), []
for number in range(6):
    run_id = f"run-{number // 2}"
    if (child := os.fork()) == 0:
        tracking = Tracking(f"sqlite:///{folder}/warehouse/mlflow.db", "flights", "m")
        record = RunRecord(run_id=run_id, pipeline="p", started_at="2026-11-23T02:00:00+00:00")
        linked = sync.sync(record, tracking, folder / run_id, final=False)
        (folder / f"answer-{number}").write_text(json.dumps(linked))
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_six_processes_can_open_a_new_database_at_the_same_time(tmp_path):
    """Fault 22: of six processes that open a new sqlite file, five fail in its migrations."""
    subprocess.run([sys.executable, "-c", SIX_PROCESSES, str(tmp_path)], check=True, timeout=150)
    answers = [json.loads(path.read_text()) for path in tmp_path.glob("answer-*")]
    assert len(answers) == 6
    assert len({answer["experiment_id"] for answer in answers}) == 1
    assert len({answer["run_id"] for answer in answers}) == 3  # two processes sent each run


def test_is_prepared_does_not_import_mlflow(tracking):
    database.prepare(tracking)
    code = (
        "import sys; from stagebook.tracking import database; from stagebook.model.pipeline import Tracking;"
        f"print(database.is_prepared(Tracking({tracking.uri!r}, 'flights', 'm')), 'mlflow' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["True", "False"]


def test_is_prepared_depends_on_the_database_the_mlflow_version_and_the_experiment(
    tracking, database_file, monkeypatch
):
    assert not database.is_prepared(tracking)
    database.prepare(tracking)
    assert database.is_prepared(tracking)
    assert not database.is_prepared(Tracking(tracking.uri, "other", "m"))
    with monkeypatch.context() as patch:
        patch.setattr(database, "version", lambda package: "99.0")
        assert not database.is_prepared(tracking)
    database_file.unlink()
    assert not database.is_prepared(tracking)


def test_artifacts_go_to_the_configured_folder(tracking, tmp_path):
    database.prepare(tracking)
    with connected(tracking) as client:
        experiment = client.get_experiment_by_name("flights")
    assert experiment.artifact_location == (tmp_path / "ml artifacts").as_uri()


@pytest.mark.slow
def test_an_older_database_is_copied_and_migrated(tmp_path):
    from alembic import command
    from mlflow.store.db import utils
    from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase

    file = tmp_path / "mlflow.db"
    tracking = Tracking(f"sqlite:///{file}", "flights", "m")
    engine = utils.create_sqlalchemy_engine(tracking.uri)
    InitialBase.metadata.create_all(engine)
    command.upgrade(utils._get_alembic_config(tracking.uri), "bd07f7e963c5")
    engine.dispose()
    database.prepare(tracking)
    assert [path.name for path in tmp_path.glob("*.before-mlflow-*")] == [
        f"mlflow.db.before-mlflow-{database.version('mlflow')}"
    ]
    with connected(tracking) as client:
        assert client.get_experiment_by_name("flights") is not None


def test_a_deleted_experiment_is_refused_with_the_command_that_restores_it(tracking):
    database.prepare(tracking)
    with connected(tracking) as client:
        client.delete_experiment(database.experiment_id(client, tracking))
    message = r"the experiment 'flights' was deleted\.\n.*mlflow experiments restore -x \d+"
    with pytest.raises(TrackingRefused, match=message), connected(tracking) as client:
        database.experiment_id(client, tracking)


def test_an_address_without_a_server_is_reported_at_once(free_port):
    tracking = Tracking(f"http://ci:secret@127.0.0.1:{free_port}", "flights", "m")
    start = time.monotonic()
    with pytest.raises(TrackingUnavailable, match=rf"http://127.0.0.1:{free_port} does not answer") as caught:
        database.prepare(tracking)
    assert time.monotonic() - start < SLOW_SECONDS, "MLflow itself tries for four minutes"
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_a_server_that_never_answers_is_given_up_within_seconds(free_port, monkeypatch):
    """Fault 21: one call to a dead server blocks for four minutes."""
    import socket

    assert connection.PROBE_SECONDS + 2 * connection.ANSWER_SECONDS <= 10  # a call is tried twice
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 1)
    with socket.create_server(("127.0.0.1", free_port)):
        start = time.monotonic()
        with pytest.raises(TrackingUnavailable, match="does not answer"):
            database.prepare(Tracking(f"http://127.0.0.1:{free_port}", "flights", "m"))
        assert time.monotonic() - start < SLOW_SECONDS


def test_the_environment_is_restored(tracking, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "17")
    before = dict(os.environ)
    with connected(tracking):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "17"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:////abs/mlflow.db", "/abs/mlflow.db"),
        ("sqlite:///rel/mlflow.db", "rel/mlflow.db"),
        ("sqlite:///a.db?timeout=5", "a.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("http://host", None),
        ("databricks", None),
    ],
)
def test_only_the_uri_of_a_sqlite_file_names_a_file(uri, file):
    path = sqlite_file(uri)
    assert (None if path is None else str(path)) == file


@pytest.mark.parametrize(
    ("uri", "public"),
    [
        ("https://u:p@host:1/x", "https://host:1/x"),
        ("https://host/x", "https://host/x"),
        ("sqlite:////a@b/c.db", "sqlite:////a@b/c.db"),
        ("databricks", "databricks"),
    ],
)
def test_an_address_is_shown_without_its_password(uri, public):
    assert public_uri(uri) == public
