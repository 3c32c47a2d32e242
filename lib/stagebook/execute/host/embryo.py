"""A kernel before it knows for which notebook: forked early, it waits for its command, folder and environment.

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

LOOK_FOR_A_NOTEBOOK = {"tqdm.auto", "tqdm.autonotebook", "tqdm.notebook", "matplotlib.pyplot"}
"""Modules that are something else where they are imported in a notebook."""
_PR_SET_PDEATHSIG = 1
_orders = -1  # in the kernel-to-be: where its orders come from


@dataclass
class Embryo:
    """The worker's handle of its kernel-to-be, with the methods that `jupyter_client` wants of a process."""

    pid: int
    orders: int
    returncode: int | None = None
    used: bool = False
    imports: tuple[str, ...] = ()  # what it imports before it becomes a kernel
    stdin = stdout = stderr = None

    def launch(self, command: list[str], folder: str, environment: dict[str, str]) -> None:
        """Let it become the kernel of this command line."""
        self.used = True
        order = {"command": command, "folder": folder, "environment": environment, "imports": self.imports}
        with os.fdopen(self.orders, "wb") as pipe:
            pipe.write(json.dumps(order).encode())

    def discard(self) -> None:
        """Let it go, unless it was launched."""
        if not self.used:
            self.used = True
            os.close(self.orders)
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


def fork() -> Embryo | None:
    """Fork a kernel-to-be; None in that process itself."""
    global _orders
    worker = os.getpid()
    read, write = os.pipe()
    if pid := os.fork():
        os.close(read)
        return Embryo(pid, write)
    os.close(write)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:  # it ended before that
        os._exit(0)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    _orders = read
    return None


def main() -> NoReturn:
    """Wait for orders, then be the kernel until it is shut down."""
    _make_afresh()
    with os.fdopen(_orders, "rb") as pipe:
        text = pipe.read()
    if not text:
        os._exit(0)  # it is not needed
    order = json.loads(text)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    for name in order["imports"]:
        with contextlib.suppress(Exception):  # which the cell that imports it will meet
            importlib.import_module(name)
    import ipykernel_launcher
    from ipykernel.kernelapp import IPKernelApp

    arguments = order["command"][3:]
    sys.argv = [str(ipykernel_launcher.__file__), *arguments]
    IPKernelApp.launch_instance([*arguments, f"--IPKernelApp.parent_handle={os.getppid()}"])
    # It says its last words in the thread that was told to stop; ipykernel does not wait for that, and then either
    # thread may wait for the other until the kernel is killed.
    if (thread := IPKernelApp.instance().control_thread) is not None:
        thread.join(1.0)
    _leave()


def _leave() -> NoReturn:
    """End as an interpreter does (threads, `atexit`, what the notebook still holds), but for the libraries.

    To take those down would copy all their memory, which is shared with the host: half a second.
    """
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
    atexit._run_exitfuncs()  # in which IPython clears the notebook's names
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _make_afresh() -> None:
    """What must not be as it was when the host imported it; `random` seeds itself anew after a fork."""
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    for name in list(sys.modules):
        if name in LOOK_FOR_A_NOTEBOOK or name.partition(".")[0] == "stagebook":
            del sys.modules[name]
