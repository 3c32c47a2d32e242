"""A notebook's own code: a digest of each code cell, and the defaults that parameters replace."""

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from stagebook.cache.sources.parse import of_trees
from stagebook.cache.sources.source import Source, Unknown, UnknownKind, digest_of
from stagebook.notebooks.ipython import to_tree
from stagebook.notebooks.outline import Cell, Outline


@dataclass(frozen=True)
class NotebookCode:
    """What a notebook's code cells contain.

    `cells` has a digest for each code cell that is not blank, in order; an empty one for a cell of comments alone.
    `combined` joins what all of them depend on. `defaults` are the literals of the parameters cell, which count as
    parameters and not as code.
    """

    combined: Source
    cells: tuple[str, ...]
    defaults: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"combined": self.combined.to_json(), "cells": list(self.cells), "defaults": dict(self.defaults)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        return cls(Source.from_json(value["combined"]), tuple(value["cells"]), value["defaults"])


def code_of(notebook: Outline) -> NotebookCode:
    """The code of a notebook; if it is not Python, each cell's digest is that of its text."""
    cells = [cell for cell in notebook.cells if cell.kind == "code" and cell.source.strip()]
    defaults: dict[str, Any] = {}
    if notebook.language != "python":
        sources = [Source(digest_of(_stripped(cell.source))) for cell in cells]
        unknown = [Unknown(UnknownKind.OUTSIDE, f"its language is {notebook.language}")]
    else:
        sources, unknown = _python_cells(cells, notebook.parameters_cell, defaults), []
    combined = Source.union(
        digest_of("\n".join(source.digest for source in sources if source.digest)),
        [
            *(source.at(f"cell {number}") for number, source in enumerate(sources, start=1)),
            Source("", unknown=tuple(unknown)),
        ],
    )
    return NotebookCode(combined, tuple(source.digest for source in sources), defaults)


def _python_cells(cells: list[Cell], parameters_cell: Cell | None, defaults: dict[str, Any]) -> list[Source]:
    """What each cell contains; literals of the parameters cell are added to `defaults` instead."""
    trees = [to_tree(cell.source) for cell in cells]
    for cell, tree in zip(cells, trees, strict=True):
        if cell is parameters_cell and tree is not None:
            tree.body = [statement for statement in tree.body if not _add_default(statement, defaults)]
    parsed = iter(of_trees([tree for tree in trees if tree is not None], defaults))
    sources = []
    for cell, tree in zip(cells, trees, strict=True):
        # A cell that IPython cannot read either fails when its turn comes.
        source = next(parsed) if tree is not None else Source(digest_of(_stripped(cell.source)), dynamic=True)
        sources.append(Source("") if tree is not None and not tree.body else source)
    return sources


def _add_default(statement: ast.stmt, defaults: dict[str, Any]) -> bool:
    """Add the literal that a statement assigns to a name (its source text if JSON cannot hold it), if there is one."""
    match statement:
        case (
            ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            | ast.Assign(targets=[ast.Name(id=name)], value=value)
        ):
            try:
                literal = ast.literal_eval(value)
            except (ValueError, TypeError):
                return False
            defaults[name] = literal if _survives_json(literal) else ast.unparse(value)
            return True
    return False


def _survives_json(value: Any) -> bool:
    try:
        return json.loads(json.dumps(value)) == value
    except (ValueError, TypeError):
        return False


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().split("\n"))
