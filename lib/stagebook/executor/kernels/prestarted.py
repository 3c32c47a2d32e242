"""A kernel that a worker starts before it has its job. Until then nothing of the notebook is executed in it.

Where the notebook imports the kit, the kernel does so in advance; it is not used if the kit's code has changed since.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stagebook.executor.job import UpcomingAttempt
from stagebook.executor.kernels import lifecycle
from stagebook.notebooks.cells import imported_modules

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient

    from stagebook.executor.kernels.client import FastKernelManager
    from stagebook.executor.kernels.prespawned import PrespawnedKernel

CLIENT_OPTIONS: dict[str, Any] = {"startup_timeout": 60, "ipython_hist_file": ":memory:"}
"""How a client of `nbclient` starts a kernel."""

_FileStates = Mapping[str, tuple[int, int]]
"""File → when it was changed (ns), and its size (bytes)."""


@dataclass(frozen=True)
class PrestartedKernel:
    """A forked kernel in its notebook's folder, with its environment, that has answered.

    `kit_files` are the kit's files as they were when it was started.
    """

    manager: "FastKernelManager"
    client: "AsyncKernelClient"
    process: "PrespawnedKernel"
    kit_files: _FileStates

    @property
    def problem(self) -> str | None:
        """Why it may not be used any more; None if it may."""
        if self.process.poll() is not None:
            return "the prestarted kernel has ended"
        return None if self.kit_files == _kit_files() else "the kit has changed since it was started"


def prestarted_kernel(
    upcoming: UpcomingAttempt, prespawned: "PrespawnedKernel", stack: ExitStack
) -> PrestartedKernel | None:
    """Start the kernel of an attempt; it ends with `stack`. None where it has to be started in the attempt's turn."""
    from jupyter_client.kernelspec import KernelSpecManager

    from stagebook.executor.kernels.provisioner import why_not_forked
    from stagebook.notebooks.read import load

    try:
        notebook, folder = load(Path(upcoming.notebook)), Path(upcoming.folder)
        name = upcoming.kernel_name or notebook.metadata.kernelspec.name
        if why_not_forked(KernelSpecManager().get_kernel_spec(name), folder) is None:
            sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
            prespawned.imports = _imports(sources, folder)
            return stack.enter_context(_started(name, upcoming, prespawned))
    except Exception as error:  # whatever it is, the attempt meets it again and reports it
        sys.stderr.write(f"kernel: not prestarted, {type(error).__name__}: {error}\n")
    return None


@contextmanager
def _started(name: str, upcoming: UpcomingAttempt, prespawned: "PrespawnedKernel") -> Iterator[PrestartedKernel]:
    from nbclient import NotebookClient
    from nbformat import v4

    kit_files = _kit_files()
    with lifecycle.kernel_manager(name, upcoming.folder, prespawned) as manager:
        client = NotebookClient(v4.new_notebook(), km=manager, **CLIENT_OPTIONS)
        client.owns_km = True  # so that it ends the kernel, unless that has ended
        with client.setup_kernel(cwd=upcoming.folder, env={**os.environ, **upcoming.environment}):
            yield PrestartedKernel(manager, cast("AsyncKernelClient", client.kc), prespawned, kit_files)


def _imports(sources: Sequence[str], folder: Path) -> tuple[str, ...]:
    """`stagebook.stage` where the notebook imports the kit, and not another `stagebook` from a folder of its own."""
    is_hidden = (folder / "stagebook").exists() or (folder / "stagebook.py").exists()
    if is_hidden or any("sys.path" in source for source in sources):
        return ()
    packages = {name.partition(".")[0] for source in sources for name in imported_modules(source)}
    return ("stagebook.stage",) if "stagebook" in packages else ()


def _kit_files() -> _FileStates:
    """The kit's files at this moment."""
    states = [(file, file.stat()) for file in Path(__file__).parents[2].rglob("*.py")]
    return {str(file): (state.st_mtime_ns, state.st_size) for file, state in states}
