"""Whoever is killed, nothing of an attempt lives on, and the attempt tells what happened."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from fixtures.waiting import alive_in, wait_until

from stagebook.execute.host import client
from stagebook.execute.host.client import Host
from stagebook.model.record import AttemptStatus as A

BUSY = {
    "in its own session": "subprocess.run(['sleep', '8181'])",
    "holding the GIL": "import ctypes; ctypes.PyDLL(None).sleep(600)",
    "forked": "import multiprocessing as m; m.get_context('fork').Process(target=__import__('time').sleep, args=(600,)).start(); input",
}


def kernel_in(folder: Path) -> psutil.Process:
    """The kernel that wrote its process id."""
    return psutil.Process(int((folder / "pid").read_text()))


@pytest.fixture(params=["cold", "warm"])
def host(request, own_host):
    return own_host() if request.param == "warm" else None


@pytest.fixture
def killed(attempt, host, tmp_path):
    """`killed("kernel", busy)` starts an attempt and kills one of its processes when its cell is under way."""

    def run(victim, busy):
        mark = tmp_path / "notebooks/pid"

        def kill():
            wait_until(lambda: mark.exists() and mark.read_text())
            time.sleep(0.5)
            kernel = kernel_in(mark.parent)
            pids = {
                "kernel": lambda: kernel.pid,
                "worker": lambda: kernel.ppid(),
                "host": lambda: client.everyone()[0]["pid"],
            }
            os.kill(pids[victim](), signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        found = attempt(
            host, "import os, subprocess\nwith open('pid', 'w') as f: f.write(str(os.getpid()))\n"
            "child = subprocess.Popen(['sleep', '8181'], start_new_session=True)", busy,
        )  # fmt: skip
        thread.join()
        return found

    return run


@pytest.mark.parametrize("busy", BUSY.values(), ids=BUSY)
@pytest.mark.parametrize(
    ("victim", "kind", "message"),
    [
        ("kernel", "KernelDied", "killed by SIGKILL"),
        ("worker", "WorkerDied", "killed by SIGKILL"),
    ],
)
def test_a_kill_is_told_and_leaves_nothing(killed, tmp_path, victim, kind, message, busy):
    outcome, _, _ = killed(victim, busy.replace("; input", "; __import__('time').sleep(600)"))
    assert (outcome.status, outcome.error["type"]) == (A.KERNEL_DIED, kind)
    assert message in outcome.error["message"]
    wait_until(lambda: not alive_in(tmp_path / "notebooks"), seconds=10)


@pytest.mark.parametrize("host", ["warm"], indirect=True)
def test_an_attempt_goes_on_without_its_host_and_the_next_finds_a_new_one(killed, attempt, host, tmp_path):
    outcome, _, _ = killed("host", "import time; time.sleep(2)")
    assert outcome.status is A.SUCCEEDED
    assert alive_in(tmp_path / "notebooks") == []
    outcome, _, log = attempt(host, "1", name="next")
    assert (outcome.status, log) == (A.SUCCEEDED, "")
    assert client.everyone()


def test_a_host_that_does_not_answer_is_not_waited_for_twice(own_host, attempt):
    host = own_host()
    attempt(host, "1", name="first")
    pid = client.everyone()[0]["pid"]
    host.patience_seconds = 0.5
    os.kill(pid, signal.SIGSTOP)
    try:
        for name in ("second", "third"):
            outcome, _, log = attempt(host, "1", name=name)
            assert outcome.status is A.SUCCEEDED
            assert "kernel: cold, the kernel host does not answer within 0.5 s" in log
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_host_that_cannot_start_is_done_without(own_host, attempt):
    host = Host("broken", {**os.environ, "PYTHONHOME": "/nowhere"}, [], 1.0)
    outcome, _, log = attempt(host, "1")
    assert outcome.status is A.SUCCEEDED
    assert "kernel: cold, the kernel host does not start: exit status" in log


@pytest.mark.parametrize("lost", [False, True], ids=["idle", "its socket is gone"])
def test_a_host_leaves_when_nobody_can_want_it(own_host, attempt, lost):
    host = own_host(idle_seconds=600 if lost else 1.0)
    attempt(host, "1")
    pid = client.everyone()[0]["pid"]
    if lost:
        next(client.folder().glob("*.socket")).unlink()
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, seconds=10)
    assert client.everyone() == []
    assert not list(client.folder().glob("*.socket"))
