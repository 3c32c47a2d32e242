"""A kernel that a worker starts before it has its job. Nothing is executed in it until then."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stagebook.execute import kernel
from stagebook.execute.job import Coming

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from jupyter_client.manager import AsyncKernelManager

    from stagebook.execute.host.embryo import Embryo

CLIENT: dict[str, Any] = {"startup_timeout": 60, "ipython_hist_file": ":memory:"}
"""How a client of `nbclient` starts a kernel."""


@dataclass(frozen=True)
class ReadyKernel:
    """A forked kernel in its notebook's folder, with its environment, that has answered."""

    manager: "AsyncKernelManager"
    client: "AsyncKernelClient"


def ready_kernel(coming: Coming, embryo: "Embryo", within: ExitStack) -> ReadyKernel | None:
    """A kernel that ends with `within`; None where it has to be started when its turn comes."""
    from jupyter_client.kernelspec import KernelSpecManager

    from stagebook.execute.host.provisioner import unfit
    from stagebook.notebook.read import load

    try:
        name = load(Path(coming.notebook)).metadata.kernelspec.name
        if unfit(KernelSpecManager().get_kernel_spec(name), Path(coming.folder)) is None:
            return within.enter_context(_started(name, coming, embryo))
    except Exception as error:  # whatever it is, it is told when the notebook's turn comes
        sys.stderr.write(f"kernel: not started ahead, {type(error).__name__}: {error}\n")
    return None


@contextmanager
def _started(name: str, coming: Coming, embryo: "Embryo") -> Iterator[ReadyKernel]:
    from nbclient import NotebookClient
    from nbformat import v4

    with kernel.manager(name, coming.folder, embryo) as manager:
        client = NotebookClient(v4.new_notebook(), km=manager, **CLIENT)
        client.owns_km = True  # so that it ends the kernel, unless that has ended
        with client.setup_kernel(cwd=coming.folder, env={**os.environ, **coming.environment}):
            yield ReadyKernel(manager, cast("AsyncKernelClient", client.kc))
