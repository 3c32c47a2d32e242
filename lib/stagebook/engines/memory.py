"""The memory and the cores that this process may use: the machine's, or less where its container is limited."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
MACHINE = Path("/proc/vmstat")


@dataclass(frozen=True)
class Memory:
    """Bytes in all, and bytes that are free; files that Linux keeps in memory count as free."""

    total: int
    free: int


def memory(own: Path = OWN, root: Path = CGROUPS) -> Memory:
    """What there is now, under the narrowest limit of the control groups (version 1 or 2) of this process."""
    import psutil

    machine = psutil.virtual_memory()
    limits = [Memory(machine.total, machine.available), *_limits(own, root)]
    return Memory(min(limit.total for limit in limits), min(limit.free for limit in limits))


def cores() -> int:
    """How many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def oom_kills(own: Path = OWN, root: Path = CGROUPS, machine: Path = MACHINE) -> int:
    """How many processes Linux has ended so far because memory ran out, here and in the groups of this process."""
    folders = {folder for folder, *_ in _groups(own, root)}
    files = [folder / name for folder in folders for name in ("memory.events", "memory.oom_control")]
    return sum(_counted(file, "oom_kill") for file in [*files, machine])


def _limits(own: Path, root: Path) -> Iterator[Memory]:
    for folder, limit, usage, cache in _groups(own, root):
        total = _number(folder / limit)
        if total is not None:
            used = (_number(folder / usage) or 0) - _counted(folder / "memory.stat", cache)
            yield Memory(total, max(0, total - used))


def _groups(own: Path, root: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Each group that this process is in, up to the root, and what its files are called.

    In a container the path is that of the host, while the files are those of the container: the root is
    looked at in any case.
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
        for part in dict.fromkeys([below, *below.parents, PurePosixPath()]):
            yield base / part, *names


def _number(file: Path) -> int | None:
    """The number in a file; None where there is none, as for `max`."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _counted(file: Path, key: str) -> int:
    """The number behind a word in a file; 0 where there is none."""
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(value) for word, _, value in (line.partition(" ") for line in lines) if word == key)
