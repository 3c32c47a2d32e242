"""What a piece of source code depends on, as far as it can be read without running it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import blake2b
from typing import Any, NamedTuple, Self

PARAMETER = "\x01{}\x02"
"""How the value of a parameter stands in the name of a file."""


class UnknownKind(StrEnum):
    """What the unknown is, which decides what settles it.

    `FILES`: names of files are computed, and Python opens them, so that the kernel can report them. `OPAQUE_FILES`:
    compiled code or another program opens them. `ENVIRONMENT`: names of variables are computed. `OUTSIDE`: anything
    else, such as the time or another machine.
    """

    FILES = "files"
    OPAQUE_FILES = "opaque files"
    ENVIRONMENT = "environment"
    OUTSIDE = "outside"


class Unknown(NamedTuple):
    """Something that a result may depend on and that cannot be told: what, and in which cell or module."""

    kind: UnknownKind
    text: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.place} {self.text}".strip()


@dataclass(frozen=True)
class Import:
    """`import module` (names None) or `from module import names`; `level` counts the leading dots."""

    module: str
    names: tuple[str, ...] | None = None
    level: int = 0


@dataclass(frozen=True)
class Source:
    """What a source depends on.

    `digest` tells its code apart. `imports` are those at any level; `dynamic` says that it imports modules whose names
    are computed. `files` are names that may be files, with `*` for what is computed; `folders` names that may also be
    folders, read whole. `scripts` are files whose code it runs in its own process, `programs` those that it runs in
    another one. `environment` are names of environment variables. `unknown` is what cannot be told.
    """

    digest: str
    imports: tuple[Import, ...] = ()
    files: tuple[str, ...] = ()
    dynamic: bool = False
    folders: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    unknown: tuple[Unknown, ...] = ()

    @classmethod
    def union(cls, digest: str, sources: Iterable[Self]) -> Self:
        """All that any of the sources depends on."""
        sources = list(sources)
        return cls(
            digest=digest,
            imports=tuple(dict.fromkeys(statement for source in sources for statement in source.imports)),
            files=_sorted(name for source in sources for name in source.files),
            dynamic=any(source.dynamic for source in sources),
            folders=_sorted(name for source in sources for name in source.folders),
            scripts=_sorted(name for source in sources for name in source.scripts),
            programs=_sorted(name for source in sources for name in source.programs),
            environment=_sorted(name for source in sources for name in source.environment),
            unknown=tuple(dict.fromkeys(unknown for source in sources for unknown in source.unknown)),
        )

    def at(self, place: str) -> Self:
        """The same, with the place at which it stands."""
        return replace(self, unknown=tuple(item._replace(place=item.place or place) for item in self.unknown))

    def opaque(self) -> Self:
        """The same in another process, which does not report what it opens."""
        unknown = (
            item._replace(kind=UnknownKind.OPAQUE_FILES) if item.kind is UnknownKind.FILES else item
            for item in self.unknown
        )
        return replace(self, unknown=tuple(unknown))

    def to_json(self) -> list[Any]:
        imports = [[statement.module, statement.names, statement.level] for statement in self.imports]
        names = [list(names) for names in (self.files, self.folders, self.scripts, self.programs, self.environment)]
        return [self.digest, imports, self.dynamic, names, [list(unknown) for unknown in self.unknown]]

    @classmethod
    def from_json(cls, value: list[Any]) -> Self:
        digest, statements, dynamic, names, unknown = value
        files, folders, scripts, programs, environment = (tuple(group) for group in names)
        imports = tuple(
            Import(module, None if names is None else tuple(names), level) for module, names, level in statements
        )
        unknowns = tuple(Unknown(UnknownKind(kind), text, place) for kind, text, place in unknown)
        return cls(digest, imports, files, dynamic, folders, scripts, programs, environment, unknowns)


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def digest_of(content: str | bytes) -> str:
    """A short digest: 16 bytes in hex."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return blake2b(data, digest_size=16).hexdigest()
