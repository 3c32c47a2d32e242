"""Digests of the files and folders that a stage names: by content, and never by time."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from stagebook.cache.sources.source import PARAMETER, digest_of

MOST_FILES = 10_000
"""Of more files below one name, sizes and times count instead of contents."""


def named_files(
    folder: Path, names: Iterable[str], folders: Iterable[str], parameters: Mapping[str, Any]
) -> dict[str, str]:
    """Name → digest of the files that exist under names in the code or the parameters.

    Args:
        folder: the one that names count from.
        names: names of files, with `*` for what is computed and with parameters in them.
        folders: names that may also be folders, which count with all files in them.
    """
    digests: dict[str, str] = {}
    for name in sorted(_filled(names, parameters)):
        digests |= _digests(folder, name, whole_folders=False)
    for name in sorted(_filled(folders, parameters)):
        digests |= _digests(folder, name, whole_folders=True)
    return digests


def _filled(names: Iterable[str], parameters: Mapping[str, Any]) -> set[str]:
    """The names with the values of parameters in them."""
    filled = set()
    for name in names:
        for parameter in parameters if PARAMETER[0] in name else ():
            name = name.replace(PARAMETER.format(parameter), str(parameters[parameter]))
        filled.add(name)
    return filled


def _digests(folder: Path, name: str, *, whole_folders: bool) -> dict[str, str]:
    try:
        paths = list(_files(folder, name, whole_folders=whole_folders))
    except (OSError, ValueError):  # a text that cannot be a file's name
        return {}
    digest = digest_of_file if len(paths) <= MOST_FILES else _state_of_file
    return {shown: digest(path) for shown, path in paths}


def _files(folder: Path, name: str, *, whole_folders: bool) -> Iterator[tuple[str, Path]]:
    """The files that a name means, each with how it is shown. A `*` stands for any text, also for `/`."""
    fixed, star, _ = name.partition("*")
    if star:
        top = fixed.rpartition("/")[0]
        if (fixed.startswith("/") and top.count("/") < 2) or not (folder / top).is_dir():
            return  # it would search a whole disk, or there is nothing
        for path in sorted((folder / top).rglob("*")):
            shown = str(path.relative_to(folder) if path.is_relative_to(folder) else path)
            if fnmatchcase(str(path), str(folder / name)) and path.is_file():
                yield shown, path
    elif (path := folder / name).is_file():
        yield name, path
    elif whole_folders and path.is_dir():
        for inner in sorted(path.rglob("*")):
            if inner.is_file():
                yield f"{name.rstrip('/')}/{inner.relative_to(path)}", inner


def digest_of_file(path: Path) -> str:
    """The digest of a file's content; empty if there is no such file."""
    try:
        return digest_of(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return ""


def _state_of_file(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} bytes, {status.st_mtime_ns}, {status.st_ctime_ns}"
