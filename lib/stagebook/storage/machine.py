"""What outlives a run on this machine: where it is kept, and whether a process of it still lives."""

import os
from pathlib import Path

STATE = "STAGEBOOK_STATE_DIR"
"""Environment variable: the folder for what outlives a run on this machine."""


def state_folder() -> Path:
    """The folder of this user for servers, hosts and calibration; not made here."""
    from platformdirs import user_state_path

    base = os.environ.get(STATE)
    return Path(base) if base else user_state_path("stagebook")


def lives(pid: int, created: float | None = None) -> bool:
    """Whether the process runs. One whose number was given to another process later does not.

    Args: created: when it began, in seconds since the epoch, as psutil tells it.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        same = created is None or abs(process.create_time() - created) <= 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def private_folder(path: Path) -> Path:
    """The folder, made if need be, which only this user can enter."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path
