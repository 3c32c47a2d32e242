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
    from stagebook.executor.kernels.client import FastKernelManager
    from stagebook.executor.kernels.prespawned import PrespawnedKernel

GRACE_SECONDS = 5.0
_PR_SET_CHILD_SUBREAPER = 36


@contextlib.contextmanager
def kernel_manager(
    kernel_name: str, folder: str = ".", prespawned: "PrespawnedKernel | None" = None
) -> Iterator["FastKernelManager"]:
    """A kernel manager over IPC in a private folder: no port races, nobody else can connect.

    It is the asynchronous one because the synchronous one hangs when its kernel dies. On Windows,
    where there is no IPC transport, TCP on loopback. Its kernel is the prespawned one, if that fits the kernelspec.
    """
    from stagebook.executor.kernels.client import FastKernelClient, FastKernelManager

    with tempfile.TemporaryDirectory(prefix="sb-", ignore_cleanup_errors=True) as private:
        if sys.platform == "win32":
            yield FastKernelManager(kernel_name=kernel_name, client_factory=FastKernelClient)
            return
        connection, ip = str(Path(private) / "k.json"), str(Path(private) / "k")
        manager = FastKernelManager(
            kernel_name=kernel_name,
            client_factory=FastKernelClient,
            transport="ipc",
            connection_file=connection,
            ip=ip,
        )
        if prespawned is not None:
            _use_prespawned(prespawned, manager, Path(folder))
        try:
            yield manager
        finally:
            if prespawned is not None:
                prespawned.discard()


def _use_prespawned(prespawned: "PrespawnedKernel", manager: "FastKernelManager", folder: Path) -> None:
    """Let the manager launch its kernel in the prespawned one; where that cannot be, say why in the log."""
    from jupyter_client.kernelspec import NoSuchKernel

    from stagebook.executor.kernels.provisioner import ForkedProvisioner, why_not_forked

    with contextlib.suppress(NoSuchKernel):  # the start of the kernel raises it again
        if reason := why_not_forked(manager.kernel_spec, folder):
            sys.stderr.write(f"kernel: cold, {reason}\n")
            return
        manager.provisioner = ForkedProvisioner(kernel_spec=manager.kernel_spec, parent=manager)
        manager.provisioner.prespawned = prespawned


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent dies (Linux), so that none escapes."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def peak_rss_bytes() -> int:
    """Most memory that one ended and waited-for descendant has used."""
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def end_descendants(grace_seconds: float = GRACE_SECONDS) -> None:
    """End every descendant of this process: TERM, wait, KILL."""
    end(psutil.Process().children(recursive=True), grace_seconds)


def end(processes: Iterable[psutil.Process], grace_seconds: float = GRACE_SECONDS) -> None:
    """End these processes: TERM, up to `grace_seconds` to leave, KILL."""
    alive = list(processes)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(alive, timeout=grace_seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=grace_seconds)


def processes_with(variable: str, value: str) -> list[psutil.Process]:
    """Processes whose environment has this variable with this value: what a killed worker left behind."""
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(variable) == value:
                processes.append(process)
    return processes
