"""What a run depended on besides its parameters: the git commit, the installed packages, the machine."""

import hashlib
import platform
import subprocess
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from stagebook.machine import cores, memory


def git(root: Path) -> dict[str, Any]:
    """`{"commit": …, "dirty": …}` of the checkout around `root`; both None outside of one."""

    def ask(*words: str) -> str | None:
        try:
            answer = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    changes = ask("status", "--porcelain") if commit else None
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def machine() -> dict[str, Any]:
    """`name`, `cores` and `memory_bytes` of what attempts are measured on, as far as this process may use it."""
    return {"name": platform.node(), "cores": cores(), "memory_bytes": memory().total}


def _name_and_version(found: Distribution) -> tuple[str, str]:
    """From the name of the metadata's folder, where it tells: to parse all metadata takes half a second."""
    folder = Path(str(getattr(found, "_path", "")))
    name, _, version = folder.stem.partition("-")
    if folder.suffix == ".dist-info" and version:
        return name.replace("_", "-").lower(), version
    return found.name.lower(), found.version


def environment() -> dict[str, Any]:
    """Python's version, every installed package with its version, and a digest of them all."""
    packages = dict(map(_name_and_version, distributions()))
    listing = "\n".join(f"{name}=={packages[name]}" for name in sorted(packages))
    return {
        "python": platform.python_version(),
        "sha256": hashlib.sha256(f"{platform.python_version()}\n{listing}".encode()).hexdigest(),
        "packages": dict(sorted(packages.items())),
    }
