"""A prespawned kernel: forked by its worker before the worker has threads, it waits for its command line.

It is a child of its worker, as a kernel that is started afresh, and leads a process group of its own.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import NoReturn

NOTEBOOK_AWARE = {"tqdm.auto", "tqdm.autonotebook", "tqdm.notebook", "matplotlib.pyplot"}
"""Modules that behave differently where they are imported in a notebook."""
_PR_SET_PDEATHSIG = 1


@dataclass
class PrespawnedKernel:
    """The worker's handle of its kernel, with the methods that `jupyter_client` needs of a process.

    `imports` are modules that it imports before it becomes a kernel.
    """

    pid: int
    command_pipe: int
    returncode: int | None = None
    used: bool = False
    imports: tuple[str, ...] = ()
    stdin = stdout = stderr = None

    def launch(self, command: list[str], folder: str, environment: dict[str, str]) -> None:
        """Make it the kernel of this command line."""
        self.used = True
        message = {"command": command, "folder": folder, "environment": environment, "imports": self.imports}
        with os.fdopen(self.command_pipe, "wb") as pipe:
            pipe.write(json.dumps(message).encode())

    def discard(self) -> None:
        """End it, unless it was launched."""
        if not self.used:
            self.used = True
            os.close(self.command_pipe)
            self.wait()

    def poll(self) -> int | None:
        """Its exit status once it has ended (negative: minus the signal), else None."""
        if self.returncode is None:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self) -> int | None:
        while self.poll() is None:
            time.sleep(0.005)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def main() -> int:
    """What a fork server forks for an attempt: prespawn the kernel while this process has no threads, then work."""
    worker_pid = os.getpid()
    read_end, write_end = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(write_end)
        _run_kernel(read_end, worker_pid)
    os.close(read_end)
    from stagebook.executor import worker

    return worker.main(PrespawnedKernel(pid, write_end))


def _run_kernel(command_pipe: int, worker_pid: int) -> NoReturn:
    """Wait for the command line, then be the kernel until it is shut down."""
    _become_child(worker_pid)
    _reset_imports()
    with os.fdopen(command_pipe, "rb") as pipe:
        packet = pipe.read()
    if not packet:
        os._exit(0)  # it is not needed
    message = json.loads(packet)
    os.chdir(message["folder"])
    os.environ.clear()
    os.environ.update(message["environment"])
    for name in message["imports"]:
        with contextlib.suppress(Exception):  # the cell that imports it raises it again
            importlib.import_module(name)
    import ipykernel_launcher
    from ipykernel.kernelapp import IPKernelApp

    arguments = message["command"][3:]
    sys.argv = [str(ipykernel_launcher.__file__), *arguments]
    IPKernelApp.launch_instance([*arguments, f"--IPKernelApp.parent_handle={os.getppid()}"])
    # The control thread still answers the shutdown request; ipykernel does not wait for that, and then either
    # thread may wait for the other until the kernel is killed.
    if (thread := IPKernelApp.instance().control_thread) is not None:
        thread.join(1.0)
    _exit()


def _become_child(worker_pid: int) -> None:
    """End with the worker, lead a process group, read nothing, and print into the worker's log."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker_pid:  # the worker ended before that
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)


def _reset_imports() -> None:
    """Undo what must not be as it was when the fork server imported it; `random` seeds itself anew after a fork."""
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    for name in list(sys.modules):
        if name in NOTEBOOK_AWARE or name.partition(".")[0] == "stagebook":
            del sys.modules[name]


def _exit() -> NoReturn:
    """End as an interpreter does (threads, `atexit`, what the notebook still holds), but without the libraries.

    To take those down would copy all their memory, which is shared with the fork server: half a second.
    """
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
    atexit._run_exitfuncs()  # in which IPython clears the notebook's names
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
