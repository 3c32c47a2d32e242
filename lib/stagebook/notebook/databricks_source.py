"""Databricks' source format, which jupytext mis-splits silently.

Line 1 is exactly `# Databricks notebook source`; cells are split by `# COMMAND ----------`; a cell of
another language has each line behind `# MAGIC `; a title is `# DBTITLE 1,…`.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode

MARK = "application/vnd.databricks.v1+notebook"
"""The key of a notebook's metadata that Databricks writes."""

FIRST_LINE = "# Databricks notebook source"
_COMMAND = re.compile(r"^# COMMAND -{10,}[ \t]*$", re.MULTILINE)
_TITLE = re.compile(r"^# DBTITLE \d+,(.*)\n?", re.MULTILINE)


def is_databricks_source(text: str) -> bool:
    """Whether Databricks would import this text as a notebook."""
    return text.split("\n", 1)[0].rstrip("\r") == FIRST_LINE


def parse(text: str) -> "NotebookNode":
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
    return v4.new_notebook(cells=cells, metadata={MARK: {"language": "python"}})


def _cell(source: str, title: str | None) -> "NotebookNode":
    from nbformat import v4

    lines = source.split("\n")
    if all(line.startswith("# MAGIC") or not line.strip() for line in lines):
        source = "\n".join(line.removeprefix("# MAGIC").removeprefix(" ") for line in lines)
        magic, _, rest = source.partition("\n")
        if magic.split(" ", 1)[0] in ("%md", "%md-sandbox"):
            inline = magic.partition(" ")[2]
            return v4.new_markdown_cell("\n".join(part for part in (inline, rest) if part))
        return v4.new_code_cell(source)
    cell = v4.new_code_cell(source)
    if title:
        cell.metadata["title"] = title
    if re.search(r"^# tags: .*\bparameters\b", source, re.MULTILINE):
        cell.metadata["tags"] = ["parameters"]
    return cell
