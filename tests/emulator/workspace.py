"""Emulates a workspace in a folder: notebooks in processes of their own, volumes, a model registry, secrets."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from emulator.plugins import DATABASE, ENTRY_POINTS
from emulator.schedule import Attempt, AttemptResult
from stagebook.notebooks.databricks import is_databricks_source

TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Workspace:
    """Runs notebooks. The files of an attempt are in `folder/tasks`, below the attempt's name.

    `spark` is the address of a Spark Connect server, and `token` its password; `packages` are folders of Python
    packages that all clusters have installed.
    """

    folder: Path
    spark: str | None = None
    token: str | None = None
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    packages: tuple[Path, ...] = ()

    @property
    def volumes(self) -> Path:
        """The folder for `/Volumes`."""
        return self.folder / "Volumes"

    @property
    def database(self) -> str:
        """The database of the tracking server and of Unity Catalog's registry."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def run(self, attempt: Attempt) -> AttemptResult:
        """Execute a notebook in a fresh process, as a cluster gives each task a Python of its own."""
        folder = self.folder / "tasks" / attempt.name
        folder.mkdir(parents=True)
        if fault := _notebook_fault(attempt.notebook):
            return AttemptResult(error=fault)
        settings: dict[str, Any] = {**asdict(attempt), "notebook": str(attempt.notebook)}
        settings |= {"secrets": self.secrets, "volumes": str(self.volumes)}
        (folder / "attempt.json").write_text(json.dumps(settings))
        command = [sys.executable, "-m", "emulator.task_process", str(folder)]
        with (folder / "output.txt").open("w") as output:
            try:
                code = subprocess.run(
                    command,
                    cwd=attempt.notebook.parent,
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=attempt.timeout_seconds,
                ).returncode
            except subprocess.TimeoutExpired:
                return AttemptResult(_read(folder / "values.json"), timed_out=True)
        error = None if code == 0 else _read(folder / "error.json").get("error", f"its process ended with {code}")
        return AttemptResult(_read(folder / "values.json"), error)

    def _environment(self) -> dict[str, str]:
        """The variables of a cluster, without those of this machine's Stagebook and MLflow."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("STAGEBOOK_", "MLFLOW_"))
        }
        variables = {
            "PYTHONPATH": os.pathsep.join(map(str, [*self.packages, TESTS, self._plugins()])),
            DATABASE: self.database,
            "PYSPARK_PYTHON": sys.executable,
            "STAGEBOOK_VOLUMES": str(self.volumes),
            "MLFLOW_TRACKING_URI": "databricks",
        }
        if self.spark and self.token:
            variables |= {"SPARK_REMOTE": self.spark, "SPARK_CONNECT_AUTHENTICATE_TOKEN": self.token}
        return inherited | variables

    def _plugins(self) -> Path:
        """A folder that looks like an installed package, so that MLflow finds its plug-ins."""
        folder = self.folder / "plugins"
        package = folder / "emulator-1.dist-info"
        if not package.exists():
            package.mkdir(parents=True)
            (package / "METADATA").write_text("Metadata-Version: 2.1\nName: emulator\nVersion: 1\n")
            (package / "entry_points.txt").write_text(ENTRY_POINTS)
        return folder


def _notebook_fault(path: Path) -> str | None:
    """Why Databricks would not run a file as a notebook, or None."""
    if not path.is_file():
        return f"notebook {path} not found"
    if path.suffix == ".ipynb" or is_databricks_source(path.read_text(encoding="utf-8")):
        return None
    return f"expected a notebook for notebook_task but got a file: {path}"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}
