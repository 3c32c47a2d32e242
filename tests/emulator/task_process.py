"""One task: a notebook in a process of its own, with what Databricks would have put into it.

    python -m emulator.task_process FOLDER

`FOLDER/order.json` says what to run; `values.json`, `error.json` and `executed.ipynb` are written beside it.
"""

import atexit
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from stagebook.execute.inprocess import run_cell
from stagebook.notebook.cells import is_runnable
from stagebook.notebook.read import load
from stagebook.standins import Dbutils, NotebookExit, Vault


class FileTaskValues:
    """Task values in a file, as others see them when the task has ended."""

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
    """Run the notebook; the exit status is 0 where it ended well."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import display

    order = json.loads((folder / "order.json").read_text())
    shell = InteractiveShell.instance()
    shell.user_ns["dbutils"] = Dbutils(
        widgets=order["parameters"],
        task_values=FileTaskValues(folder / "values.json", order["upstream"]),
        secrets=Vault(order["secrets"]),
        volumes=Path(order["volumes"]),
    )
    shell.user_ns["display"] = display
    if "SPARK_REMOTE" in os.environ:
        shell.user_ns["spark"] = _spark()
    notebook = load(Path(order["notebook"]))
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
    """The session, which a cluster gives each notebook; tables are allowed what Databricks' own Delta allows."""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    session.conf.set("spark.databricks.delta.allowArbitraryProperties.enabled", "true")
    atexit.register(session.stop)
    return session


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
