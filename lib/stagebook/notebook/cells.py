"""What the cells of a notebook are called, for progress and error messages; which are run, and of what Python."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode


def headings(notebook: "NotebookNode") -> list[str]:
    """For each cell, the nearest markdown heading at or above it; empty above the first."""
    current, names = "", []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("#"):
                    current = line.lstrip("#").strip()
        names.append(current)
    return names


def is_runnable(cell: "NotebookNode") -> bool:
    """Whether the kernel is asked to run the cell: code with something in it."""
    return cell.cell_type == "code" and bool(cell.source.strip())


def without_magics(source: str) -> str:
    """IPython's `%magic` and `!command` lines blanked, so that line numbers stay."""
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.split("\n"))
