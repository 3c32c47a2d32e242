"""What a stage costs besides its own work: forked kernels against fresh ones, and many cells against bare nbclient."""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from side_by_side import Line, compare, in_a_process, lines

from stagebook.executor.job import Job
from stagebook.executor.kernels import fork_server, preload
from stagebook.executor.kernels.fork_server import ForkServer
from stagebook.executor.supervise import run_attempt

IMPORTS = "import pandas, sklearn.ensemble, mlflow, deltalake"
NBCLIENT = """
import nbformat, resource, time
from nbclient import NotebookClient
node = nbformat.read(values["notebook"], as_version=4)
NotebookClient(node).execute()
nbformat.write(node, values["output"])
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": used.ru_utime + used.ru_stime}))
"""
ENGINE = """
import io, resource
from stagebook.executor import worker
from stagebook.executor.job import Job
worker._watch_stdin = lambda execution: None
notebook, output = values["notebook"], values["output"]
job = Job(notebook, output, str(values["folder"]), {}, {}, {"notebook": notebook})
assert worker.execute(job, io.StringIO()).status == "succeeded"
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": used.ru_utime + used.ru_stime}))
"""


def run(folder: Path, *, quick: bool) -> Iterator[Line]:
    """Wall seconds of an attempt with imports only; CPU seconds of the process that executes many cells."""
    yield from _overhead(rounds=2 if quick else 7)
    for cells in (200,) if quick else (200, 400, 800):
        yield from _cells(cells, rounds=1 if quick else 3)


def _overhead(rounds: int) -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="stagebook-kernels-") as name:
        path = _notebook(Path(name) / "imports.ipynb", [IMPORTS])
        server = ForkServer.start(dict(os.environ), [*preload.LAZY_IMPORTS])
        attempts = {"fresh": lambda: _attempt(path, None), "forked": lambda: _attempt(path, server)}
        _attempt(path, server)
        while any(facts.get("to_import") for facts in fork_server.running_servers()):
            time.sleep(0.2)
        return compare("kernels", IMPORTS, attempts, rounds=rounds)


def _attempt(path: Path, server: ForkServer | None) -> None:
    job = Job(str(path), str(path.with_suffix(".out.ipynb")), str(path.parent), {}, {}, {"notebook": path.name})
    log = path.with_suffix(".log")
    run_attempt(job, log=log, stop=threading.Event(), progress=lambda _: None, fork_server=server)
    assert server is None or "kernel: cold" not in log.read_text(encoding="utf-8"), log.read_text(encoding="utf-8")


def _cells(cells: int, rounds: int) -> list[Line]:
    with tempfile.TemporaryDirectory(prefix="stagebook-cells-") as name:
        sources = ["print('x' * 5_000_000)", *(f"x = {number}" for number in range(cells - 1))]
        path = _notebook(Path(name) / "cells.ipynb", sources)
        values = {"notebook": path, "output": path.with_suffix(".out.ipynb"), "folder": path.parent}
        cpu: dict[str, list[float]] = {"nbclient": [], "stagebook": []}
        for _ in range(rounds):
            for variant, code in (("nbclient", NBCLIENT), ("stagebook", ENGINE)):
                cpu[variant].append(in_a_process(code, **values)["seconds"])
        seconds = {variant: sorted(durations)[len(durations) // 2] for variant, durations in cpu.items()}
        return lines("cells, CPU", f"{cells} cells, one of them prints 5 MB", seconds)


def _notebook(path: Path, sources: list[str]) -> Path:
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    node.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(node, path)
    return path
