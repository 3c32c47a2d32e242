"""Which kernel a notebook asks for, and which kernels are installed, without starting any."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PYTHON = "python"
NATIVE = "python3"
"""The kernel of the running Python: always there, even if no kernelspec of it is installed."""

_PYTHON_NAMES = ("python", "ipython", "python3", "ipython3")
_SPELLINGS = {"r": "R", "sh": "bash"}
THIS_PYTHON = ("python", "python3", f"python3.{sys.version_info.minor}", sys.executable)
"""Programs of kernelspecs that start the Python of this process; Jupyter puts its path for the short names."""

IPYKERNEL = ("-m", "ipykernel_launcher", "-f", "{connection_file}")
"""The rest of a plain ipykernel's command line."""

TAKES_PARAMETERS = (
    "python", "R", "scala", "julia", "matlab", "bash", ".net-csharp", ".net-fsharp", ".net-powershell",
    "pysparkkernel", "sparkkernel", "sparkrkernel",
)  # fmt: skip
"""Languages, and kernels, for which papermill can write a cell that sets parameters."""


@dataclass(frozen=True)
class NotebookKernel:
    """The kernel that a notebook names (None: it names none), and its language as kernelspecs spell it."""

    name: str | None
    language: str


THIS_KERNEL = NotebookKernel(NATIVE, PYTHON)
"""What a notebook asks for that says nothing."""


@dataclass(frozen=True)
class InstalledKernel:
    """An installed kernelspec with its command line. `has_settings`: it brings variables or a provisioner."""

    name: str
    language: str
    argv: tuple[str, ...]
    has_settings: bool = False

    @property
    def is_own(self) -> bool:
        """Whether it is an ipykernel of this Python, so that its packages are those of this environment."""
        return self.argv[0] in THIS_PYTHON and self.argv[1:] == IPYKERNEL and not self.has_settings

    @property
    def is_broken(self) -> bool:
        """Whether the program that it starts is gone, as of an environment that was removed."""
        return self.argv[0] not in THIS_PYTHON and shutil.which(self.argv[0]) is None


def kernel_of(metadata: Mapping[str, Any]) -> NotebookKernel:
    """The kernel and language of a notebook's metadata.

    A text notebook without kernelspec has the language that jupytext gives it by its suffix or its cells; one that says
    nothing at all is Python.
    """
    kernelspec, info, jupytext = (_mapping(metadata, key) for key in ("kernelspec", "language_info", "jupytext"))
    name = _text(kernelspec, "name")
    language = _text(kernelspec, "language") or _text(info, "name") or _text(jupytext, "main_language")
    if language is None and name not in (None, NATIVE):
        kernel = installed().get(name.lower())
        language = None if kernel is None else kernel.language
    language = PYTHON if language is None or language.lower() in _PYTHON_NAMES else _SPELLINGS.get(language, language)
    return NotebookKernel(name or (NATIVE if language == PYTHON else None), language)


def _mapping(metadata: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = metadata.get(key)
    return value if isinstance(value, Mapping) else {}


def _text(values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    return value if isinstance(value, str) and value else None


def same_language(one: str, other: str) -> bool:
    """Whether two spellings name the same language: `python` and `ipython`, `R` and `r`."""
    spellings = [PYTHON if name.lower() in _PYTHON_NAMES else name.lower() for name in (one, other)]
    return spellings[0] == spellings[1]


def of_language(language: str, kernels: Mapping[str, InstalledKernel]) -> str | None:
    """The name of the first kernel of a language; None if there is none."""
    if language == PYTHON:
        return NATIVE
    return next((name for name in sorted(kernels) if same_language(kernels[name].language, language)), None)


def installed() -> dict[str, InstalledKernel]:
    """The kernels that Jupyter finds, by name in lower case."""
    from jupyter_client.kernelspec import KernelSpecManager  # 0.1 s, which most runs do not need

    kernels = {}
    for name, folder in KernelSpecManager().find_kernel_specs().items():
        spec = _kernelspec(Path(folder))
        argv = spec.get("argv")
        if isinstance(argv, list) and argv and all(isinstance(word, str) for word in argv):
            has_settings = bool(spec.get("env")) or "kernel_provisioner" in _mapping(spec, "metadata")
            language = _text(spec, "language") or PYTHON
            kernels[name.lower()] = InstalledKernel(name, language, tuple(argv), has_settings)
        elif name == NATIVE:  # ipykernel's own folder has no file: it makes its kernelspec when it is asked
            kernels[NATIVE] = InstalledKernel(NATIVE, PYTHON, (sys.executable, *IPYKERNEL))
    return kernels


def _kernelspec(folder: Path) -> Mapping[str, Any]:
    try:
        spec = json.loads((folder / "kernel.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return spec if isinstance(spec, Mapping) else {}
