"""The memory and cores that this process may use: those of the machine, or of its container if that has limits."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
VMSTAT = Path("/proc/vmstat")


@dataclass(frozen=True)
class Memory:
    """Total and free bytes; Linux' file cache counts as free."""

    total: int
    free: int


def memory(own: Path = OWN_GROUPS, root: Path = CGROUPS) -> Memory:
    """The current memory, under the narrowest limit of this process's control groups (version 1 or 2)."""
    import psutil

    machine = psutil.virtual_memory()
    limits = [Memory(machine.total, machine.available), *_limits(own, root)]
    return Memory(min(limit.total for limit in limits), min(limit.free for limit in limits))


def cores() -> int:
    """The number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def oom_kills(own: Path = OWN_GROUPS, root: Path = CGROUPS, vmstat: Path = VMSTAT) -> int:
    """The number of processes that Linux has killed for lack of memory, on the machine and in this process's groups."""
    folders = {folder for folder, *_ in _groups(own, root)}
    files = [folder / name for folder in folders for name in ("memory.events", "memory.oom_control")]
    return sum(_counter(file, "oom_kill") for file in [*files, vmstat])


def _limits(own: Path, root: Path) -> Iterator[Memory]:
    for folder, limit, usage, cache in _groups(own, root):
        total = _number(folder / limit)
        if total is not None:
            used = (_number(folder / usage) or 0) - _counter(folder / "memory.stat", cache)
            yield Memory(total, max(0, total - used))


def _groups(own: Path, root: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Each control group of this process, up to the root, and the names of its limit, usage and cache counter.

    In a container the path is the host's while the files are the container's, so the root is always included.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root, ("memory.max", "memory.current", "inactive_file")
        elif controllers == "memory":
            base, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        below = PurePosixPath(path.lstrip("/"))
        for group in dict.fromkeys([below, *below.parents, PurePosixPath()]):
            yield base / group, *names


def _number(file: Path) -> int | None:
    """The number in a file; None if it has none, such as `max`."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _counter(file: Path, key: str) -> int:
    """The number after a key in a file; 0 if the key or the file is missing."""
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(value) for name, _, value in (line.partition(" ") for line in lines) if name == key)
