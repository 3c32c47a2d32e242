"""A notebook's own code: a digest of each code cell, and the defaults that parameters replace."""

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from stagebook.cache.sources.parse import Source, digest_of, of_tree, parse
from stagebook.notebooks.cells import without_magics
from stagebook.notebooks.outline import Cell, Outline


@dataclass(frozen=True)
class NotebookCode:
    """What a notebook's code cells contain.

    `cells` has a digest for each code cell that is not blank, in order; an empty one for a cell of comments alone.
    `combined` joins what all of them import and name. `defaults` are the literals of the parameters cell, which
    count as parameters and not as code.
    """

    combined: Source
    cells: tuple[str, ...]
    defaults: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"whole": self.combined.to_json(), "cells": list(self.cells), "defaults": dict(self.defaults)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        return cls(Source.from_json(value["whole"]), tuple(value["cells"]), value["defaults"])


def code_of(notebook: Outline) -> NotebookCode:
    """The code of a notebook; if it is not Python, each cell's digest is that of its text."""
    cells = [cell for cell in notebook.cells if cell.kind == "code" and cell.source.strip()]
    defaults: dict[str, Any] = {}
    if notebook.language != "python":
        sources = [Source(digest_of(_stripped(cell.source))) for cell in cells]
    else:
        sources = [_of_cell(cell, notebook, defaults) for cell in cells]
    combined = Source(
        digest=digest_of("\n".join(source.digest for source in sources if source.digest)),
        imports=tuple(dict.fromkeys(statement for source in sources for statement in source.imports)),
        files=tuple(sorted({name for source in sources for name in source.files})),
        dynamic=any(source.dynamic for source in sources),
    )
    return NotebookCode(combined, tuple(source.digest for source in sources), defaults)


def _of_cell(cell: Cell, notebook: Outline, defaults: dict[str, Any]) -> Source:
    """What the cell contains; literals of the parameters cell are added to `defaults` instead."""
    magics = [line.strip() for line in cell.source.split("\n") if line.lstrip().startswith(("%", "!"))]
    try:
        tree = ast.parse(without_magics(cell.source))
    except (SyntaxError, ValueError):
        return parse(_stripped(cell.source))
    if cell is notebook.parameters_cell:
        tree.body = [statement for statement in tree.body if not _add_default(statement, defaults)]
    if not tree.body and not magics:
        return Source("")
    source = of_tree(tree)
    return source if not magics else replace(source, digest=digest_of("\n".join([source.digest, *magics])))


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
