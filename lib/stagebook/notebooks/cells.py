"""Cells of a notebook: the headings above them, which ones a kernel runs, what they import, and IPython's magics."""

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode

_MAGIC = re.compile(r"\s*%(?P<name>[A-Za-z][\w-]*)")


def headings(notebook: "NotebookNode") -> list[str]:
    """For each cell, the nearest markdown heading at or above it; empty above the first heading."""
    current, by_cell = "", []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("#"):
                    current = line.lstrip("#").strip()
        by_cell.append(current)
    return by_cell


def is_runnable(cell: "NotebookNode") -> bool:
    """Whether the kernel runs the cell: it is code, and not blank."""
    return cell.cell_type == "code" and bool(cell.source.strip())


INJECTED = "injected-parameters"
"""papermill's tag of the cell that sets parameters."""

DATABRICKS_SETUP = "stagebook-databricks-setup"
"""Tag of the cell that defines in a notebook what Databricks defines."""

_ADDED = frozenset({INJECTED, DATABRICKS_SETUP, "papermill-error-cell-tag"})
"""Tags of cells that are added to a notebook when it is executed."""


def cell_numbers(notebook: "NotebookNode") -> list[int | None]:
    """For each cell its number as its author sees it: code cells with something in them, from 1; None for all others.

    Cells that were added when the notebook was executed have no number.
    """
    number, numbers = 0, list[int | None]()
    for cell in notebook.cells:
        is_counted = is_runnable(cell) and _ADDED.isdisjoint(cell.metadata.get("tags", ()))
        number += is_counted
        numbers.append(number if is_counted else None)
    return numbers


def without_magics(source: str) -> str:
    """The source with IPython's `%magic` and `!command` lines blanked; line numbers stay the same."""
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.split("\n"))


def magic(source: str) -> str | None:
    """The name of the magic that a cell starts with, such as `sql`; None if it starts with none."""
    match = _MAGIC.match(source)
    return match["name"] if match else None


def imported_modules(source: str) -> Iterator[str]:
    """The modules that a cell's import statements name; none where it is not Python."""
    try:
        tree = ast.parse(without_magics(source))
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
