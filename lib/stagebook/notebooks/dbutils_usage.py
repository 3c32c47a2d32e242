"""What a Databricks notebook uses of its job through `dbutils`, read from its code without running it."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stagebook.notebooks.cells import magic, without_magics
from stagebook.notebooks.databricks import DBUTILS
from stagebook.notebooks.outline import Cell, Outline

UNSUPPORTED_LANGUAGES = ("scala", "r")
"""Languages of cells that do not run on this machine."""

_NON_PYTHON_MAGICS = ("sql", "sh", "fs", "md", "md-sandbox", *UNSUPPORTED_LANGUAGES)
_SPARK_NAMES = ("spark", "sqlContext", "SparkSession")
_WIDGET_MAKERS = ("text", "dropdown", "combobox", "multiselect")
_HARMLESS_PARTS = ("notebook", "secrets", "library")


@dataclass(frozen=True)
class DbutilsUsage:
    """What a Databricks notebook uses of its job.

    `widgets` are the names of its widgets with their defaults (None as default: it reads the widget without making
    it); None if names are computed. `task_values` are the task values that it reads, as (task, key); None if names
    are computed, or if `dbutils` is handed to other code. `uses_spark` says that it names Spark's session.
    `untracked` names a means by which it may read or write data that its code does not show, such as "shell
    commands"; None if there is none. `unsupported_cells` are cells in languages that do not run here: number of the
    code cell, and language.
    """

    widgets: Mapping[str, str | None] | None
    task_values: frozenset[tuple[str, str]] | None
    uses_spark: bool
    untracked: str | None
    unsupported_cells: tuple[tuple[int, str], ...]


def dbutils_usage(notebook: Outline) -> DbutilsUsage:
    """What the notebook uses of its job."""
    code = [cell for cell in notebook.cells if cell.kind == "code" and cell.source.strip()]
    magics = [magic(cell.source) for cell in code]
    python = [cell for cell, name in zip(code, magics, strict=True) if name not in _NON_PYTHON_MAGICS]
    trees = [tree for cell in python if (tree := _tree(cell)) is not None]
    visitor = _DbutilsVisitor()
    for tree in trees:
        visitor.visit(tree)
    escapes = visitor.escapes or len(trees) < len(python)
    uses_spark = "sql" in magics or not visitor.names.isdisjoint(_SPARK_NAMES)
    untracked_means = {
        "Spark": uses_spark,
        "dbutils.fs": visitor.uses_files or "fs" in magics,
        "/Volumes": any("/Volumes/" in cell.source for cell in code),
        "shell commands": "sh" in magics or any(_has_shell_line(cell) for cell in python),
        "handing dbutils on": escapes,
    }
    return DbutilsUsage(
        widgets=None if visitor.computes_widgets or escapes else visitor.widgets,
        task_values=None if visitor.computes_task_values or escapes else frozenset(visitor.task_values),
        uses_spark=uses_spark,
        untracked=next((means for means, is_used in untracked_means.items() if is_used), None),
        unsupported_cells=tuple(
            (number, name) for number, name in enumerate(magics, 1) if name in UNSUPPORTED_LANGUAGES
        ),
    )


def _has_shell_line(cell: Cell) -> bool:
    return any(line.lstrip().startswith("!") for line in cell.source.split("\n"))


def _tree(cell: Cell) -> ast.AST | None:
    try:
        return ast.parse(without_magics(cell.source))
    except (SyntaxError, ValueError):
        return None


class _DbutilsVisitor(ast.NodeVisitor):
    """Records uses of `dbutils` in syntax trees.

    `escapes` says that it is used in another way than as `dbutils.<part>`, so that other code may do anything with it.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.widgets: dict[str, str | None] = {}
        self.task_values: set[tuple[str, str]] = set()
        self.computes_widgets = self.computes_task_values = self.uses_files = self.escapes = False

    def visit_Name(self, node: ast.Name) -> None:
        self.names.add(node.id)
        self.escapes |= node.id == DBUTILS  # `dbutils.<part>` is handled by `visit_Attribute`

    def visit_Attribute(self, node: ast.Attribute) -> None:
        match node:
            case ast.Attribute(value=ast.Name(id="dbutils"), attr="fs"):
                self.uses_files = True
            case ast.Attribute(value=ast.Name(id="dbutils"), attr="widgets"):
                self.computes_widgets = True  # a call of one of its methods is handled by `visit_Call`
            case ast.Attribute(value=ast.Name(id="dbutils"), attr="jobs"):
                self.computes_task_values = True
            case ast.Attribute(value=ast.Name(id="dbutils"), attr=part) if part in _HARMLESS_PARTS:
                pass
            case _:
                self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node.func:
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="dbutils"), attr="widgets"), attr=method):
                self._record_widget(method, node)
            case ast.Name(id="getArgument"):
                self._record_widget("getArgument", node)
            case ast.Attribute(
                value=ast.Attribute(value=ast.Attribute(value=ast.Name(id="dbutils"), attr="jobs"), attr="taskValues"),
                attr=method,
            ):
                self._record_task_value(method, node)
            case _:
                self.visit(node.func)
        for child in (*node.args, *node.keywords):
            self.visit(child)

    def _record_widget(self, method: str, node: ast.Call) -> None:
        name = _argument(node, 0, "name")
        if method in _WIDGET_MAKERS and isinstance(name, str):
            default = _argument(node, 1, "defaultValue")
            self.widgets[name] = default if isinstance(default, str) else None
        elif method in ("get", "getArgument") and isinstance(name, str):
            self.widgets.setdefault(name, None)
        elif method not in ("remove", "removeAll"):
            self.computes_widgets = True

    def _record_task_value(self, method: str, node: ast.Call) -> None:
        task, key = _argument(node, 0, "taskKey"), _argument(node, 1, "key")
        if method == "get" and isinstance(task, str) and isinstance(key, str):
            self.task_values.add((task, key))
        elif method != "set":
            self.computes_task_values = True


def _argument(node: ast.Call, position: int, name: str) -> Any:
    """The literal value of a call's argument; None if the argument is missing or no literal."""
    by_name = [keyword.value for keyword in node.keywords if keyword.arg == name]
    values = by_name or node.args[position : position + 1]
    return values[0].value if values and isinstance(values[0], ast.Constant) else None
