"""Magics of Databricks' notebooks: `%sql`, `%fs`, `%pip` and those that IPython writes in another way."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from stagebook.dbutils.errors import PackageMissing
from stagebook.notebooks.cells import magic

RESULT = "_sqldf"
"""The name under which the last result of `%sql` is kept."""

_CELLS = {"sql": "%%sql", "sh": "%%sh", "fs": "%%fs", "md": "%%markdown", "md-sandbox": "%%markdown"}
_SQL = re.compile(
    r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|;|::|:(?P<name>[A-Za-z_]\w*)", re.DOTALL
)
"""What is to be told apart in SQL: quoted texts and names, comments, ends of statements, casts, and parameters."""

_WHEEL = re.compile(r"([A-Za-z0-9_.]+?)-[^-]+(-[^-]+){2,3}\.whl")


def register(shell: Any, names: Mapping[str, Any]) -> None:
    """Let an IPython shell understand the cells; `names` are those that Databricks puts into a notebook."""
    shell.input_transformers_cleanup.append(to_ipython_magics)
    shell.register_magic_function(_sql(shell, names), "cell", "sql")
    shell.register_magic_function(_fs(names), "cell", "fs")
    shell.register_magic_function(pip, "line", "pip")
    shell.register_magic_function(lambda line: None, "line", "restart_python")


def to_ipython_magics(lines: list[str]) -> list[str]:
    """A cell whose first line is `%sql`, `%python` or the like, with that line as IPython writes it."""
    first = next((place for place, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return lines
    name = magic(lines[first])
    remainder = lines[first].strip().partition(" ")[2]
    if name == "python":
        return [f"{remainder}\n", *lines[first + 1 :]]
    if name in _CELLS:
        options, command = _shell_options(remainder) if name == "sh" else ("", remainder)
        body = [f"{command}\n"] if command else []
        return [f"{_CELLS[name]}{options}\n", *body, *lines[first + 1 :]]
    return lines


_SHELL = re.compile(r"(?P<options>(?:-\S+\s*)*)(?P<command>.*)", re.DOTALL)


def _shell_options(text: str) -> tuple[str, str]:
    """The options and the command that follow `%sh`. As on Databricks, a command fails the cell only with `-e`."""
    match = _SHELL.fullmatch(text)
    assert match is not None, "every text matches"
    options = match["options"].split()
    fails = any(re.fullmatch(r"-[a-z]*e[a-z]*", option) for option in options)
    return "".join(f" {option}" for option in [*([] if fails else ["--no-raise-error"]), *options]), match["command"]


def _sql(shell: Any, names: Mapping[str, Any]) -> Callable[[str, str], None]:
    def sql(line: str, cell: str) -> None:
        """Run the statements; the last one's result is shown, and kept as `_sqldf`."""
        widgets = names["dbutils"].widgets.getAll()
        result = None
        for statement in statements(cell):
            result = names["spark"].sql(with_widgets(statement, widgets))
        if result is not None:
            shell.push({RESULT: result})
            names["display"](result)

    return sql


def statements(text: str) -> Iterator[str]:
    """SQL statements, split at semicolons that are in no quotes and no comment."""
    start = 0
    for match in [*_SQL.finditer(text), None]:
        if match is None or match.group() == ";":
            statement = text[start : match.start() if match else len(text)].strip()
            start = match.end() if match else len(text)
            if re.sub(r"--[^\n]*|/\*.*?\*/", "", statement, flags=re.DOTALL).strip():
                yield statement


def with_widgets(statement: str, values: Mapping[str, str]) -> str:
    """The statement with widgets' values: as literals of text for `:name`, as they are for `${name}`.

    In the text, since parameters of `spark.sql` do not reach statements through Delta's parser (4.4, Spark 4.2).
    """
    statement = re.sub(r"\$\{(\w+)\}", lambda match: values.get(match[1], match[0]), statement)

    def literal(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in values or statement[: match.start()][-1:].isalnum():
            return match[0]  # quoted, a comment, or a path into a column, as `raw:owner`
        return "'" + values[name].replace("\\", "\\\\").replace("'", "\\'") + "'"

    return _SQL.sub(literal, statement)


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
    for requirement in _requirements(words):
        name, fits = _named(requirement)
        installed = _version(name)
        if installed is None or not fits(installed):
            raise PackageMissing.of(requirement, installed)
        print(f"{requirement}: there is {name} {installed}")  # noqa: T201 - what a magic says is its output


def _requirements(words: list[str]) -> Iterator[str]:
    """What `pip install` is asked for, files of requirements included."""
    remaining = iter(words)
    for word in remaining:
        if word in ("-r", "--requirement"):
            lines = Path(next(remaining, "")).read_text(encoding="utf-8").splitlines()
            yield from _requirements(
                [line.partition("#")[0].strip() for line in lines if line.partition("#")[0].strip()]
            )
        elif word in ("-i", "--index-url", "--extra-index-url", "-c", "--constraint", "-t", "--target"):
            next(remaining, None)
        elif not word.startswith("-"):
            yield word


def _named(text: str) -> tuple[str, Callable[[str], bool]]:
    """A package's name, and whether a version is the one that is wanted; a wheel is known by its file's name."""
    from packaging.requirements import InvalidRequirement, Requirement

    if wheel := _WHEEL.fullmatch(Path(text).name):
        return wheel[1], lambda version: True
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return text, lambda version: True
    return requirement.name, lambda version: requirement.specifier.contains(version, prereleases=True)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None
