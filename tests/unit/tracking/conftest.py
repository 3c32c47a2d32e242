"""A database migrated once per session and copied for each test, a real server on loopback, and a run's record."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.processes import HANG_SECONDS, wait_until

from stagebook.model.pipeline import Tracking
from stagebook.model.record import Attempt, AttemptStatus, RunRecord, RunStatus, StageRecord, StageStatus
from stagebook.tracking import database


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    database.prepare(Tracking(f"sqlite:///{folder}/mlflow.db", "template", "model"))
    return folder


@pytest.fixture
def database_file(tmp_path: Path, prepared_folder: Path) -> Path:
    """A copy of the migrated database with its marker, for one test."""
    for file in prepared_folder.glob("mlflow.db*"):
        shutil.copy(file, tmp_path / file.name)
    return tmp_path / "mlflow.db"


@pytest.fixture
def tracking(database_file: Path, tmp_path: Path) -> Tracking:
    return Tracking(f"sqlite:///{database_file}", "flights", "flight_delay", str(tmp_path / "ml artifacts"))


@pytest.fixture
def server(database_file: Path, tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """`server(port)` starts MLflow's own server on a port and waits until it answers."""
    processes: list[subprocess.Popen] = []

    def start(port: int) -> None:
        # What `mlflow server` starts, without its wrapper, which imports MLflow twice and takes 15 s.
        environment = {
            **os.environ,
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{database_file}",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(tmp_path / "served"),
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "mlflow.server.fastapi_app:app",
        ]
        with (tmp_path / "server.log").open("wb") as log:
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))
        wait_until(lambda: listens(port), process=processes[-1], details=(tmp_path / "server.log").read_text)

    yield start
    for process in processes:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=HANG_SECONDS)


def listens(port: int) -> bool:
    """Whether a server accepts connections at this port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def attempt(n: int, **changes: object) -> Attempt:
    base = Attempt(
        n,
        AttemptStatus.SUCCEEDED,
        f"2026-11-23T02:0{n}:00+00:00",
        f"stages/x/attempt-{n}.ipynb",
        finished_at=f"2026-11-23T02:0{n}:30+00:00",
        seconds=30.0,
    )
    return replace(base, **changes)


@pytest.fixture
def record() -> RunRecord:
    """A finished run of two stages, the second with two attempts, and a third stage that was reused."""
    return RunRecord(
        run_id="20261123T020000Z-7f3a",
        pipeline="flights",
        started_at="2026-11-23T02:00:00+00:00",
        finished_at="2026-11-23T02:05:00+00:00",
        status=RunStatus.SUCCEEDED,
        exit_code=0,
        parameters={"seed": 13, "gate": {"roc_auc": 0.6, "slices": ["origin"]}, "nothing": None, "note": "x" * 9000},
        git={"commit": "9f1c2ab34de5", "dirty": True},
        stages={
            "prep": StageRecord(
                "prep",
                "notebooks/01_prep.py",
                [],
                status=StageStatus.SUCCEEDED,
                engine="pandas",
                attempts=[attempt(1)],
                parameters={"year": 2013},
                outputs={"flights": {"version": 7, "rows": 336_776, "bytes": 9_412_377}},
                scraps={"rows": 336_776, "infinite": float("inf"), "text": "abc", "flag": True},
            ),
            "train": StageRecord(
                "train",
                "notebooks/02_train.py",
                ["prep"],
                status=StageStatus.SUCCEEDED,
                engine="pandas",
                attempts=[attempt(2, status=AttemptStatus.KERNEL_DIED), attempt(3)],
                inputs={"flights": 7, "weather": 2},
                scraps={"roc_auc": 0.68, "losses": {"log": 0.4, "brier": 0.15}, "gate": {"passed": True, "x": 1}},
            ),
            "deploy": StageRecord(
                "deploy", "notebooks/03.py", ["train"], status=StageStatus.REUSED, scraps={"auc": 0.5}
            ),
        },
    )


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The folder of that run, with executed notebooks and a report."""
    folder = tmp_path / "runs" / "20261123T020000Z-7f3a"
    for name in ("stages/train/attempt-1.ipynb", "stages/train/attempt-2.ipynb", "stages/train/attempt-2.html"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "report.html").write_text("report")
    (folder / "run.json").write_text("{}")
    (folder / "background.log").write_text("not for the server")
    return folder
