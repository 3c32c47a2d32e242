"""Magics of Databricks' notebooks: `%sql`, `%fs`, `%pip` and those that IPython writes in another way."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from stagebook.notebook.guest import magic
from stagebook.standins.errors import PackageMissing

RESULT = "_sqldf"
"""The name under which the last result of `%sql` is kept."""

_CELLS = {"sql": "%%sql", "sh": "%%sh", "fs": "%%fs", "md": "%%markdown", "md-sandbox": "%%markdown"}
_WHEEL = re.compile(r"([A-Za-z0-9_.]+?)-[^-]+(-[^-]+){2,3}\.whl")


def register(shell: Any, names: Mapping[str, Any]) -> None:
    """Let an IPython shell understand the cells; `names` are those that Databricks puts into a notebook."""
    shell.input_transformers_cleanup.append(as_ipython_writes)
    shell.register_magic_function(_sql(shell, names), "cell", "sql")
    shell.register_magic_function(_fs(names), "cell", "fs")
    shell.register_magic_function(pip, "line", "pip")
    shell.register_magic_function(lambda line: None, "line", "restart_python")


def as_ipython_writes(lines: list[str]) -> list[str]:
    """A cell whose first line is `%sql`, `%python` or the like, with that line as IPython has it."""
    first = next((place for place, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return lines
    name = magic(lines[first])
    rest = lines[first].strip().partition(" ")[2]
    if name == "python":
        return [f"{rest}\n", *lines[first + 1 :]]
    if name in _CELLS:
        body = [f"{rest}\n"] if rest and name != "sh" else []
        options = f" {rest}" if rest and name == "sh" else ""
        return [f"{_CELLS[name]}{options}\n", *body, *lines[first + 1 :]]
    return lines


def _sql(shell: Any, names: Mapping[str, Any]) -> Callable[[str, str], None]:
    def sql(line: str, cell: str) -> None:
        """Run the statements; the last one's result is shown, and kept as `_sqldf`. `:name` is a widget's value."""
        widgets = names["dbutils"].widgets.getAll()
        result = None
        for statement in statements(cell):
            used = {name: text for name, text in widgets.items() if re.search(rf":{re.escape(name)}\b", statement)}
            result = names["spark"].sql(statement, **({"args": used} if used else {}))
        if result is not None:
            shell.push({RESULT: result})
            names["display"](result)

    return sql


def statements(text: str) -> Iterator[str]:
    """SQL statements, split at semicolons that are in no quotes and no comment."""
    token = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|;", re.DOTALL)
    start = 0
    for found in [*token.finditer(text), None]:
        if found is None or found.group() == ";":
            one = text[start : found.start() if found else len(text)].strip()
            start = found.end() if found else len(text)
            if re.sub(r"--[^\n]*|/\*.*?\*/", "", one, flags=re.DOTALL).strip():
                yield one


def _fs(names: Mapping[str, Any]) -> Callable[[str, str], None]:
    def fs(line: str, cell: str) -> None:
        """`ls /Volumes/…` and the other methods of `dbutils.fs`, one a line."""
        for command in filter(None, map(str.strip, cell.split("\n"))):
            method, *arguments = shlex.split(command)
            names["display"](getattr(names["dbutils"].fs, method)(*arguments))

    return fs


def pip(line: str) -> None:
    """Say of each package that it is there already; nothing is installed.

    Raises:
        PackageMissing: one is not, or is there in another version.
    """
    command, *words = shlex.split(line) or [""]
    if command != "install":
        return
    for wanted in _requirements(words):
        name, fits = _named(wanted)
        found = _version(name)
        if found is None or not fits(found):
            raise PackageMissing.of(wanted, found)
        print(f"{wanted}: there is {name} {found}")  # noqa: T201 - what a magic says is its output


def _requirements(words: list[str]) -> Iterator[str]:
    """What `pip install` is asked for, files of requirements included."""
    rest = iter(words)
    for word in rest:
        if word in ("-r", "--requirement"):
            lines = Path(next(rest, "")).read_text(encoding="utf-8").splitlines()
            yield from _requirements(
                [line.partition("#")[0].strip() for line in lines if line.partition("#")[0].strip()]
            )
        elif word in ("-i", "--index-url", "--extra-index-url", "-c", "--constraint", "-t", "--target"):
            next(rest, None)
        elif not word.startswith("-"):
            yield word


def _named(wanted: str) -> tuple[str, Callable[[str], bool]]:
    """A package's name, and whether a version is the one that is wanted; a wheel is known by its file's name."""
    from packaging.requirements import InvalidRequirement, Requirement

    if wheel := _WHEEL.fullmatch(Path(wanted).name):
        return wheel[1], lambda version: True
    try:
        requirement = Requirement(wanted)
    except InvalidRequirement:
        return wanted, lambda version: True
    return requirement.name, lambda version: requirement.specifier.contains(version, prereleases=True)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None
