"""Runs one task: a notebook in a process of its own, with `dbutils`, `display` and `spark` as on Databricks.

    python -m emulator.task_process FOLDER

`FOLDER/attempt.json` says what to run; `values.json`, `error.json` and `executed.ipynb` are written beside it.
"""

import atexit
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from stagebook.dbutils import Dbutils, MappingSecrets, NotebookExit
from stagebook.executor.in_process import run_cell
from stagebook.notebooks.cells import is_runnable
from stagebook.notebooks.read import load


class FileTaskValues:
    """Task values in a file, which the workspace reads when the task has ended."""

    def __init__(self, file: Path, upstream: Mapping[str, Mapping[str, Any]]) -> None:
        self._file = file
        self._upstream = upstream
        self._own: dict[str, Any] = {}

    def put(self, key: str, value: Any) -> None:
        self._own[key] = value
        self._file.write_text(json.dumps(self._own))

    def of(self, task: str) -> Mapping[str, Any] | None:
        return self._upstream.get(task)


def main(folder: Path) -> int:
    """Run the notebook; the exit status is 0 if it succeeded."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import display

    attempt = json.loads((folder / "attempt.json").read_text())
    shell = InteractiveShell.instance()
    shell.user_ns["dbutils"] = Dbutils(
        widgets=attempt["parameters"],
        task_values=FileTaskValues(folder / "values.json", attempt["upstream"]),
        secrets=MappingSecrets(attempt["secrets"]),
        volumes=Path(attempt["volumes"]),
    )
    shell.user_ns["display"] = display
    if "SPARK_REMOTE" in os.environ:
        shell.user_ns["spark"] = _spark()
    notebook = load(Path(attempt["notebook"]))
    error = _run(shell, notebook)
    nbformat.write(notebook, folder / "executed.ipynb")
    if error is None:
        return 0
    (folder / "error.json").write_text(json.dumps({"error": f"{type(error).__name__}: {error}"}))
    return 1


def _run(shell: Any, notebook: Any) -> BaseException | None:
    for cell in filter(is_runnable, notebook.cells):
        error = run_cell(shell, cell)
        if isinstance(error, NotebookExit):
            return None
        if error is not None:
            return error
    return None


def _spark() -> Any:
    """A Spark session, as a cluster gives each notebook one; its Delta tables accept any properties, as on Databricks."""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    session.conf.set("spark.databricks.delta.allowArbitraryProperties.enabled", "true")
    atexit.register(session.stop)
    return session


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
