"""The append-only journal of a run: one JSON object a line, flushed at each event."""

import json
import os
from pathlib import Path
from typing import Any, Self


class Journal:
    """Appends events to `events.jsonl`. One process writes at a time (it holds the run's lock)."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_tail(path)
        self._stream = path.open("a", encoding="utf-8")

    def append(self, *events: dict[str, Any]) -> None:
        """Write events and hand them to the disk before returning."""
        self._stream.writelines(json.dumps(event, ensure_ascii=False, default=str) + "\n" for event in events)
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(path: Path) -> list[dict[str, Any]]:
    """All whole events of a journal, oldest first; a last line cut short by a crash is left out."""
    events: list[dict[str, Any]] = []
    if not path.exists():
        return events
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        if line.strip():
            events.append(json.loads(line))
    return events


def _drop_torn_tail(path: Path) -> None:
    """Cut off a last line without its newline: the crash that left it also lost its event."""
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)
