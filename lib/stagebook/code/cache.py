"""What has been parsed before, by content: parsing a hundred modules takes half a second, hashing them 5 ms."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from stagebook.code.cells import NotebookCode, code_of
from stagebook.code.source import Source, digest_of, parse
from stagebook.notebook.outline import Outline
from stagebook.storage import atomic

FORMAT = 1
MOST_ENTRIES = 20_000


class SourceCache:
    """Sources by the digest of their bytes; kept in `file` between runs, and never trusted for anything else."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[str, Any] = _read(file) if file else {}
        self._sources: dict[str, Source] = {}
        self._changed = False

    def source(self, content: bytes) -> Source:
        """What a module's file holds."""
        key = digest_of(content)
        if key not in self._known:
            self._keep(key, parse(content.decode("utf-8", "replace")).to_json())
        if key not in self._sources:
            self._sources[key] = Source.from_json(self._known[key])
        return self._sources[key]

    def notebook(self, content: str, outline: Callable[[], Outline]) -> NotebookCode:
        """What a notebook's files hold; `outline` reads it where it is not known yet."""
        key = f"notebook-{digest_of(content)}"
        if key not in self._known:
            self._keep(key, code_of(outline()).to_json())
        return NotebookCode.from_json(self._known[key])

    def _keep(self, key: str, value: Any) -> None:
        self._known[key] = value
        self._changed = True

    def save(self) -> None:
        """Keep what is new; the oldest entries go where there are too many. A full disk costs time only."""
        if self._file is None or not self._changed:
            return
        newest = dict(list(self._known.items())[-MOST_ENTRIES:])
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(self._file, json.dumps({"version": _version(), "known": newest}))
        self._changed = False


def _version() -> list[Any]:
    """Syntax trees are told in words that differ between Pythons."""
    return [FORMAT, *sys.version_info[:3]]


def _read(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        return value["known"] if value["version"] == _version() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
