"""What a notebook that was written for Databricks takes from its job, told from its code."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stagebook.notebook.cells import without_magics
from stagebook.notebook.guest import UTILITIES, magic
from stagebook.notebook.outline import Cell, Outline

LANGUAGES = ("scala", "r")
"""Languages of cells that are not run here."""

_NO_PYTHON = ("sql", "sh", "fs", "md", "md-sandbox", *LANGUAGES)
_SPARK = ("spark", "sqlContext", "SparkSession")
_MAKERS = ("text", "dropdown", "combobox", "multiselect")
_FOLLOWED = ("notebook", "secrets", "library")


@dataclass(frozen=True)
class Ways:
    """What a Databricks notebook takes from its job.

    `widgets` are the names of its widgets with their defaults (None: it makes none, it only reads it); None where
    names are computed. `values` are the task values that it reads, as (task, key); None where names are computed, or
    `dbutils` goes where nobody follows it. `spark` says that it names Spark's session. `unseen` says, in words, by what
    it may read or write what cannot be told from its code; None: by nothing. `foreign` are cells in languages that
    are not run here: number of the code cell and language.
    """

    widgets: Mapping[str, str | None] | None
    values: frozenset[tuple[str, str]] | None
    spark: bool
    unseen: str | None
    foreign: tuple[tuple[int, str], ...]


def ways(notebook: Outline) -> Ways:
    """What the notebook takes from its job."""
    code = [cell for cell in notebook.cells if cell.kind == "code" and cell.source.strip()]
    magics = [magic(cell.source) for cell in code]
    python = [cell for cell, name in zip(code, magics, strict=True) if name not in _NO_PYTHON]
    trees = [tree for cell in python if (tree := _tree(cell)) is not None]
    look = _Look()
    for tree in trees:
        look.visit(tree)
    lost = look.loose or len(trees) < len(python)
    spark = "sql" in magics or not look.named.isdisjoint(_SPARK)
    reasons = {
        "Spark": spark,
        "dbutils.fs": look.files or "fs" in magics,
        "/Volumes": any("/Volumes/" in cell.source for cell in code),
        "shell commands": "sh" in magics or any(line.lstrip().startswith("!") for c in python for line in _lines(c)),
        "handing dbutils on": lost,
    }
    return Ways(
        widgets=None if look.open_widgets or lost else look.widgets,
        values=None if look.open_values or lost else frozenset(look.values),
        spark=spark,
        unseen=next((words for words, is_so in reasons.items() if is_so), None),
        foreign=tuple((n, name) for n, name in enumerate(magics, 1) if name in LANGUAGES),
    )


def _lines(cell: Cell) -> list[str]:
    return cell.source.split("\n")


def _tree(cell: Cell) -> ast.AST | None:
    try:
        return ast.parse(without_magics(cell.source))
    except (SyntaxError, ValueError):
        return None


class _Look(ast.NodeVisitor):
    """Follows `dbutils` through syntax trees; `loose` says that it is used as something other than `dbutils.<part>`."""

    def __init__(self) -> None:
        self.named: set[str] = set()
        self.widgets: dict[str, str | None] = {}
        self.values: set[tuple[str, str]] = set()
        self.open_widgets = self.open_values = self.files = self.loose = False

    def visit_Name(self, node: ast.Name) -> None:
        self.named.add(node.id)
        self.loose |= node.id == UTILITIES  # `dbutils.<part>` does not come here

    def visit_Attribute(self, node: ast.Attribute) -> None:
        match node:
            case ast.Attribute(value=ast.Name(id="dbutils"), attr="fs"):
                self.files = True
            case ast.Attribute(value=ast.Name(id="dbutils"), attr="widgets"):
                self.open_widgets = True  # a call of one of its methods does not come here
            case ast.Attribute(value=ast.Name(id="dbutils"), attr="jobs"):
                self.open_values = True
            case ast.Attribute(value=ast.Name(id="dbutils"), attr=part) if part in _FOLLOWED:
                pass
            case _:
                self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node.func:
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="dbutils"), attr="widgets"), attr=method):
                self._widget(method, node)
            case ast.Name(id="getArgument"):
                self._widget("getArgument", node)
            case ast.Attribute(
                value=ast.Attribute(value=ast.Attribute(value=ast.Name(id="dbutils"), attr="jobs"), attr="taskValues"),
                attr=method,
            ):
                self._value(method, node)
            case _:
                self.visit(node.func)
        for child in (*node.args, *node.keywords):
            self.visit(child)

    def _widget(self, method: str, node: ast.Call) -> None:
        name = _argument(node, 0, "name")
        if method in _MAKERS and isinstance(name, str):
            default = _argument(node, 1, "defaultValue")
            self.widgets[name] = default if isinstance(default, str) else None
        elif method in ("get", "getArgument") and isinstance(name, str):
            self.widgets.setdefault(name, None)
        elif method not in ("remove", "removeAll"):
            self.open_widgets = True

    def _value(self, method: str, node: ast.Call) -> None:
        task, key = _argument(node, 0, "taskKey"), _argument(node, 1, "key")
        if method == "get" and isinstance(task, str) and isinstance(key, str):
            self.values.add((task, key))
        elif method != "set":
            self.open_values = True


def _argument(node: ast.Call, place: int, name: str) -> Any:
    """A literal argument of a call; None where it is none."""
    by_name = [keyword.value for keyword in node.keywords if keyword.arg == name]
    found = by_name or node.args[place : place + 1]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None
