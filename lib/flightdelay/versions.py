"""Versions of code: digests that change with what code does, not with how it is laid out."""

import ast
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from stagebook.model.tables import TableSchema


def digest(files: Sequence[Path], schema: TableSchema) -> str:
    """Twelve hexadecimal digits for the code of some modules and the names and kinds of a table's columns.

    Comments, docstrings and formatting do not count.
    """
    columns = json.dumps([[column.name, column.kind] for column in schema.columns])
    sources = [meaning(path.read_text(encoding="utf-8")) for path in files]
    return hashlib.sha256("\0".join([columns, *sources]).encode()).hexdigest()[:12]


def meaning(source: str) -> str:
    """Python source without comments, docstrings and formatting.

    Any text that stands alone as a statement does nothing, so all of them are left out.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [statement for statement in body if not _is_text(statement)]
            node.body = kept or [ast.Pass()]  # pyright: ignore[reportAttributeAccessIssue]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
