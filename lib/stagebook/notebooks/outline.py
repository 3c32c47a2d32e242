"""A notebook's cells as planning needs them (kind, source and tags), read in milliseconds.

Importing jupytext takes 0.8 seconds and nbformat 0.3, more than all other work of a plan. So `.ipynb` is read as JSON,
and the percent format by the splitter below; every other format is read by `read.as_written`, as execution always does.
A test checks that both ways give equal cells.
"""

import ast
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stagebook.notebooks import kernels, read
from stagebook.notebooks.cells import without_magics
from stagebook.notebooks.databricks import is_databricks, may_be_databricks

PARAMETERS = "parameters"


@dataclass(frozen=True)
class Cell:
    """One cell. `kind` is `code`, `markdown` or `raw`; `source` has no blank lines around it."""

    kind: str
    source: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outline:
    """A notebook without outputs. `kernel` is the one that it asks for (None: any of its `language`).

    `is_databricks`: it was written for Databricks.
    """

    cells: tuple[Cell, ...]
    language: str = "python"
    is_databricks: bool = False
    kernel: str | None = kernels.NATIVE

    @property
    def parameters_cell(self) -> Cell | None:
        """The first code cell tagged `parameters`."""
        return next((cell for cell in self.cells if cell.kind == "code" and PARAMETERS in cell.tags), None)


def outline(path: Path) -> Outline:
    """The outline of any notebook file.

    Raises:
        UnreadableNotebook, NotIncluded: as `read.load`.
    """
    text = read.text_of(path)
    if may_be_databricks(text):
        node = read.as_written(path)
        return replace(of_node(node), is_databricks=is_databricks(node))
    if path.suffix == read.IPYNB:
        return _from_json(path, text)
    if path.suffix == ".py" and _is_percent(text):
        with suppress(_UnusualMarker):
            cells = tuple(_percent_cells(text))
            if all(_is_complete(cell) for cell in cells):
                return Outline(cells)
    return of_node(read.as_written(path))


def _from_json(path: Path, text: str) -> Outline:
    try:
        node = json.loads(text)
    except (ValueError, RecursionError):
        node = None  # `read.as_written` says what is wrong with the file
    is_current = isinstance(node, dict) and node.get("nbformat") == 4
    return of_node(read.well_formed(path, node) if is_current else read.as_written(path))


def of_node(node: Any) -> Outline:
    """The outline of a notebook that was read, or of its plain JSON."""
    cells = [
        Cell(cell["cell_type"], cell["source"].strip("\n"), tuple(cell["metadata"].get("tags", ())))
        for cell in node["cells"]
    ]
    kernel = kernels.kernel_of(node["metadata"])
    return Outline(tuple(cells), kernel.language, kernel=kernel.name)


_MARKER = re.compile(r"^# ?%%([% ].*)?$")
_KIND = re.compile(r"\[(markdown|md|raw)\]")
_TAGS = re.compile(r"\btags\"?[=:] *(\[[^\]]*\])")
_PREAMBLE = re.compile(r"\A(?:#!.*\n)?(?:[ \t\f]*#.*?coding[:=][ \t]*utf-8.*\n)?")
"""The lines for the shell and for the encoding, which belong to no cell."""

_HEADER = re.compile(r"\A# ---\n(?:#.*\n)*?# ---\n")
_KERNEL = re.compile(r"^#\s+(name|language): *(\S+)", re.MULTILINE)


class _UnusualMarker(ValueError):
    """A cell's marker that only jupytext reads."""


def _is_percent(text: str) -> bool:
    """Whether jupytext would certainly read the text as its percent format, for the kernel of this Python."""
    body = _PREAMBLE.sub("", text)
    header = _HEADER.match(body)
    lines = header.group(0) if header else ""
    if any(value not in (kernels.NATIVE, kernels.PYTHON) for _, value in _KERNEL.findall(lines)):
        return False
    if format_name := re.search(r"format_name: *(\w+)", lines):
        return format_name.group(1) == "percent"
    return any(_MARKER.match(line) for line in body.split("\n"))


def _is_complete(cell: Cell) -> bool:
    """Whether a code cell parses. One that does not may have been cut by a marker inside a string."""
    if cell.kind != "code":
        return True
    try:
        ast.parse(without_magics(cell.source))
    except (SyntaxError, ValueError):
        return False
    return True


def _percent_cells(text: str) -> Iterator[Cell]:
    marker: str | None = None
    lines: list[str] = []
    for line in [*_HEADER.sub("", _PREAMBLE.sub("", text)).split("\n"), "# %%"]:
        if _MARKER.match(line):
            if marker is not None or any(lines):
                yield _cell(marker or "", lines)
            marker, lines = line, []
        else:
            lines.append(line)


def _cell(marker: str, lines: list[str]) -> Cell:
    label = _KIND.search(marker)
    kind = "code" if label is None else "raw" if label.group(1) == "raw" else "markdown"
    if kind != "code":
        lines = [re.sub(r"^# ?", "", line) for line in lines]
    tags = _TAGS.search(marker)
    return Cell(kind, "\n".join(lines).strip("\n"), _tags(tags.group(1)) if tags else ())


def _tags(text: str) -> tuple[str, ...]:
    """The tags of a marker, in JSON or as Python writes them; jupytext reads both."""
    try:
        tags = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise _UnusualMarker(text) from None
    if not all(isinstance(tag, str) for tag in tags):
        raise _UnusualMarker(text)
    return tuple(tags)
