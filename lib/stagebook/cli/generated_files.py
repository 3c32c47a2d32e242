"""Folders of generated files: written, or compared with what would be written."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from stagebook.atomic import write_text


def stale(folder: Path, files: Mapping[str, str], generated: Iterable[str]) -> list[str]:
    """What differs between the folder and the files that should be in it, one line each.

    Args:
        generated: glob patterns of files that only the generator makes; others in the folder are left alone.
    """
    lines = []
    for name, text in files.items():
        path = folder / name
        if not path.is_file():
            lines.append(f"{name}: missing")
        elif path.read_bytes() != text.encode("utf-8"):
            lines.append(f"{name}: differs")
    return sorted([*lines, *(f"{name}: left over" for name in left_over(folder, files, generated))])


def left_over(folder: Path, files: Mapping[str, str], generated: Iterable[str]) -> list[str]:
    """Files that an earlier call wrote and that are not among the files now."""
    there = {path.relative_to(folder).as_posix() for pattern in generated for path in folder.glob(pattern)}
    return sorted(there - set(files))


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write all files, each in one step."""
    for name, text in files.items():
        write_text(folder / name, text)
