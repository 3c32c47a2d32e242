"""Any notebook file as an nbformat 4 node: `.ipynb`, any jupytext text format, Databricks source.

A Databricks notebook includes others by `%run ./other`; their cells are put in place of that line.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from stagebook.errors import ConfigError
from stagebook.notebooks import kernels
from stagebook.notebooks.databricks import is_databricks, is_databricks_source, may_be_databricks, parse_source
from stagebook.notebooks.decode import Undecodable, decoded
from stagebook.notebooks.kernels import kernel_of

if TYPE_CHECKING:
    from nbformat import NotebookNode

_RUN = re.compile(r"\s*%run\s+(?P<quote>[\"']?)(?P<path>[^\"'\n$]+?)(?P=quote)(?P<widgets>\s+\$.*)?\s*")
IPYNB = ".ipynb"
_SUFFIXES = (".py", IPYNB)
_SEPARATORS = set("\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")


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
    """The notebook in `path`, upgraded to nbformat 4, with a kernelspec: of its language if it names none.

    A Databricks notebook contains the cells of the notebooks that it includes by `%run`.

    Raises:
        UnreadableNotebook: if the file is missing, is not valid JSON, or no format fits.
        NotIncluded: if an included notebook does not exist, includes itself, or is given values of widgets.
    """
    return _with_kernelspec(as_written(path))


def as_written(path: Path) -> "NotebookNode":
    """The notebook as `load`, with no more about its kernel than the file says."""
    node = _read(path)
    if is_databricks(node):
        node.cells = list(_with_included(node, path, (path.resolve(),)))
    return node


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
    """The file's text, with `\\n` at the end of each line and without a byte-order mark.

    Raises:
        UnreadableNotebook: if the file is missing, cannot be read, or is not text in the encoding that it names.
    """
    if not path.is_file():
        raise UnreadableNotebook.of(path, "there is no such notebook.")
    try:
        return decoded(path.read_bytes(), is_json=path.suffix == IPYNB)
    except Undecodable as error:
        raise UnreadableNotebook.of(path, str(error)) from None
    except OSError as error:
        raise UnreadableNotebook.of(path, f"it cannot be read ({error.strerror}).") from None


def _read(path: Path) -> "NotebookNode":
    """The notebook of one file, without the notebooks that it includes."""
    text = text_of(path)
    return _from_ipynb(path, text) if path.suffix == IPYNB else _from_text(path, text)


def _from_ipynb(path: Path, text: str) -> "NotebookNode":
    import nbformat

    try:
        node = nbformat.v4.upgrade(nbformat.reads(text, as_version=4))
    except Exception as error:  # nbformat raises a dozen kinds for broken files
        if (content := _incomplete(path, text)) is None:
            raise UnreadableNotebook.of(path, f"this is not a notebook ({_refusal(text, error)}).") from None
        node = nbformat.v4.upgrade(nbformat.from_dict(content))
    checked: Any = nbformat.from_dict(well_formed(path, node))  # old formats come as nodes of classes of their own
    return checked


def _refusal(text: str, error: Exception) -> str:
    """Why a file is not read: where it stops being JSON, as at a mark of a merge, or else nbformat's `error`."""
    try:
        json.loads(text)
    except json.JSONDecodeError as broken:
        return f"it is not JSON from line {broken.lineno}, column {broken.colno}: {broken.msg}"
    except (ValueError, RecursionError):  # nested or numbered beyond what is read
        pass
    return str(error).splitlines()[0]


def _incomplete(path: Path, text: str) -> Any | None:
    """The content of a notebook that nbformat refuses because something is missing which has a default; or None."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_current = isinstance(content, dict) and content.get("nbformat") == 4
    return {"nbformat_minor": 5, **well_formed(path, content)} if is_current else None


def well_formed(path: Path, node: Any) -> Any:
    """The content of an `.ipynb` file as all others rely on it: sources are text with `\\n`, tags are lists.

    Args: node: of nbformat 4, as nodes or as plain JSON; it is changed.
    Raises:
        UnreadableNotebook: with the cell that cannot be read.
    """
    if not isinstance(node.get("cells"), list):
        raise UnreadableNotebook.of(path, "this is not a notebook (it has no list of cells).")
    metadata = node.get("metadata")
    node["metadata"] = metadata if isinstance(metadata, dict) else {}
    for number, cell in enumerate(node["cells"], start=1):
        source = _joined(cell.get("source")) if isinstance(cell, dict) else None
        if source is None or not isinstance(cell.get("cell_type"), str):
            raise UnreadableNotebook.of(path, f"its cell {number} has no {'source' if source is None else 'type'}.")
        if _has_surrogates(source):
            message = f"its cell {number} is not Unicode text: it has half of a surrogate pair."
            raise UnreadableNotebook.of(path, message)
        cell["source"] = source.replace("\r\n", "\n").replace("\r", "\n")
        own = cell.get("metadata")
        cell["metadata"] = own if isinstance(own, dict) else {}
        if isinstance(tags := cell["metadata"].get("tags"), str):
            cell["metadata"]["tags"] = [tags]
        if cell["cell_type"] == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)
    return node


def _joined(source: Any) -> str | None:
    """A cell's source, which may be a list of lines; None if it is anything else."""
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        return "".join(source)
    return source if isinstance(source, str) else None


def _has_surrogates(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _from_text(path: Path, text: str) -> "NotebookNode":
    if is_databricks_source(text):
        return parse_source(text)
    import jupytext

    protected, separators = _protect(text)
    try:
        node = jupytext.reads(protected, fmt={"extension": path.suffix})
    except Exception as error:  # jupytext raises its own and parsers' errors
        raise UnreadableNotebook.of(path, f"jupytext cannot read it ({str(error).splitlines()[0]}).") from None
    for cell in node.cells:
        for placeholder, separator in separators.items():
            cell.source = cell.source.replace(placeholder, separator)
    return node


def _protect(text: str) -> tuple[str, dict[str, str]]:
    """The text with placeholders for characters at which `str.splitlines` splits, and jupytext with it; and these."""
    used, placeholders = set(text), (chr(code) for code in range(0xF0000, 0xFFFFD))
    separators = {}
    for separator in _SEPARATORS & used:
        placeholder = next(candidate for candidate in placeholders if candidate not in used)
        separators[placeholder] = separator
        text = text.replace(separator, placeholder)
    return text, separators


def _with_kernelspec(node: "NotebookNode") -> "NotebookNode":
    """Papermill refuses a notebook without kernelspec and language: what the notebook does not say is filled in."""
    from nbformat import from_dict

    kernel = kernel_of(node.metadata)
    kernelspec = node.metadata.get("kernelspec")
    named = dict(kernelspec) if isinstance(kernelspec, dict) else {}
    name = kernel.name or kernels.of_language(kernel.language, kernels.installed()) or kernel.language.lower()
    title = named.get("display_name") or ("Python 3 (ipykernel)" if name == kernels.NATIVE else name)
    named |= {"name": name, "display_name": title, "language": kernel.language}
    node.metadata["kernelspec"] = from_dict(named)
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
