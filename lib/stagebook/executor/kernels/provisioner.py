"""Launching a kernel by sending its command line to a prespawned one, where its kernelspec is that of this Python."""

import os
import sys
from pathlib import Path
from typing import Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from stagebook.executor.kernels.prespawned import PrespawnedKernel
from stagebook.notebooks.kernels import IPYKERNEL, THIS_PYTHON

_KIT = {"stagebook"}


class ForkedProvisioner(LocalProvisioner):
    """The local provisioner; only the launch differs."""

    prespawned: PrespawnedKernel

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        environment = {**kwargs["env"], "JPY_PARENT_PID": str(os.getpid())}
        self.prespawned.launch(cmd, str(kwargs.get("cwd") or Path.cwd()), environment)
        self.process: Any = self.prespawned
        self.pid = self.pgid = self.prespawned.pid
        self.cwd = kwargs.get("cwd")
        return self.connection_info


def why_not_forked(kernel_spec: Any, folder: Path) -> str | None:
    """Why a kernel of this kernelspec, in this folder, cannot be forked; None if it can."""
    name, argv = kernel_spec.display_name, kernel_spec.argv
    if argv[0] not in THIS_PYTHON:
        return f"kernelspec '{name}' starts {argv[0]}, not this Python"
    if tuple(argv[1:]) != IPYKERNEL:
        return f"kernelspec '{name}' is not a plain ipykernel"
    if kernel_spec.env or "kernel_provisioner" in kernel_spec.metadata:
        return f"kernelspec '{name}' brings an environment or a provisioner of its own"
    if file := _shadowing_file(folder):
        return f"{file} in the notebook's folder has the name of a library"
    return None


def _shadowing_file(folder: Path) -> str | None:
    """A file from which a fresh kernel would import what is imported already from elsewhere."""
    imported = {name.partition(".")[0] for name in sys.modules}
    for path in sorted(folder.iterdir()):
        is_module = path.suffix == ".py" or (path / "__init__.py").exists()
        if is_module and path.stem in imported - _KIT:
            return path.name
    return None
