"""Any notebook file as an nbformat 4 node: `.ipynb`, any jupytext text format, Databricks source.

A Databricks notebook includes others by `%run ./other`; their cells are put in place of that line.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from stagebook.errors import ConfigError
from stagebook.notebooks.databricks import is_databricks, is_databricks_source, may_be_databricks, parse_source

if TYPE_CHECKING:
    from nbformat import NotebookNode

_RUN = re.compile(r"\s*%run\s+(?P<quote>[\"']?)(?P<path>[^\"'\n$]+?)(?P=quote)(?P<widgets>\s+\$.*)?\s*")
_SUFFIXES = (".py", ".ipynb")


class UnreadableNotebook(ConfigError):
    """A notebook file is missing or is not a notebook."""

    @classmethod
    def of(cls, path: Path, reason: str) -> Self:
        return cls(
            f"{path}: {reason}\n  A stage is an .ipynb file or a text notebook that jupytext reads (.py, .md, …)."
        )


class NotIncluded(ConfigError):
    """A notebook that `%run` names cannot be included."""

    @classmethod
    def of(cls, path: Path, target: str, reason: str) -> Self:
        return cls(f"{path}: %run {target}: {reason}")


def load(path: Path) -> "NotebookNode":
    """The notebook in `path`, upgraded to nbformat 4, with a kernelspec (python3 if it names none).

    A Databricks notebook contains the cells of the notebooks that it includes by `%run`.

    Raises:
        UnreadableNotebook: if the file is missing, is not valid JSON, or no format fits.
        NotIncluded: if an included notebook does not exist, includes itself, or is given values of widgets.
    """
    node = _read(path)
    if is_databricks(node):
        node.cells = list(_with_included(node, path, (path.resolve(),)))
    return _with_kernelspec(node)


def content(path: Path) -> str:
    """The text of a notebook's file and of those that it may include: equal texts, equal notebooks.

    Raises:
        UnreadableNotebook: as `text_of`.
    """
    text = text_of(path)
    if not may_be_databricks(text):
        return text
    return "\0".join([text, *_included_texts(text, path).values()])


def text_of(path: Path) -> str:
    """The file's text.

    Raises:
        UnreadableNotebook: if the file is missing or is not UTF-8.
    """
    if not path.is_file():
        raise UnreadableNotebook.of(path, "there is no such notebook.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableNotebook.of(path, f"this is not UTF-8 text ({error.reason} at byte {error.start}).") from None


def _read(path: Path) -> "NotebookNode":
    """The notebook of one file, without the notebooks that it includes."""
    text = text_of(path)
    return _from_ipynb(path, text) if path.suffix == ".ipynb" else _from_text(path, text)


def _from_ipynb(path: Path, text: str) -> "NotebookNode":
    import nbformat

    try:
        return nbformat.v4.upgrade(nbformat.reads(text, as_version=4))
    except Exception as error:  # nbformat raises a dozen kinds for broken files
        raise UnreadableNotebook.of(path, f"this is not a notebook ({str(error).splitlines()[0]}).") from None


def _from_text(path: Path, text: str) -> "NotebookNode":
    if is_databricks_source(text):
        return parse_source(text)
    import jupytext

    try:
        return jupytext.reads(text, fmt={"extension": path.suffix})
    except Exception as error:  # jupytext raises its own and parsers' errors
        raise UnreadableNotebook.of(path, f"jupytext cannot read it ({str(error).splitlines()[0]}).") from None


def _with_kernelspec(node: "NotebookNode") -> "NotebookNode":
    """Papermill refuses a notebook without kernelspec and language; python3 is assumed."""
    from nbformat import from_dict

    kernelspec = node.metadata.get("kernelspec", {})
    language = kernelspec.get("language") or node.metadata.get("language_info", {}).get("name") or "python"
    node.metadata["kernelspec"] = from_dict(
        {"name": "python3", "display_name": "Python 3 (ipykernel)", **kernelspec, "language": language}
    )
    return node


def _with_included(node: "NotebookNode", path: Path, including: tuple[Path, ...]) -> Iterator["NotebookNode"]:
    """The cells of a notebook; a markdown cell that names an included notebook stands above that one's cells.

    Args: including: the notebooks that are being read, from the outermost to this one.
    """
    from nbformat import v4

    for cell in node.cells:
        run = _RUN.fullmatch(cell.source) if cell.cell_type == "code" else None
        if run is None:
            yield cell
            continue
        target = run["path"]
        if run["widgets"]:
            raise NotIncluded.of(path, target, "widgets' values are not passed on; set them in this notebook.")
        included = _included_file(path, target)
        if included.resolve() in including:
            raise NotIncluded.of(path, target, "it includes itself.")
        yield v4.new_markdown_cell(f"`%run {target}`")
        yield from _with_included(_read(included), included, (*including, included.resolve()))


def _included_file(path: Path, target: str) -> Path:
    """The file of a notebook that the notebook in `path` names without a suffix, as a workspace does.

    Raises:
        NotIncluded: if there is none.
    """
    if target.startswith("/"):
        raise NotIncluded.of(
            path, target, "this is a path of a workspace; here it counts from this folder, as ./other."
        )
    base = path.parent / target
    candidates = [base, *(base.with_name(base.name + suffix) for suffix in _SUFFIXES)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    tried = ", ".join(map(str, candidates[1:]))
    raise NotIncluded.of(path, target, f"there is no such notebook; looked for {tried}.")


def _included_texts(text: str, path: Path) -> dict[Path, str]:
    """The files that a notebook's text may include, directly or through others, with their texts."""
    texts: dict[Path, str] = {}
    pending = [(path, text)]
    while pending:
        including, source = pending.pop()
        for target in re.findall(r"%run\s+[\"'\\]*([^\"'\\\s$]+)", source):
            try:
                included = _included_file(including, target)
            except NotIncluded:
                continue  # `load` reports it
            if included not in texts:
                texts[included] = text_of(included)
                pending.append((included, texts[included]))
    return texts
