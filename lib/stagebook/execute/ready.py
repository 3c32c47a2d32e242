"""A kernel that a worker starts before it has its job. Nothing of the notebook is executed in it until then.

Where the notebook imports the kit, so does the kernel ahead of it; it is not used if the kit's code has changed since.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import stagebook
from stagebook.execute import kernel
from stagebook.execute.host.preload import imported
from stagebook.execute.job import Coming

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient

    from stagebook.execute.host.embryo import Embryo
    from stagebook.execute.prompt import PromptManager

Kit = Mapping[str, tuple[int, int]]
"""File → when it was changed, and its bytes."""

CLIENT: dict[str, Any] = {"startup_timeout": 60, "ipython_hist_file": ":memory:"}
"""How a client of `nbclient` starts a kernel."""


@dataclass(frozen=True)
class ReadyKernel:
    """A forked kernel in its notebook's folder, with its environment, that has answered."""

    manager: "PromptManager"
    client: "AsyncKernelClient"
    process: "Embryo"
    kit: Kit

    @property
    def unfit(self) -> str | None:
        """Why it may not be used any more; None if it may."""
        if self.process.poll() is not None:
            return "the kernel that was started ahead has ended"
        return None if self.kit == _kit() else "the kit has changed since it was started"


def ready_kernel(coming: Coming, embryo: "Embryo", within: ExitStack) -> ReadyKernel | None:
    """A kernel that ends with `within`; None where it has to be started when its turn comes."""
    from jupyter_client.kernelspec import KernelSpecManager

    from stagebook.execute.host.provisioner import unfit
    from stagebook.notebook.read import load

    try:
        notebook, folder = load(Path(coming.notebook)), Path(coming.folder)
        name = notebook.metadata.kernelspec.name
        if unfit(KernelSpecManager().get_kernel_spec(name), folder) is None:
            embryo.imports = _imports([cell.source for cell in notebook.cells if cell.cell_type == "code"], folder)
            return within.enter_context(_started(name, coming, embryo))
    except Exception as error:  # whatever it is, it is told when the notebook's turn comes
        sys.stderr.write(f"kernel: not started ahead, {type(error).__name__}: {error}\n")
    return None


@contextmanager
def _started(name: str, coming: Coming, embryo: "Embryo") -> Iterator[ReadyKernel]:
    from nbclient import NotebookClient
    from nbformat import v4

    kit = _kit()
    with kernel.manager(name, coming.folder, embryo) as manager:
        client = NotebookClient(v4.new_notebook(), km=manager, **CLIENT)
        client.owns_km = True  # so that it ends the kernel, unless that has ended
        with client.setup_kernel(cwd=coming.folder, env={**os.environ, **coming.environment}):
            yield ReadyKernel(manager, cast("AsyncKernelClient", client.kc), embryo, kit)


def _imports(sources: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The kit's entrance, where the notebook imports it, and not another one from a folder of its own."""
    elsewhere = (folder / "stagebook").exists() or (folder / "stagebook.py").exists()
    if elsewhere or any("sys.path" in source for source in sources):
        return ()
    tops = {name.partition(".")[0] for source in sources for name in imported(source)}
    return ("stagebook.stage",) if "stagebook" in tops else ()


def _kit() -> Kit:
    """The kit's files as they are now."""
    found = [(file, file.stat()) for file in Path(stagebook.__file__).parent.rglob("*.py")]
    return {str(file): (now.st_mtime_ns, now.st_size) for file, now in found}
