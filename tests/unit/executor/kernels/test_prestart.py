"""A kernel that is started before its stage's turn is used for that attempt or for none, and ends with the run."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from fixtures.processes import live_processes, wait_until

import stagebook
from stagebook.executor.job import Job, UpcomingAttempt
from stagebook.executor.kernels import fork_server
from stagebook.executor.kernels.prestart import Prestarter
from stagebook.executor.supervise import run_attempt
from stagebook.model.record import AttemptStatus as A

pytestmark = pytest.mark.slow

CREATION = "import os, psutil; print(psutil.Process().create_time(), os.environ['MARKER'], os.getcwd())"


def kernel_that_waits(folder: str) -> psutil.Process | None:
    """The kernel in this folder, once it has imported all that it is to import: then it starts its threads."""
    return next((process for process in live_processes(Path(folder)) if process.num_threads() > 2), None)


def is_idle(kernel: psutil.Process) -> bool:
    """Whether kernel and worker have talked to the end: for a while, neither has used the processor."""

    def cpu_seconds() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in (kernel, kernel.parent()))

    before = cpu_seconds()
    time.sleep(1.5)
    return cpu_seconds() == before


def text_of(path: Path) -> str:
    """What the cells of an executed notebook printed."""
    node = nbformat.read(path, as_version=4)
    return "".join(out.get("text", "") for cell in node.cells for out in cell.outputs)


@pytest.fixture
def stage(tmp_path, notebook):
    """`stage("cell", …)` writes a notebook; gives its upcoming attempt and, for its turn, the job."""

    def write(*cells, environment=None, parameters=None):
        source = notebook("stage", *cells)
        variables = {"MARKER": "before"} if environment is None else environment
        output = tmp_path / "out/stage.ipynb"
        job = Job(str(source), str(output), str(source.parent), parameters or {}, variables, {"notebook": str(source)})
        return UpcomingAttempt(job.notebook, job.folder, {"MARKER": "before"}), job

    return write


@pytest.fixture
def run(tmp_path):
    """`run(job, worker, server)` gives the outcome, what the cells printed, and the log."""

    def attempt(job, worker, server=None):
        log, stop = tmp_path / "out/log", threading.Event()
        outcome = run_attempt(job, log=log, stop=stop, progress=lambda _: None, fork_server=server, prestarted=worker)
        return outcome, text_of(Path(job.output)), log.read_text()

    return attempt


def test_a_kernel_that_waited_runs_the_attempt_it_was_started_for(module_server, stage, run, tmp_path):
    upcoming, job = stage("x = 1", f"print(x + 1, y); {CREATION}", parameters={"x": 41, "y": 2})
    with Prestarter(module_server) as prestarter:
        prestarter.start("stage", upcoming, tmp_path / "out/log")
        wait_until(lambda: kernel_that_waits(upcoming.folder))
        turn = time.time()
        outcome, printed, log = run(job, prestarter.take("stage", job.upcoming))
    assert outcome.status is A.SUCCEEDED
    assert "cold" not in log
    assert outcome.cpu_seconds > 0
    assert printed.splitlines()[0].endswith(" 2")
    created, variable, folder = printed.splitlines()[1].split()
    assert float(created) < turn
    assert (variable, folder) == ("before", upcoming.folder)
    assert live_processes(Path(upcoming.folder)) == []


def test_it_is_forked_after_all_imports_of_the_fork_server(own_server, stage, run, tmp_path):
    upcoming, job = stage("import sys; print('sqlite3' in sys.modules, 'pandas' in sys.modules)")
    with Prestarter(own_server(["sqlite3", "pandas"])) as prestarter:
        prestarter.start("stage", upcoming, tmp_path / "out/log")  # while the server is still being started
        wait_until(lambda: live_processes(Path(upcoming.folder)))
        assert run(job, prestarter.take("stage", job.upcoming))[1] == "True True\n"


def test_a_kernel_that_is_not_there_in_its_turn_is_not_waited_for(own_server, stage, run, tmp_path):
    upcoming, job = stage(CREATION)
    server = own_server(["pandas", "sklearn.ensemble"])
    with Prestarter(server) as prestarter:
        prestarter.start("stage", upcoming, tmp_path / "out/log")
        worker = prestarter.take("stage", job.upcoming)
        assert worker is None, "it does not wait until the server has imported these"
        assert run(job, worker, server)[0].status is A.SUCCEEDED


def test_kernels_are_for_their_attempt_alone_and_no_more_than_the_limit(module_server, stage, tmp_path):
    upcoming, job = stage("1", environment={"MARKER": "otherwise"})
    with Prestarter(module_server, limit=1) as prestarter:
        prestarter.start("stage", upcoming, tmp_path / "out/log")
        prestarter.start("other", upcoming, tmp_path / "out/other")
        wait_until(lambda: live_processes(Path(upcoming.folder)))
        assert prestarter.take("other", upcoming) is None
        assert prestarter.take("stage", job.upcoming) is None
        assert prestarter.take("stage", upcoming) is None
        assert live_processes(Path(upcoming.folder)) == []
    assert not (tmp_path / "out/log").exists()
    assert not (tmp_path / "out/other").exists()


def test_no_kernel_is_prestarted_where_kernels_are_not_forked(stage, tmp_path):
    upcoming, _ = stage("1")
    with Prestarter(None) as prestarter:
        prestarter.start("stage", upcoming, tmp_path / "out/log")
        assert prestarter.take("stage", upcoming) is None
    assert not (tmp_path / "out").exists()


def test_a_kernel_that_is_not_taken_ends_with_the_run(module_server, stage, tmp_path):
    upcoming, _ = stage("1")
    with Prestarter(module_server) as prestarter:
        prestarter.start("stage", upcoming, tmp_path / "out/log")
        wait_until(lambda: len(live_processes(Path(upcoming.folder))) == 1)
    assert live_processes(Path(upcoming.folder)) == []
    assert fork_server.running_servers()[0]["workers"] == []
    assert not (tmp_path / "out/log").exists()


def test_a_worker_that_was_killed_while_it_waited_is_not_taken(module_server, stage, run, tmp_path):
    upcoming, job = stage("print(1)")
    with Prestarter(module_server) as prestarter:
        prestarter.start("stage", upcoming, tmp_path / "out/log")
        wait_until(lambda: live_processes(Path(upcoming.folder)))
        os.kill(fork_server.running_servers()[0]["workers"][0], signal.SIGKILL)
        wait_until(lambda: not fork_server.running_servers()[0]["workers"])
        worker = prestarter.take("stage", job.upcoming)
        assert worker is None
        assert run(job, worker, module_server)[1] == "1\n"


def test_a_kernel_that_was_killed_while_it_waited_is_not_used(module_server, stage, run, tmp_path):
    upcoming, job = stage("print(1)")
    with Prestarter(module_server) as prestarter:
        prestarter.start("stage", upcoming, tmp_path / "out/log")
        kernel = wait_until(lambda: kernel_that_waits(upcoming.folder))
        wait_until(lambda: is_idle(kernel))
        kernel.kill()
        wait_until(lambda: not kernel.is_running() or kernel.status() == psutil.STATUS_ZOMBIE)
        outcome, printed, log = run(job, prestarter.take("stage", job.upcoming))
    assert (outcome.status, printed) == (A.SUCCEEDED, "1\n")
    assert log == "kernel: cold, the prestarted kernel has ended\n"


def test_a_notebook_that_cannot_be_read_yet_is_read_in_its_turn(module_server, stage, run, tmp_path):
    upcoming, job = stage("print(1)")
    text = Path(job.notebook).read_text()
    Path(job.notebook).write_text("{")
    with Prestarter(module_server) as prestarter:
        prestarter.start("stage", upcoming, tmp_path / "out/log")
        log = tmp_path / "out/log"
        wait_until(lambda: log.exists() and "not prestarted" in log.read_text())
        Path(job.notebook).write_text(text)
        outcome, printed, _ = run(job, prestarter.take("stage", job.upcoming))
    assert (outcome.status, printed) == (A.SUCCEEDED, "1\n")


@pytest.mark.parametrize("changes", [False, True])
def test_the_kit_is_imported_in_advance_and_the_kernel_not_used_when_the_kit_has_changed(
    own_server, stage, run, tmp_path, monkeypatch, changes
):
    shutil.copytree(Path(stagebook.__file__).parent, tmp_path / "lib/stagebook")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    entrance = tmp_path / "lib/stagebook/stage/__init__.py"
    upcoming, job = stage(
        "import sys; in_advance = 'stagebook.stage' in sys.modules",
        "from stagebook import stage",
        "print(in_advance, stage.__file__, hasattr(stage, 'NEW'))",
    )
    with Prestarter(own_server()) as prestarter:
        prestarter.start("stage", upcoming, tmp_path / "out/log")
        wait_until(lambda: kernel_that_waits(upcoming.folder))
        if changes:
            entrance.write_text(entrance.read_text() + "\nNEW = True\n")
        outcome, printed, log = run(job, prestarter.take("stage", job.upcoming))
    assert outcome.status is A.SUCCEEDED, outcome.error
    assert printed == f"{not changes} {entrance} {changes}\n"
    assert log == ("kernel: cold, the kit has changed since it was started\n" if changes else "")


RUNNER = """
import os, sys, time
from pathlib import Path
from stagebook.executor.job import UpcomingAttempt
from stagebook.executor.kernels.fork_server import ForkServer
from stagebook.executor.kernels.prestart import Prestarter
prestarter = Prestarter(ForkServer.start(dict(os.environ), []))
prestarter.start("stage", UpcomingAttempt(sys.argv[1], str(Path(sys.argv[1]).parent), {}), Path(sys.argv[2]))
time.sleep(600)
"""


@pytest.mark.parametrize("victim", ["runner", "fork server"])
def test_whichever_process_is_killed_no_kernel_waits_for_ever(own_server, stage, tmp_path, victim):
    upcoming, job = stage("1")
    own_server()
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, job.notebook, str(tmp_path / "out/log")])
    try:
        wait_until(lambda: live_processes(Path(upcoming.folder)))
        if victim == "fork server":
            os.kill(fork_server.running_servers()[0]["pid"], signal.SIGKILL)
    finally:
        runner.kill()
        runner.wait()
    wait_until(lambda: not live_processes(Path(upcoming.folder)))
