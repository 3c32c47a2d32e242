"""When two runs may share a host: what a fork cannot change, or an import may have looked at, must be equal."""

import hashlib
import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

OF_A_RUN = (
    "STAGEBOOK_", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "PWD", "OLDPWD", "SHLVL", "_", "COLUMNS", "LINES",
    "TERM", "SSH_", "TMUX", "STY", "WINDOWID", "XDG_SESSION_", "DBUS_", "VSCODE_", "PYTEST_", "JPY_", "UV_RUN_",
    "JAVA_TOOL_OPTIONS",
)  # fmt: skip
"""Variables (beginnings of names) that no library looks at when it is imported. All others make hosts different:
a host too many costs a start, one too few would compute something else."""


def relevant(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that an import may have looked at."""
    return {name: value for name, value in sorted(environment.items()) if not name.startswith(OF_A_RUN)}


def key(environment: Mapping[str, str]) -> str:
    """Names the host that this process may use."""
    same = [sys.version, sys.executable, *(f"{name}={value}" for name, value in relevant(environment).items())]
    same += [*_surroundings(), *_installed(), *_own_source()]
    return hashlib.sha256("\n".join(same).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _surroundings() -> list[str]:
    """Limits, control groups, processors, name spaces and users of this process; its children keep them."""
    told = [Path("/proc/self", name).read_text(encoding="utf-8") for name in ("limits", "cgroup", "oom_score_adj")]
    spaces = [str((Path("/proc/self/ns") / name).readlink()) for name in ("mnt", "pid", "net", "ipc", "user", "uts")]
    who = [os.getresuid(), os.getresgid(), os.getgroups()]
    return [*told, *spaces, str(sorted(os.sched_getaffinity(0))), str(os.nice(0)), str(who)]


def _installed() -> list[str]:
    """What is installed where this Python looks for packages, and since when."""
    found = []
    for folder in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
        with os.scandir(folder) as entries:
            kept = [entry for entry in entries if entry.name.endswith((".dist-info", ".egg-info", ".pth", ".egg-link"))]
        found += sorted(f"{entry.path} {entry.stat().st_mtime_ns}" for entry in kept)
    return found


def _own_source() -> list[str]:
    """The code that a running host goes on with when it has changed; all else its children import anew."""
    folder = Path(__file__).parent
    return [(folder / name).read_text(encoding="utf-8") for name in ("process.py", "imports.py")]
