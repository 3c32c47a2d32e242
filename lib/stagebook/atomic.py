"""Atomic file writes: a file has either its old content or its new content, never a part of it."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace `path` by `text` in one step: UTF-8, with the escapes of JSON for halves of surrogate pairs."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"), mode)


def write_bytes(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace `path` by `content` in one step; a full disk or a kill leaves the old file untouched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException as fault:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(fault, OSError) and fault.errno:
            fault.filename = str(path)
        raise


def write_json(path: Path, value: Any, mode: int = 0o644) -> None:
    """Replace `path` by the value as indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n", mode)


def read_json(path: Path) -> Any | None:
    """The value in `path`, or None where there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def readable_json(path: Path) -> Any | None:
    """As `read_json`, but None too where the file cannot be read; for files that are lost without harm."""
    try:
        return read_json(path)
    except (OSError, ValueError, RecursionError):
        return None
