"""Parsed sources stored by content: parsing a hundred modules takes half a second, hashing them 5 ms."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from stagebook import atomic
from stagebook.cache.sources.notebook import NotebookCode, code_of
from stagebook.cache.sources.parse import parse
from stagebook.cache.sources.source import Source, digest_of
from stagebook.notebooks.outline import Outline

FORMAT = 2
MOST_ENTRIES = 20_000


class SourceCache:
    """Parsed sources by the digest of their bytes; `file` stores them between runs (None: it does not)."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._entries: dict[str, Any] = _read(file) if file else {}
        self._sources: dict[str, Source] = {}
        self._changed = False

    def source(self, content: bytes) -> Source:
        """What a module's file contains."""
        key = digest_of(content)
        if key not in self._entries:
            self._add(key, parse(content.decode("utf-8", "replace")).to_json())
        if key not in self._sources:
            self._sources[key] = Source.from_json(self._entries[key])
        return self._sources[key]

    def notebook(self, content: str, outline: Callable[[], Outline]) -> NotebookCode:
        """The code of a notebook with this `read.content`; `outline` is called if it has not been parsed before."""
        key = f"notebook-{digest_of(content)}"
        if key not in self._entries:
            self._add(key, code_of(outline()).to_json())
        return NotebookCode.from_json(self._entries[key])

    def _add(self, key: str, value: Any) -> None:
        self._entries[key] = value
        self._changed = True

    def save(self) -> None:
        """Write the file if there are new entries, without the oldest of too many. A full disk costs time only."""
        if self._file is None or not self._changed:
            return
        newest = dict(list(self._entries.items())[-MOST_ENTRIES:])
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(self._file, json.dumps({"version": _version(), "known": newest}))
        self._changed = False


def _version() -> list[Any]:
    """`ast.dump` gives different texts in different versions of Python."""
    return [FORMAT, *sys.version_info[:3]]


def _read(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        return value["known"] if value["version"] == _version() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
