"""Whether MLflow can have its database where a tracking address says."""

import os
from pathlib import Path

SQLITE = "sqlite:///"
_MAGIC = b"SQLite format 3\0"


def database_problem(uri: str, root: Path) -> str | None:
    """Why the file of a sqlite address cannot be a database; None where it can, and for other addresses.

    Args: root: the folder of relative paths.
    """
    name = uri.removeprefix(SQLITE).partition("?")[0]
    if not uri.startswith(SQLITE) or name in ("", ":memory:"):
        return None
    file = root / name
    if file.is_dir():
        return f"{file} is a folder, not a file."
    if file.exists():
        return _content_problem(file)
    folder = next(parent for parent in file.parents if os.path.lexists(parent))
    if not folder.is_dir():
        return f"{file} cannot be made: {folder} is no folder."
    if os.statvfs(folder).f_blocks == 0:
        return f"{file} cannot be made: {folder} is no folder on a disk."
    return None if os.access(folder, os.W_OK) else f"{file} cannot be made: {folder} cannot be written."


def _content_problem(file: Path) -> str | None:
    if not file.is_file():
        return f"{file} is no ordinary file."
    try:
        with file.open("rb") as stream:
            start = stream.read(len(_MAGIC))
    except OSError as fault:
        return f"{file} cannot be read: {fault.strerror}."
    return None if start in (b"", _MAGIC) else f"{file} is no sqlite database."
