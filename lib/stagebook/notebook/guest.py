"""Which notebooks were written for Databricks, and the magics that their cells start with."""

import ast
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stagebook.notebook.cells import without_magics
from stagebook.notebook.databricks_source import MARK, is_databricks_source

if TYPE_CHECKING:
    from nbformat import NotebookNode

UTILITIES = "dbutils"
_MAGIC = re.compile(r"\s*%(?P<name>[A-Za-z][\w-]*)")


def may_be_guest(text: str) -> bool:
    """Whether a notebook's file could be one of Databricks: a look at its text, without parsing it."""
    return UTILITIES in text or MARK in text or is_databricks_source(text)


def is_guest(node: "NotebookNode") -> bool:
    """Whether a notebook was written for Databricks: it says so itself, or its code names `dbutils`."""
    return is_marked(node.metadata) or any(_names_utilities(c.source) for c in node.cells if c.cell_type == "code")


def is_marked(metadata: Mapping[str, Any]) -> bool:
    """Whether a notebook's metadata say that Databricks has written it."""
    return MARK in metadata


def magic(source: str) -> str | None:
    """The name of the magic that a cell starts with, as `sql`; None where it starts with none."""
    found = _MAGIC.match(source)
    return found["name"] if found else None


def _names_utilities(source: str) -> bool:
    if UTILITIES not in source:
        return False
    try:
        tree = ast.parse(without_magics(source))
    except (SyntaxError, ValueError):
        return True
    return any(isinstance(node, ast.Name) and node.id == UTILITIES for node in ast.walk(tree))
