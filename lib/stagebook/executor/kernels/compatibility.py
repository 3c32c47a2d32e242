"""When two runs may share a fork server: what a fork cannot change, or an import may have looked at, must be equal."""

import hashlib
import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from stagebook.executor.kernels import fork_server_process

RUN_VARIABLES = (
    "STAGEBOOK_", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_CONTEXT", "PWD", "OLDPWD", "SHLVL", "_",
    "COLUMNS", "LINES", "TERM", "SSH_", "TMUX", "STY", "WINDOWID", "XDG_SESSION_", "DBUS_", "VSCODE_", "PYTEST_",
    "JPY_", "UV_RUN_", "JAVA_TOOL_OPTIONS",
)  # fmt: skip
"""Variables (beginnings of names) that no library looks at when it is imported. All others count: one fork server too
many costs a start, one too few would compute something else."""

_PACKAGE_ENDINGS = (".dist-info", ".egg-info", ".pth", ".egg-link")


def key(environment: Mapping[str, str]) -> str:
    """The name of the fork server that this process may use, for processes with this environment."""
    facts = [sys.version, sys.executable, *_variables(environment), *_process(), *_packages(), _server_source()]
    return hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _variables(environment: Mapping[str, str]) -> list[str]:
    """The variables that an import may have looked at."""
    return [f"{name}={value}" for name, value in sorted(environment.items()) if not name.startswith(RUN_VARIABLES)]


def _process() -> list[str]:
    """Limits, control groups, processors, name spaces and users of this process; its children keep them."""
    texts = [Path("/proc/self", name).read_text(encoding="utf-8") for name in ("limits", "cgroup", "oom_score_adj")]
    spaces = [str((Path("/proc/self/ns") / name).readlink()) for name in ("mnt", "pid", "net", "ipc", "user", "uts")]
    users = [os.getresuid(), os.getresgid(), os.getgroups()]
    return [*texts, *spaces, str(sorted(os.sched_getaffinity(0))), str(os.nice(0)), str(users)]


def _packages() -> list[str]:
    """What is installed where this Python looks for packages, and since when."""
    packages = []
    for folder in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
        with os.scandir(folder) as entries:
            installed = [entry for entry in entries if entry.name.endswith(_PACKAGE_ENDINGS)]
        packages += sorted(f"{entry.path} {entry.stat().st_mtime_ns}" for entry in installed)
    return packages


def _server_source() -> str:
    """The code that a running fork server goes on with when it has changed; all else its children import anew."""
    return Path(fork_server_process.__file__).read_text(encoding="utf-8")
