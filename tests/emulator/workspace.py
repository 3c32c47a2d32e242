"""A workspace in a folder: notebooks in processes of their own, volumes, a model registry, secrets."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from emulator.plugins import DATABASE, ENTRY_POINTS
from emulator.schedule import Ended, Order
from stagebook.notebook.databricks_source import is_databricks_source

TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Workspace:
    """Runs notebooks. What a process leaves is in `folder`, under the name of its order.

    `spark` is the address of a Spark Connect server, and `token` its password; `packages` are folders of Python
    packages that clusters have installed.
    """

    folder: Path
    spark: str | None = None
    token: str | None = None
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    packages: tuple[Path, ...] = ()

    @property
    def volumes(self) -> Path:
        """What `/Volumes` stands for."""
        return self.folder / "Volumes"

    @property
    def database(self) -> str:
        """What the tracking server and Unity Catalog's registry keep."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def run(self, order: Order) -> Ended:
        """Execute a notebook in a fresh process, as a cluster gives each task a Python of its own."""
        own = self.folder / "tasks" / order.name
        own.mkdir(parents=True)
        if fault := _no_notebook(order.notebook):
            return Ended(error=fault)
        told: dict[str, Any] = {**asdict(order), "notebook": str(order.notebook), "secrets": self.secrets}
        told["volumes"] = str(self.volumes)
        (own / "order.json").write_text(json.dumps(told))
        command = [sys.executable, "-m", "emulator.task_process", str(own)]
        with (own / "output.txt").open("w") as output:
            try:
                code = subprocess.run(
                    command,
                    cwd=order.notebook.parent,
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=order.timeout_seconds,
                ).returncode
            except subprocess.TimeoutExpired:
                return Ended(_read(own / "values.json"), timed_out=True)
        error = None if code == 0 else _read(own / "error.json").get("error", f"its process ended with {code}")
        return Ended(_read(own / "values.json"), error)

    def _environment(self) -> dict[str, str]:
        """Nothing of this machine's Stagebook; what a cluster has instead."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("STAGEBOOK_", "MLFLOW_"))}
        own = {
            "PYTHONPATH": os.pathsep.join(map(str, [*self.packages, TESTS, self._plugins()])),
            DATABASE: self.database,
            "PYSPARK_PYTHON": sys.executable,
            "STAGEBOOK_VOLUMES": str(self.volumes),
            "MLFLOW_TRACKING_URI": "databricks",
        }
        if self.spark and self.token:
            own |= {"SPARK_REMOTE": self.spark, "SPARK_CONNECT_AUTHENTICATE_TOKEN": self.token}
        return kept | own

    def _plugins(self) -> Path:
        """A folder that Python takes for an installed package, by which MLflow finds its plug-ins."""
        folder = self.folder / "plugins"
        package = folder / "emulator-1.dist-info"
        if not package.exists():
            package.mkdir(parents=True)
            (package / "METADATA").write_text("Metadata-Version: 2.1\nName: emulator\nVersion: 1\n")
            (package / "entry_points.txt").write_text(ENTRY_POINTS)
        return folder


def _no_notebook(path: Path) -> str | None:
    """Why a file cannot be run as a notebook: it is none to Databricks."""
    if not path.is_file():
        return f"notebook {path} not found"
    if path.suffix == ".ipynb" or is_databricks_source(path.read_text(encoding="utf-8")):
        return None
    return f"expected a notebook for notebook_task but got a file: {path}"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}
