"""Whichever process is killed, nothing of an attempt lives on, and the attempt says what happened."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from fixtures.processes import live_processes, wait_until

from stagebook.executor.kernels import fork_server
from stagebook.executor.kernels.fork_server import ForkServer
from stagebook.model.record import AttemptStatus as A

BUSY = {
    "in its own session": "subprocess.run(['sleep', '8181'])",
    "holding the GIL": "import ctypes; ctypes.PyDLL(None).sleep(600)",
    "forked": "import multiprocessing as m; m.get_context('fork').Process(target=__import__('time').sleep, args=(600,)).start(); input",
}


def kernel_in(folder: Path) -> psutil.Process:
    """The kernel that wrote its process id."""
    return psutil.Process(int((folder / "pid").read_text()))


@pytest.fixture(params=["fresh", "forked"])
def server(request, own_server):
    return own_server() if request.param == "forked" else None


@pytest.fixture
def attempt_with_kill(attempt, server, tmp_path):
    """`attempt_with_kill("kernel", busy)` kills a process of an attempt when its cell is under way."""

    def run(victim, busy):
        pid_file = tmp_path / "notebooks/pid"

        def kill():
            wait_until(lambda: pid_file.exists() and pid_file.read_text())
            time.sleep(0.5)
            kernel = kernel_in(pid_file.parent)
            pids = {
                "kernel": lambda: kernel.pid,
                "worker": lambda: kernel.ppid(),
                "fork server": lambda: fork_server.running_servers()[0]["pid"],
            }
            os.kill(pids[victim](), signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        result = attempt(
            server, "import os, subprocess\nwith open('pid', 'w') as f: f.write(str(os.getpid()))\n"
            "child = subprocess.Popen(['sleep', '8181'], start_new_session=True)", busy,
        )  # fmt: skip
        thread.join()
        return result

    return run


@pytest.mark.parametrize("busy", BUSY.values(), ids=BUSY)
@pytest.mark.parametrize(
    ("victim", "kind", "message"),
    [
        ("kernel", "KernelDied", "killed by SIGKILL"),
        ("worker", "WorkerDied", "killed by SIGKILL"),
    ],
)
def test_a_kill_is_reported_and_leaves_no_process(attempt_with_kill, tmp_path, victim, kind, message, busy):
    outcome, _, _ = attempt_with_kill(victim, busy.replace("; input", "; __import__('time').sleep(600)"))
    assert (outcome.status, outcome.error["type"]) == (A.KERNEL_DIED, kind)
    assert message in outcome.error["message"]
    wait_until(lambda: not live_processes(tmp_path / "notebooks"), seconds=10)


@pytest.mark.parametrize("server", ["forked"], indirect=True)
def test_an_attempt_goes_on_without_its_fork_server_and_the_next_one_starts_another(
    attempt_with_kill, attempt, server, tmp_path
):
    outcome, _, _ = attempt_with_kill("fork server", "import time; time.sleep(2)")
    assert outcome.status is A.SUCCEEDED
    assert live_processes(tmp_path / "notebooks") == []
    outcome, _, log = attempt(server, "1", name="next")
    assert (outcome.status, log) == (A.SUCCEEDED, "")
    assert fork_server.running_servers()


def test_a_fork_server_that_does_not_answer_is_not_waited_for_twice(own_server, attempt):
    server = own_server()
    attempt(server, "1", name="first")
    pid = fork_server.running_servers()[0]["pid"]
    server.timeout_seconds = 0.5
    os.kill(pid, signal.SIGSTOP)
    try:
        for name in ("second", "third"):
            outcome, _, log = attempt(server, "1", name=name)
            assert outcome.status is A.SUCCEEDED
            assert "kernel: cold, the fork server does not answer within 0.5 s" in log
    finally:
        os.kill(pid, signal.SIGCONT)


def test_without_a_fork_server_that_starts_an_attempt_starts_afresh(own_server, attempt):
    server = ForkServer("broken", {**os.environ, "PYTHONHOME": "/nowhere"}, [], 1.0)
    outcome, _, log = attempt(server, "1")
    assert outcome.status is A.SUCCEEDED
    assert "kernel: cold, the fork server does not start: exit status" in log


@pytest.mark.parametrize("socket_is_gone", [False, True], ids=["idle", "its socket is gone"])
def test_a_fork_server_that_cannot_be_needed_any_more_ends(own_server, attempt, socket_is_gone):
    attempt(own_server(idle_seconds=600 if socket_is_gone else 1.0), "1")
    pid = fork_server.running_servers()[0]["pid"]
    if socket_is_gone:
        next(fork_server.socket_folder().glob("*.socket")).unlink()
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, seconds=10)
    assert fork_server.running_servers() == []
    assert not list(fork_server.socket_folder().glob("*.socket"))
