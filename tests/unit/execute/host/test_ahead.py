"""A kernel that is started before its stage's turn: used for that attempt or for none, and gone with the run."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import pytest
from fixtures.waiting import alive_in, wait_until

import stagebook
from stagebook.execute.ahead import Ahead
from stagebook.execute.host import client
from stagebook.execute.job import Coming, Job
from stagebook.execute.supervise import run_attempt
from stagebook.model.record import AttemptStatus as A

BORN = "import os, psutil; print(psutil.Process().create_time(), os.environ['TOLD'], os.getcwd())"


def text_of(path: Path) -> str:
    """What the cells of an executed notebook printed."""
    node = nbformat.read(path, as_version=4)
    return "".join(out.get("text", "") for cell in node.cells for out in cell.outputs)


@pytest.fixture
def stage(tmp_path, notebook):
    """`stage("cell", …)` writes a notebook; gives what is known of its attempt before its turn, and the job then."""

    def write(*cells, environment=None, parameters=None):
        source = notebook("stage", *cells)
        told = {"TOLD": "before"} if environment is None else environment
        output = tmp_path / "out/stage.ipynb"
        job = Job(str(source), str(output), str(source.parent), parameters or {}, told, {"notebook": str(source)})
        return Coming(job.notebook, job.folder, {"TOLD": "before"}), job

    return write


@pytest.fixture
def run(tmp_path):
    def attempt(job, ready, host=None):
        log = tmp_path / "out/log"
        outcome = run_attempt(job, log=log, stop=threading.Event(), progress=lambda _: None, host=host, ready=ready)
        return outcome, text_of(Path(job.output)), log.read_text()

    return attempt


def test_a_kernel_that_waited_runs_the_attempt_it_was_started_for(own_host, stage, run, tmp_path):
    coming, job = stage("x = 1", f"print(x + 1, y); {BORN}", parameters={"x": 41, "y": 2})
    with Ahead(own_host(["statistics"])) as ahead:
        ahead.start("stage", coming, tmp_path / "out/log")
        wait_until(lambda: alive_in(Path(coming.folder)))
        time.sleep(1.0)
        turn = time.time()
        outcome, told, log = run(job, ahead.take("stage", job.coming))
    assert outcome.status is A.SUCCEEDED
    assert "cold" not in log
    assert outcome.cpu_seconds > 0
    assert told.splitlines()[0].endswith(" 2")
    born, variable, folder = told.splitlines()[1].split()
    assert float(born) < turn
    assert (variable, folder) == ("before", coming.folder)
    assert alive_in(Path(coming.folder)) == []


def test_it_has_all_that_the_host_was_to_import(own_host, stage, run, tmp_path):
    coming, job = stage("import sys; print('sqlite3' in sys.modules, 'pandas' in sys.modules)")
    with Ahead(own_host(["sqlite3", "pandas"])) as ahead:
        ahead.start("stage", coming, tmp_path / "out/log")  # while the host is still being started
        wait_until(lambda: alive_in(Path(coming.folder)))
        assert run(job, ahead.take("stage", job.coming))[1] == "True True\n"


def test_one_that_is_not_there_yet_is_not_waited_for(own_host, stage, run, tmp_path):
    coming, job = stage(BORN)
    host = own_host(["pandas", "sklearn.ensemble"])
    with Ahead(host) as ahead:
        ahead.start("stage", coming, tmp_path / "out/log")
        started = time.monotonic()
        ready = ahead.take("stage", job.coming)
        assert ready is None
        assert time.monotonic() - started < 1
        assert run(job, ready, host)[0].status is A.SUCCEEDED


def test_it_is_for_that_attempt_alone_and_not_more_than_the_limit(own_host, stage, tmp_path):
    coming, job = stage("1", environment={"TOLD": "otherwise"})
    with Ahead(own_host(), limit=1) as ahead:
        ahead.start("stage", coming, tmp_path / "out/log")
        ahead.start("other", coming, tmp_path / "out/other")
        wait_until(lambda: alive_in(Path(coming.folder)))
        assert ahead.take("other", coming) is None
        assert ahead.take("stage", job.coming) is None
        assert ahead.take("stage", coming) is None
        assert alive_in(Path(coming.folder)) == []
    assert not (tmp_path / "out/log").exists()
    assert not (tmp_path / "out/other").exists()


def test_nobody_waits_where_kernels_are_not_forked(stage, tmp_path):
    coming, _ = stage("1")
    with Ahead(None) as ahead:
        ahead.start("stage", coming, tmp_path / "out/log")
        assert ahead.take("stage", coming) is None
    assert not (tmp_path / "out").exists()


def test_what_is_not_taken_ends_with_the_run(own_host, stage, tmp_path):
    coming, _ = stage("1")
    with Ahead(own_host()) as ahead:
        ahead.start("stage", coming, tmp_path / "out/log")
        wait_until(lambda: len(alive_in(Path(coming.folder))) == 1)
    assert alive_in(Path(coming.folder)) == []
    assert client.everyone()[0]["workers"] == []
    assert not (tmp_path / "out/log").exists()


def test_a_worker_that_was_killed_while_it_waited_is_not_taken(own_host, stage, run, tmp_path):
    coming, job = stage("print(1)")
    host = own_host()
    with Ahead(host) as ahead:
        ahead.start("stage", coming, tmp_path / "out/log")
        wait_until(lambda: alive_in(Path(coming.folder)))
        os.kill(client.everyone()[0]["workers"][0], signal.SIGKILL)
        wait_until(lambda: not client.everyone()[0]["workers"])
        ready = ahead.take("stage", job.coming)
        assert ready is None
        assert run(job, ready, host)[1] == "1\n"


def test_a_kernel_that_was_killed_while_it_waited_is_not_used(own_host, stage, run, tmp_path):
    coming, job = stage("print(1)")
    with Ahead(own_host()) as ahead:
        ahead.start("stage", coming, tmp_path / "out/log")
        wait_until(lambda: alive_in(Path(coming.folder)))
        time.sleep(1.0)
        alive_in(Path(coming.folder))[0].kill()
        wait_until(lambda: not alive_in(Path(coming.folder)))
        time.sleep(0.5)  # its folder is gone before its parent can see that it has ended
        outcome, told, log = run(job, ahead.take("stage", job.coming))
    assert (outcome.status, told) == (A.SUCCEEDED, "1\n")
    assert log == "kernel: cold, the kernel that was started ahead has ended\n"


def test_a_notebook_that_cannot_be_read_yet_is_read_in_its_turn(own_host, stage, run, tmp_path):
    coming, job = stage("print(1)")
    text = Path(job.notebook).read_text()
    Path(job.notebook).write_text("{")
    with Ahead(own_host()) as ahead:
        ahead.start("stage", coming, tmp_path / "out/log")
        log = tmp_path / "out/log"
        wait_until(lambda: log.exists() and "not started ahead" in log.read_text())
        Path(job.notebook).write_text(text)
        outcome, told, _ = run(job, ahead.take("stage", job.coming))
    assert (outcome.status, told) == (A.SUCCEEDED, "1\n")


@pytest.mark.parametrize("changes", [False, True])
def test_the_kit_is_imported_ahead_and_not_served_when_it_has_changed(
    own_host, stage, run, tmp_path, monkeypatch, changes
):
    shutil.copytree(Path(stagebook.__file__).parent, tmp_path / "lib/stagebook")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    entrance = tmp_path / "lib/stagebook/stage/__init__.py"
    coming, job = stage(
        "import sys; ahead = 'stagebook.stage' in sys.modules",
        "from stagebook import stage",
        "print(ahead, stage.__file__, hasattr(stage, 'NEW'))",
    )
    with Ahead(own_host()) as ahead:
        ahead.start("stage", coming, tmp_path / "out/log")
        wait_until(lambda: alive_in(Path(coming.folder)))
        time.sleep(1.0)
        if changes:
            entrance.write_text(entrance.read_text() + "\nNEW = True\n")
        outcome, told, log = run(job, ahead.take("stage", job.coming))
    assert outcome.status is A.SUCCEEDED, outcome.error
    assert told == f"{not changes} {entrance} {changes}\n"
    assert log == ("kernel: cold, the kit has changed since it was started\n" if changes else "")


RUNNER = """
import os, sys, time
from pathlib import Path
from stagebook.execute.ahead import Ahead
from stagebook.execute.host.client import Host
from stagebook.execute.job import Coming
ahead = Ahead(Host.of(dict(os.environ), []))
ahead.start("stage", Coming(sys.argv[1], str(Path(sys.argv[1]).parent), {}), Path(sys.argv[2]))
time.sleep(600)
"""


@pytest.mark.parametrize("victim", ["runner", "host"])
def test_whoever_is_killed_no_kernel_waits_for_ever(own_host, stage, tmp_path, victim):
    coming, job = stage("1")
    own_host()
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, job.notebook, str(tmp_path / "out/log")])
    try:
        wait_until(lambda: alive_in(Path(coming.folder)))
        if victim == "host":
            os.kill(client.everyone()[0]["pid"], signal.SIGKILL)
    finally:
        runner.kill()
        runner.wait()
    wait_until(lambda: not alive_in(Path(coming.folder)), seconds=5)
