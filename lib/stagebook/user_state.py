"""The folder for this user's state that outlives a run, and checks for processes recorded in it."""

import os
from pathlib import Path

STATE_VARIABLE = "STAGEBOOK_STATE_DIR"
"""Environment variable: the folder for state that outlives a run on this machine."""


def state_folder() -> Path:
    """This user's folder for Spark servers, fork servers and calibration; not created here."""
    from platformdirs import user_state_path

    base = os.environ.get(STATE_VARIABLE)
    return Path(base) if base else user_state_path("stagebook")


def is_alive(pid: int, created: float | None = None) -> bool:
    """Whether the process is running. False if its id now belongs to another process, or if it is a zombie.

    Args:
        created: its start in seconds since the epoch, from psutil; None does not check it.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        is_original = created is None or abs(process.create_time() - created) <= 1
        return is_original and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def private_folder(path: Path) -> Path:
    """The folder, created if need be, which only this user can enter."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path
