"""Whichever process is killed, nothing of an attempt lives on, and the attempt says what happened."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from fixtures.processes import HANG_SECONDS, live_processes, wait_until

from stagebook.executor.kernels import fork_server
from stagebook.executor.kernels.fork_server import ForkServer, ForkServerUnavailable
from stagebook.executor.supervise import fork_worker
from stagebook.model.record import AttemptStatus as A

pytestmark = pytest.mark.slow

BUSY = {
    "in its own session": "mark(); subprocess.run(['sleep', '8181'])",
    "holding the GIL": "import ctypes; mark(); ctypes.PyDLL(None).sleep(600)",
    "forked": "import multiprocessing, time\n"
              "multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,)).start(); mark(); time.sleep(600)",
}  # fmt: skip


def first_cell(pid_file: str) -> str:
    """Starts a child in a session of its own; `mark` writes the kernel's process id, when the next cell is under way."""
    return (
        "import os, subprocess\ndef mark():\n"
        f"    open({pid_file + '.new'!r}, 'w').write(str(os.getpid())); os.rename({pid_file + '.new'!r}, {pid_file!r})\n"
        "child = subprocess.Popen(['sleep', '8181'], start_new_session=True)"
    )


@pytest.fixture
def attempt_with_kill(alone_with_kills, attempt, tmp_path):
    """`attempt_with_kill(server, "kernel", busy)` kills a process of an attempt when its second cell is under way."""

    def run(server, victim, busy, name="stage"):
        pid_file = tmp_path / "notebooks" / f"{name}.pid"

        def kill():
            wait_until(pid_file.exists)
            kernel = psutil.Process(int(pid_file.read_text()))
            pids = {
                "kernel": lambda: kernel.pid,
                "worker": lambda: kernel.ppid(),
                "fork server": lambda: fork_server.running_servers()[0]["pid"],
            }
            os.kill(pids[victim](), signal.SIGKILL)
            (tmp_path / "notebooks/killed").touch()

        thread = threading.Thread(target=kill)
        thread.start()
        result = attempt(server, first_cell(str(pid_file)), busy, name=name)
        thread.join()
        return result

    return run


@pytest.mark.parametrize("start", ["fresh", "forked"])
@pytest.mark.parametrize(("victim", "kind"), [("kernel", "KernelDied"), ("worker", "WorkerDied")])
def test_a_kill_is_reported_and_leaves_no_process(attempt_with_kill, module_server, tmp_path, start, victim, kind):
    """Three attempts at once, as a run has them: each is busy in its own way."""
    server = module_server if start == "forked" else None
    with ThreadPoolExecutor(len(BUSY)) as threads:
        names = [f"stage {number}" for number in range(len(BUSY))]
        results = list(
            threads.map(lambda name, busy: attempt_with_kill(server, victim, busy, name), names, BUSY.values())
        )
    for outcome, _, _ in results:
        assert (outcome.status, outcome.error["type"]) == (A.KERNEL_DIED, kind)
        assert "killed by SIGKILL" in outcome.error["message"]
    wait_until(lambda: not live_processes(tmp_path / "notebooks"))


def test_an_attempt_goes_on_without_its_fork_server_and_the_next_one_starts_another(
    attempt_with_kill, attempt, own_server, tmp_path
):
    server = own_server()
    until_killed = "import time; mark()\nwhile not os.path.exists('killed'): time.sleep(0.02)"
    outcome, _, _ = attempt_with_kill(server, "fork server", until_killed)
    assert outcome.status is A.SUCCEEDED
    assert live_processes(tmp_path / "notebooks") == []
    outcome, _, log = attempt(server, "1", name="next")
    assert (outcome.status, log) == (A.SUCCEEDED, "")
    assert fork_server.running_servers()


def test_a_fork_server_that_does_not_answer_is_not_waited_for_twice(own_server, tmp_path):
    server = own_server()
    pid = wait_until(fork_server.running_servers)[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        with (tmp_path / "log").open("wb") as log:
            for server.timeout_seconds in (0.5, HANG_SECONDS):
                with pytest.raises(ForkServerUnavailable, match=r"does not answer within 0\.5 s"):
                    fork_worker(server, log, threading.Event())
    finally:
        os.kill(pid, signal.SIGCONT)


def test_without_a_fork_server_that_starts_an_attempt_starts_afresh(own_server, attempt):
    server = ForkServer("broken", {**os.environ, "PYTHONHOME": "/nowhere"}, [], 1.0)
    outcome, _, log = attempt(server, "1")
    assert outcome.status is A.SUCCEEDED
    assert "kernel: cold, the fork server does not start: exit status" in log


@pytest.mark.parametrize("socket_is_gone", [False, True], ids=["idle", "its socket is gone"])
def test_a_fork_server_that_cannot_be_needed_any_more_ends(own_server, socket_is_gone):
    earlier = set(psutil.Process().children())
    own_server(idle_seconds=600 if socket_is_gone else 1.0)
    (process,) = set(psutil.Process().children()) - earlier
    if socket_is_gone:
        wait_until(fork_server.running_servers)
        next(fork_server.socket_folder().glob("*.socket")).unlink()
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    assert fork_server.running_servers() == []
    assert not list(fork_server.socket_folder().glob("*.socket"))
