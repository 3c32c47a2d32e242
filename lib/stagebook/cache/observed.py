"""What an attempt has asked for: its kernel's report, turned into digests and into what nobody can tell."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from stagebook.cache.files import digest_of_file
from stagebook.cache.sources.commands import CommandUse, arguments_use, command_use
from stagebook.cache.sources.source import Source, Unknown, UnknownKind, digest_of

ACCESS = ".access.jsonl"
"""Suffix of the file beside an attempt's notebook to which its kernel reports."""

CodeDigest = Callable[[Path], str]
"""From a module's file to the digest of its syntax tree; empty if there is no such file."""

_CODE, _LIST = "code:", "list:"


@dataclass(frozen=True)
class AccessReport:
    """The lines of a kernel's report by kind, as `executor.kernels.access_report` writes them.

    `reads` has for each file its state when it was opened (None: it was not there), `lists` for each folder the names
    in it.
    """

    reads: Mapping[str, tuple[int, ...] | None] = field(default_factory=dict)
    code: tuple[str, ...] = ()
    writes: frozenset[str] = frozenset()
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    commands: tuple[str | tuple[str, ...], ...] = ()
    connections: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    incomplete: bool = False

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """The report in a file; None where the kernel could not report."""
        try:
            lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        except (FileNotFoundError, ValueError):
            return None
        return cls(
            reads={line["read"]: _state(line["state"]) for line in lines if "read" in line},
            code=tuple(line["code"] for line in lines if "code" in line),
            writes=frozenset(line["write"] for line in lines if "write" in line),
            lists={line["list"]: tuple(line["names"]) for line in lines if "list" in line},
            commands=tuple(_command(line["command"]) for line in lines if "command" in line),
            connections=tuple(line["connect"] for line in lines if "connect" in line),
            folders=tuple(line["folder"] for line in lines if "folder" in line),
            incomplete=any("incomplete" in line for line in lines),
        )


def _state(value: list[int] | None) -> tuple[int, ...] | None:
    return None if value is None else tuple(value)


def _command(value: str | list[str]) -> str | tuple[str, ...]:
    return value if isinstance(value, str) else tuple(value)


@dataclass(frozen=True)
class Observed:
    """What a result depends on besides its key: `digests` of what was asked for, and what stays `unknown`."""

    digests: Mapping[str, str]
    unknown: tuple[Unknown, ...]

    def to_json(self) -> dict[str, Any]:
        return {"digests": dict(self.digests), "unknown": [list(item) for item in self.unknown]}


def observe(report: AccessReport, folder: Path, known_code: Iterable[Path], code_digest: CodeDigest) -> Observed:
    """What an attempt that has just ended depends on, by the report of its kernel.

    Args:
        folder: the notebook's.
        known_code: modules that the cache key contains already.
        code_digest: the digest of a module's syntax tree.
    """
    uses = [
        arguments_use(command) if isinstance(command, tuple) else command_use(command) for command in report.commands
    ]
    # What a command names by a variable stays open: the words were reported as the shell got them.
    in_commands = Source("", unknown=tuple(item for use in uses for item in use.unknown)).opaque().unknown
    unknown = [*_connections(report), *in_commands, *_changed_while_read(report)]
    if report.incomplete:
        unknown.append(Unknown(UnknownKind.OUTSIDE, "it opened too many files to report them"))
    code = {f"{_CODE}{path}": code_digest(Path(path)) for path in set(report.code) - {str(path) for path in known_code}}
    named = {str(base / word) for base in _bases(report, folder) for use in uses for word in _words(use)}
    files = {*report.reads, *report.writes, *(name for name in named if Path(name).is_file())}
    lists = {f"{_LIST}{path}": _names_digest(path, names, report) for path, names in report.lists.items()}
    digests = {**code, **lists, **{name: digest_of_file(Path(name)) for name in files}}
    return Observed(dict(sorted(digests.items())), tuple(dict.fromkeys(unknown)))


def current_digests(observed: Iterable[str], code_digest: CodeDigest) -> dict[str, str]:
    """The digests as of now of what was observed."""
    digests = {}
    for name in observed:
        if name.startswith(_CODE):
            digests[name] = code_digest(Path(name.removeprefix(_CODE)))
        elif name.startswith(_LIST):
            digests[name] = _current_names_digest(name.removeprefix(_LIST))
        else:
            digests[name] = digest_of_file(Path(name))
    return digests


def changes(before: Mapping[str, str], current: Mapping[str, str]) -> Iterator[str]:
    """What of all that was observed has changed, in words."""
    for name, digest in before.items():
        if current[name] == digest:
            continue
        if name.startswith(_CODE):
            yield f"`{Path(name).name}` changed"
        elif name.startswith(_LIST):
            yield f"the files in `{name.removeprefix(_LIST)}` are others"
        else:
            yield f"file `{name}` {'is gone' if not current[name] else 'is new' if not digest else 'changed'}"


def _connections(report: AccessReport) -> Iterator[Unknown]:
    for address in report.connections[:1]:
        remainder = f" and {len(report.connections) - 1} more" if len(report.connections) > 1 else ""
        yield Unknown(UnknownKind.OUTSIDE, f"it asked {address}{remainder}")


def _changed_while_read(report: AccessReport) -> Iterator[Unknown]:
    """Files of which nobody can say what the attempt has read: they changed after it had opened them."""
    for name, state in report.reads.items():
        if state is not None and _current_state(name) != state:
            text = f"it changes `{name}`, which it reads" if name in report.writes else f"`{name}` changed while it ran"
            yield Unknown(UnknownKind.OUTSIDE, text)


def _current_state(name: str) -> tuple[int, ...] | None:
    try:
        status = Path(name).stat()
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _bases(report: AccessReport, folder: Path) -> list[Path]:
    """The folders from which the names in commands may count."""
    return [folder, *map(Path, report.folders)]


def _words(use: CommandUse) -> set[str]:
    return use.words | use.programs


def _names_digest(path: str, names: Iterable[str], report: AccessReport) -> str:
    """Of the names in a folder when it was listed, and those that the attempt has added since."""
    own = {Path(name).name for name in report.writes if str(Path(name).parent) == path}
    return digest_of("\n".join(sorted({*names, *(name for name in own if Path(path, name).exists())})))


def _current_names_digest(path: str) -> str:
    try:
        return digest_of("\n".join(sorted(entry.name for entry in Path(path).iterdir())))
    except OSError:
        return ""
