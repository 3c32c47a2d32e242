"""The code that a function reaches, as one digest."""

import ast
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from stagebook.cache.sources.modules import ModuleFinder, project_roots
from stagebook.cache.sources.parse import parse
from stagebook.cache.sources.source import digest_of
from stagebook.cache.sources.store import SourceCache

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_SET_BY_PYTHON = ("__module__", "__qualname__", "__doc__", "__firstlineno__", "__static_attributes__")


def function_digest(function: Callable[..., Any]) -> str:
    """A digest of the code that a function depends on; comments, blank lines and formatting do not count.

    Of a function in a module: that module, and those of its top-level package that its imports reach, wherever the
    package is installed. Of one in a notebook: its own source, the notebook's functions and classes that it uses, and
    the project's modules that these use or import. Numbers, texts and containers of these count as well where
    the function takes them from its notebook, from the function around it, or from `functools.partial`.
    """
    own = inspect.unwrap(function.func if isinstance(function, functools.partial) else function)
    modules: dict[str, str] = {}
    if (path := _file(own)) is not None:
        root = path.parents[own.__module__.count(".") + (path.name == "__init__.py")]
        finder = ModuleFinder([root], SourceCache(None), package=own.__module__.partition(".")[0])
        modules |= finder.reached_by(parse(f"import {own.__module__}"), root).modules
    values, sources = _used(function)
    finder = ModuleFinder(project_roots(), SourceCache(None))
    for source in sources - {f"import {own.__module__}"}:
        modules |= finder.reached_by(parse(source), Path.cwd()).modules
    parts = (sorted(values), sorted(parse(source).digest for source in sources), sorted(modules.items()))
    return digest_of(repr(parts))


def _used(function: Callable[..., Any]) -> tuple[set[tuple[str, str]], set[str]]:
    """The plain values by the name under which a function finds them, and the sources of what it uses.

    A source is the notebook's own code, or an import of a module.
    """
    values: set[tuple[str, str]] = set()
    sources: set[str] = set()
    pending: list[tuple[str, Any]] = [("", function)]
    visited: list[Any] = []
    while pending:
        name, value = pending.pop()
        if isinstance(value, _PLAIN):
            values.add((name, repr(value)))
            continue
        if any(value is earlier for earlier in visited):
            continue
        visited.append(value)
        match inspect.unwrap(value) if callable(value) else value:
            case dict() as mapping:
                pending += [(f"{name}[{key!r}]", item) for key, item in mapping.items()]
            case list() | tuple() as items:
                pending += [(f"{name}[{place}]", item) for place, item in enumerate(items)]
            case set() | frozenset() as items:
                pending += [(f"{name}[]", item) for item in items]
            case functools.partial() as bound:
                pending += [("", bound.func), (f"{name}()", bound.args), (f"{name}()", bound.keywords)]
            case ModuleType() as module:
                sources.add(f"import {module.__name__}")
            case (FunctionType() | MethodType() | type()) as definition if _file(definition) is not None:
                sources.add(f"import {definition.__module__}")
                pending += _enclosed(definition)
            case (FunctionType() | MethodType()) as definition:
                source = _source(definition)
                sources.add(source)
                pending += [*_globals_used(source, definition), *_enclosed(definition)]
            case type() as definition:
                pending += [("", base) for base in definition.__bases__]
                pending += [(f"{name}.{key}", item) for key, item in _members(definition)]
            case instance:
                sources.add(f"import {type(instance).__module__}")
    return values, sources


def _file(definition: Any) -> Path | None:
    """The file of the module that holds a function or class; None for one of a notebook."""
    file = getattr(sys.modules.get(definition.__module__), "__file__", None)
    return None if file is None or definition.__module__ == "__main__" else Path(file)


def _source(function: Any) -> str:
    """The source of a function; what it was compiled to where there is none, as for generated code."""
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return _compiled(function.__code__)


def _compiled(code: CodeType) -> str:
    constants = [_compiled(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts]
    return repr((code.co_code.hex(), code.co_names, constants))


def _globals_used(source: str, function: Any) -> Iterator[tuple[str, Any]]:
    """The names in a source that the function's notebook defines, each with its value."""
    try:
        names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    except SyntaxError:  # the source of a lambda is the lines in which it stands
        names = set(re.findall(r"[A-Za-z_]\w*", source))
    for name in sorted(names & function.__globals__.keys()):
        yield name, function.__globals__[name]


def _enclosed(definition: Any) -> Iterator[tuple[str, Any]]:
    """The names that a function takes from the function in which it was defined, each with its value."""
    cells = getattr(definition, "__closure__", None) or ()
    for name, cell in zip(definition.__code__.co_freevars if cells else (), cells, strict=True):
        yield name, cell.cell_contents


def _members(definition: type) -> Iterator[tuple[str, Any]]:
    """What a class defines, by name; its docstring and what Python sets itself do not count."""
    for name, member in vars(definition).items():
        if name not in _SET_BY_PYTHON:
            for attribute in ("__func__", "fget", "func"):  # of static and class methods, properties, cached ones
                member = getattr(member, attribute, member)
            yield name, member
