"""The append-only journal of a run: one JSON object a line, flushed at each event.

The last keys of a line are its number and a checksum of what is before it, so that a line that was changed, lost or
moved is noticed where it is. Journals of earlier versions have neither; their events are checked by `event_shapes`.
"""

import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from stagebook.errors import DamagedRun, Unwritable
from stagebook.runs.event_shapes import shape_problem

MAX_DEPTH = 100
"""Levels of nesting in a line without a checksum; those that the kit writes have fewer."""

_CHECKSUM = re.compile(rb', "crc32": "([0-9a-f]{8})"\}')


@dataclass(frozen=True)
class JournalLine:
    """A line of a journal, by its number from 1: its event, or why it has none that can be trusted.

    `written` is the number that it was written with.
    """

    number: int
    event: dict[str, Any]
    problem: str | None = None
    has_checksum: bool = False
    written: int | None = None


class Journal:
    """Appends events to `events.jsonl`. One process writes at a time (it holds the run's lock)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._lines = self._mend_end()
        except OSError as fault:
            raise Unwritable.of(path, fault) from fault

    def _mend_end(self) -> int:
        """Cut off a last line that a crash has cut short, or end one that lacks only its end; the number of lines."""
        content = _content(self._path)
        whole, torn = _without_torn_tail(content)
        if torn:
            os.ftruncate(self._file, len(whole))
        elif whole and not whole.endswith(b"\n"):
            whole += b"\n"
            os.write(self._file, b"\n")
        return whole.count(b"\n")

    def append(self, *events: dict[str, Any]) -> None:
        """Write events and hand them to the disk before returning; on a failure none of them is in the journal.

        Raises:
            Unwritable: the disk takes no more.
        """
        numbered = enumerate(events, start=self._lines + 1)
        content = memoryview(b"".join(_encode(event, number) for number, event in numbered))
        size = os.fstat(self._file).st_size
        try:
            while content:
                content = content[os.write(self._file, content) :]
            os.fsync(self._file)
        except OSError as fault:
            os.ftruncate(self._file, size)
            raise Unwritable.of(self._path, fault) from fault
        self._lines += len(events)

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(path: Path) -> list[dict[str, Any]]:
    """All whole events of a journal, oldest first; a last line cut short by a crash is left out.

    Raises:
        DamagedRun: a line cannot be read, or is not what was written; it names the line.
    """
    return [line.event for line in read_lines(path)]


def read_lines(path: Path) -> list[JournalLine]:
    """As `read`, with the numbers of the lines."""
    lines = []
    for line in scan(path):
        if line.problem is not None:
            raise DamagedRun.of(path, line.problem, line=line.number)
        lines.append(line)
    return lines


def scan(path: Path) -> Iterator[JournalLine]:
    """All lines of a journal with what is wrong with them; a last line cut short by a crash is left out.

    Raises:
        DamagedRun: the file cannot be read at all.
    """
    whole, _ = _without_torn_tail(_content(path))
    for number, line in enumerate(whole.removesuffix(b"\n").split(b"\n") if whole else (), start=1):
        if line.strip():
            yield _decode(line, number)


def torn_tail(path: Path) -> bytes:
    """What a crash has left of a last line."""
    return _without_torn_tail(_content(path))[1]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if path.is_symlink():
            raise DamagedRun.of(path, "it is a link to nothing") from None
        return b""
    except OSError as fault:
        raise DamagedRun.of(path, fault.strerror or str(fault)) from fault


def _without_torn_tail(content: bytes) -> tuple[bytes, bytes]:
    """The whole lines, and a last line that a crash has cut short; one that lacks only its end of line is whole."""
    start = content.rfind(b"\n") + 1
    checksum = _CHECKSUM.search(content, start)
    is_whole = checksum is not None and _fits(content[start:], checksum.start() - start, checksum[1])
    return (content, b"") if is_whole else (content[:start], content[start:])


def _fits(line: bytes, end: int, checksum: bytes) -> bool:
    return zlib.crc32(memoryview(line)[:end]) == int(checksum, 16)


def _encode(event: dict[str, Any], number: int) -> bytes:
    text = json.dumps({**event, "line": number}, ensure_ascii=False, default=str)
    body = text[:-1].encode("utf-8", "backslashreplace")  # JSON has an escape for half a surrogate pair
    return b'%s, "crc32": "%08x"}\n' % (body, zlib.crc32(body))


def _decode(line: bytes, number: int) -> JournalLine:
    checksum = _CHECKSUM.search(line, max(0, len(line) - 22))
    if checksum and (checksum.end() != len(line) or not _fits(line, checksum.start(), checksum[1])):
        return JournalLine(number, {}, "it is not what was written: its checksum differs", has_checksum=True)
    try:
        event = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as fault:
        return JournalLine(number, {}, f"it is no JSON: {type(fault).__name__}: {str(fault).splitlines()[0][:200]}")
    if checksum:
        del event["crc32"]
        written = event.pop("line", number)
        problem = None if written == number else f"it was written as line {written}: lines are lost or were moved"
        return JournalLine(number, event, problem, has_checksum=True, written=written)
    if isinstance(event, dict) and "line" in event:
        return JournalLine(number, {}, "it is not what was written: it has lost its checksum")
    return JournalLine(number, event, _depth_problem(line) or shape_problem(event))


def _depth_problem(line: bytes) -> str | None:
    if line.count(b"[") + line.count(b"{") <= MAX_DEPTH:
        return None
    depth = deepest = 0
    for bracket in re.findall(rb"[\[\]{}]", line):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return f"it is nested deeper than {MAX_DEPTH} levels" if deepest > MAX_DEPTH else None
