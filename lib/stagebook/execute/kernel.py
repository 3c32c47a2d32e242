"""Kernels and what they leave behind: start over IPC, end with all descendants."""

import contextlib
import ctypes
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from stagebook.execute.host.embryo import Embryo
    from stagebook.execute.prompt import PromptManager

GRACE_SECONDS = 5.0
_PR_SET_CHILD_SUBREAPER = 36


@contextlib.contextmanager
def manager(kernel_name: str, folder: str = ".", embryo: "Embryo | None" = None) -> Iterator["PromptManager"]:
    """A kernel manager over IPC in a private folder: no port races, nobody else can connect.

    It is the asynchronous one because the synchronous one hangs when its kernel dies. On Windows,
    where there is no IPC transport, TCP on loopback. Its kernel is the forked one, if that fits the kernelspec.
    """
    from stagebook.execute.prompt import PromptClient, PromptManager

    with tempfile.TemporaryDirectory(prefix="sb-", ignore_cleanup_errors=True) as private:
        if sys.platform == "win32":
            yield PromptManager(kernel_name=kernel_name, client_factory=PromptClient)
            return
        connection, ip = str(Path(private) / "k.json"), str(Path(private) / "k")
        found = PromptManager(
            kernel_name=kernel_name,
            client_factory=PromptClient,
            transport="ipc",
            connection_file=connection,
            ip=ip,
        )
        if embryo is not None:
            _use(embryo, found, Path(folder))
        try:
            yield found
        finally:
            if embryo is not None:
                embryo.discard()


def _use(embryo: "Embryo", manager: "PromptManager", folder: Path) -> None:
    from jupyter_client.kernelspec import NoSuchKernel

    from stagebook.execute.host.provisioner import ForkedProvisioner, unfit

    with contextlib.suppress(NoSuchKernel):  # which the start of the kernel tells
        if why := unfit(manager.kernel_spec, folder):
            sys.stderr.write(f"kernel: cold, {why}\n")
            return
        manager.provisioner = ForkedProvisioner(kernel_spec=manager.kernel_spec, parent=manager)
        manager.provisioner.embryo = embryo


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent dies (Linux), so that none escapes."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def peak_rss_bytes() -> int:
    """Most memory that one ended and waited-for descendant has held."""
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def end_descendants(grace: float = GRACE_SECONDS) -> None:
    """End every descendant of this process: TERM, wait, KILL."""
    end(psutil.Process().children(recursive=True), grace)


def end(processes: Iterable[psutil.Process], grace: float = GRACE_SECONDS) -> None:
    """End these processes: TERM, up to `grace` seconds to leave, KILL."""
    alive = list(processes)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(alive, timeout=grace)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=grace)


def carrying(variable: str, value: str) -> list[psutil.Process]:
    """Processes whose environment has this variable with this value: what a killed worker left."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(variable) == value:
                found.append(process)
    return found
