"""Databricks notebooks: how to recognise one, and Databricks' source format, which jupytext splits wrongly.

In the source format line 1 is exactly `# Databricks notebook source`; cells are split by `# COMMAND ----------`; a
cell of another language has each line behind `# MAGIC `; a title is `# DBTITLE 1,…`.
"""

import ast
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stagebook.notebooks.cells import without_magics

if TYPE_CHECKING:
    from nbformat import NotebookNode

METADATA_KEY = "application/vnd.databricks.v1+notebook"
"""The key that Databricks writes into a notebook's metadata."""

_OLD_KEY = "notebookId"
"""The key, with a number, that it wrote there before 2021."""

DBUTILS = "dbutils"
FIRST_LINE = "# Databricks notebook source"
_COMMAND = re.compile(r"^# COMMAND -{10,}[ \t]*$", re.MULTILINE)
_TITLE = re.compile(r"^# DBTITLE \d+,(.*)\n?", re.MULTILINE)


def may_be_databricks(text: str) -> bool:
    """Whether a file may be a Databricks notebook: a quick look at its text, without parsing it."""
    return any(word in text for word in (DBUTILS, METADATA_KEY, _OLD_KEY)) or is_databricks_source(text)


def is_databricks(node: "NotebookNode") -> bool:
    """Whether a notebook was written for Databricks: by its metadata, or because its code names `dbutils`."""
    return has_databricks_metadata(node.metadata) or any(
        _names_dbutils(cell.source) for cell in node.cells if cell.cell_type == "code"
    )


def has_databricks_metadata(metadata: Mapping[str, Any]) -> bool:
    """Whether Databricks wrote these metadata of a notebook."""
    return METADATA_KEY in metadata or isinstance(metadata.get(_OLD_KEY), int)


def _names_dbutils(source: str) -> bool:
    if DBUTILS not in source:
        return False
    try:
        tree = ast.parse(without_magics(source))
    except (SyntaxError, ValueError):
        return True
    return any(isinstance(node, ast.Name) and node.id == DBUTILS for node in ast.walk(tree))


def is_databricks_source(text: str) -> bool:
    """Whether Databricks would import this text as a notebook."""
    return text.split("\n", 1)[0].rstrip("\r") == FIRST_LINE


def parse_source(text: str) -> "NotebookNode":
    """The notebook that Databricks would import; `%md` cells become markdown, other magics stay code.

    The format has no cell tags; a line `# tags: parameters` in a cell marks it as the parameters cell.
    """
    from nbformat import v4

    body = text.split("\n", 1)[1] if "\n" in text else ""
    cells = []
    for chunk in _COMMAND.split(body.replace("\r\n", "\n")):
        title = _TITLE.search(chunk)
        source = _TITLE.sub("", chunk).strip("\n")
        if not source.strip():
            continue
        cells.append(_cell(source, title.group(1).strip() if title else None))
    return v4.new_notebook(cells=cells, metadata={METADATA_KEY: {"language": "python"}})


def _cell(source: str, title: str | None) -> "NotebookNode":
    from nbformat import v4

    lines = source.split("\n")
    if all(line.startswith("# MAGIC") or not line.strip() for line in lines):
        source = "\n".join(line.removeprefix("# MAGIC").removeprefix(" ") for line in lines)
        magic_line, _, body = source.partition("\n")
        if magic_line.split(" ", 1)[0] in ("%md", "%md-sandbox"):
            inline = magic_line.partition(" ")[2]
            return v4.new_markdown_cell("\n".join(text for text in (inline, body) if text))
        return v4.new_code_cell(source)
    cell = v4.new_code_cell(source)
    if title:
        cell.metadata["title"] = title
    if re.search(r"^# tags: .*\bparameters\b", source, re.MULTILINE):
        cell.metadata["tags"] = ["parameters"]
    return cell
