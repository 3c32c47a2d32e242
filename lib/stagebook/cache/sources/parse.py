"""One piece of Python source: a digest of its syntax tree, its imports, and the files that it may name.

Two sources with the same digest differ in comments, blank lines and formatting only.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Self

_FILE_NAME = re.compile(r"[^\n\0]{0,300}\.[A-Za-z0-9]{1,8}")
_IMPORTERS = ("import_module", "__import__")


@dataclass(frozen=True)
class Import:
    """`import module` (names None) or `from module import names`; `level` counts the leading dots."""

    module: str
    names: tuple[str, ...] | None = None
    level: int = 0


@dataclass(frozen=True)
class Source:
    """What a source contains: `imports` at any level, and in `files` texts that look like a file's name.

    `digest` is that of the syntax tree; `dynamic` says that it imports modules whose names are computed.
    """

    digest: str
    imports: tuple[Import, ...] = ()
    files: tuple[str, ...] = ()
    dynamic: bool = False

    def to_json(self) -> list[Any]:
        imports = [[statement.module, statement.names, statement.level] for statement in self.imports]
        return [self.digest, imports, list(self.files), self.dynamic]

    @classmethod
    def from_json(cls, value: list[Any]) -> Self:
        digest, statements, files, dynamic = value
        imports = (
            Import(module, None if names is None else tuple(names), level) for module, names, level in statements
        )
        return cls(digest, tuple(imports), tuple(files), dynamic)


def parse(text: str) -> Source:
    """What a source contains; if it is not Python, its digest is that of the text, and it may import anything."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return Source(digest_of(text), dynamic=True)
    return of_tree(tree)


def of_tree(tree: ast.AST) -> Source:
    """What a syntax tree contains."""
    imports, files, dynamic = [], set(), False
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imports += [Import(alias.name) for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                imports.append(Import(module or "", tuple(alias.name for alias in names), level))
            case ast.Call(func=ast.Name(id=function) | ast.Attribute(attr=function), args=[module_name, *_]) if (
                function in _IMPORTERS
            ):
                match module_name:
                    case ast.Constant(value=str(module)) if module[:1] != ".":
                        imports.append(Import(module))
                    case _:
                        dynamic = True
            case ast.Constant(value=str(text)) if _FILE_NAME.fullmatch(text):
                files.add(text)
    return Source(digest_of(ast.dump(tree)), tuple(dict.fromkeys(imports)), tuple(sorted(files)), dynamic)


def file_names(value: Any) -> Iterator[str]:
    """The texts in a parameter's value that look like a file's name."""
    match value:
        case str() if _FILE_NAME.fullmatch(value):
            yield value
        case dict():
            for item in value.values():
                yield from file_names(item)
        case list() | tuple():
            for item in value:
                yield from file_names(item)


def digest_of(content: str | bytes) -> str:
    """A short digest: 16 bytes in hex."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return blake2b(data, digest_size=16).hexdigest()
