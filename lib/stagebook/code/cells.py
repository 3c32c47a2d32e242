"""A notebook's own code: its cells by what they do, and the defaults that parameters replace."""

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from stagebook.code.source import Source, digest_of, of_tree, parse
from stagebook.notebook.cells import without_magics
from stagebook.notebook.outline import Cell, Outline


@dataclass(frozen=True)
class NotebookCode:
    """What a notebook does.

    `cells` has a digest for each code cell with something in it, in order; empty for one of comments alone.
    `whole` joins what all of them import and name. `defaults` are the literals of the parameters cell, which
    count as parameters and not as code.
    """

    whole: Source
    cells: tuple[str, ...]
    defaults: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"whole": self.whole.to_json(), "cells": list(self.cells), "defaults": dict(self.defaults)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        return cls(Source.from_json(value["whole"]), tuple(value["cells"]), value["defaults"])


def code_of(notebook: Outline) -> NotebookCode:
    """What a notebook does; one that is not Python counts letter by letter."""
    cells = [cell for cell in notebook.cells if cell.kind == "code" and cell.source.strip()]
    defaults: dict[str, Any] = {}
    if notebook.language != "python":
        sources = [Source(digest_of(_stripped(cell.source))) for cell in cells]
    else:
        sources = [_of_cell(cell, notebook, defaults) for cell in cells]
    whole = Source(
        digest=digest_of("\n".join(source.digest for source in sources if source.digest)),
        imports=tuple(dict.fromkeys(found for source in sources for found in source.imports)),
        files=tuple(sorted({name for source in sources for name in source.files})),
        dynamic=any(source.dynamic for source in sources),
    )
    return NotebookCode(whole, tuple(source.digest for source in sources), defaults)


def _of_cell(cell: Cell, notebook: Outline, defaults: dict[str, Any]) -> Source:
    """The cell's source; literals of the parameters cell go to `defaults`."""
    magics = [line.strip() for line in cell.source.split("\n") if line.lstrip().startswith(("%", "!"))]
    try:
        tree = ast.parse(without_magics(cell.source))
    except (SyntaxError, ValueError):
        return parse(_stripped(cell.source))
    if cell is notebook.parameters_cell:
        tree.body = [statement for statement in tree.body if not _is_default(statement, defaults)]
    if not tree.body and not magics:
        return Source("")
    source = of_tree(tree)
    return source if not magics else replace(source, digest=digest_of("\n".join([source.digest, *magics])))


def _is_default(statement: ast.stmt, defaults: dict[str, Any]) -> bool:
    """Whether a statement gives a name a literal, which is kept; what JSON cannot hold is kept as its source."""
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
