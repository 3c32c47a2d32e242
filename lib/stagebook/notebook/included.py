"""Notebooks that a Databricks notebook includes by `%run ./other`: their cells, in its place."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from stagebook.errors import ConfigError

if TYPE_CHECKING:
    from nbformat import NotebookNode

_RUN = re.compile(r"\s*%run\s+(?P<quote>[\"']?)(?P<path>[^\"'\n$]+?)(?P=quote)(?P<rest>\s+\$.*)?\s*")
SUFFIXES = (".py", ".ipynb")

Read = Callable[[Path], "NotebookNode"]


class NotIncluded(ConfigError):
    """A notebook that `%run` names cannot be included."""

    @classmethod
    def of(cls, path: Path, target: str, why: str) -> Self:
        return cls(f"{path}: %run {target}: {why}")


def expanded(node: "NotebookNode", path: Path, read: Read) -> "NotebookNode":
    """The notebook with the cells of those that it includes, below a markdown cell that names each.

    Args:
        path: of the notebook, from which relative paths count.
        read: reads a notebook file as it is.
    Raises:
        NotIncluded: there is no such notebook, it includes itself, or it is given values of widgets.
    """
    node.cells = list(_cells(node, path, read, (path.resolve(),)))
    return node


def _cells(node: "NotebookNode", path: Path, read: Read, above: tuple[Path, ...]) -> Iterator["NotebookNode"]:
    from nbformat import v4

    for cell in node.cells:
        found = _RUN.fullmatch(cell.source) if cell.cell_type == "code" else None
        if found is None:
            yield cell
            continue
        target = found["path"]
        if found["rest"]:
            raise NotIncluded.of(path, target, "widgets' values are not passed on; set them in this notebook.")
        other = find(path, target)
        if other.resolve() in above:
            raise NotIncluded.of(path, target, "it includes itself.")
        yield v4.new_markdown_cell(f"`%run {target}`")
        yield from _cells(read(other), other, read, (*above, other.resolve()))


def find(path: Path, target: str) -> Path:
    """The file of a notebook that another one names without a suffix, as a workspace does.

    Raises:
        NotIncluded: there is none.
    """
    if target.startswith("/"):
        raise NotIncluded.of(
            path, target, "this is a path of a workspace; here it counts from this folder, as ./other."
        )
    base = path.parent / target
    places = [base, *(base.with_name(base.name + suffix) for suffix in SUFFIXES)]
    for place in places:
        if place.is_file():
            return place
    raise NotIncluded.of(path, target, f"there is no such notebook; looked for {', '.join(map(str, places[1:]))}.")


def files(text: str, path: Path, read_text: Callable[[Path], str]) -> dict[Path, str]:
    """The files that a notebook's text may include, directly or through others, with their texts."""
    found: dict[Path, str] = {}
    todo = [(path, text)]
    while todo:
        place, content = todo.pop()
        for target in re.findall(r"%run\s+[\"'\\]*([^\"'\\\s$]+)", content):
            try:
                other = find(place, target)
            except NotIncluded:
                continue  # which reading the notebook tells
            if other not in found:
                found[other] = read_text(other)
                todo.append((other, found[other]))
    return found
