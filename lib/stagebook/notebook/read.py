"""Any notebook file as an nbformat 4 node: `.ipynb`, any jupytext text format, Databricks source."""

from pathlib import Path
from typing import TYPE_CHECKING, Self

from stagebook.errors import ConfigError
from stagebook.notebook import databricks_source, included
from stagebook.notebook.guest import is_guest, may_be_guest

if TYPE_CHECKING:
    from nbformat import NotebookNode


class UnreadableNotebook(ConfigError):
    """A notebook file is missing or is not a notebook."""

    @classmethod
    def of(cls, path: Path, why: str) -> Self:
        return cls(f"{path}: {why}\n  A stage is an .ipynb file or a text notebook that jupytext reads (.py, .md, …).")


def load(path: Path) -> "NotebookNode":
    """The notebook in `path`, upgraded to nbformat 4, with a kernelspec (python3 where none is named).

    One of Databricks holds the cells of the notebooks that it includes by `%run`.

    Raises:
        UnreadableNotebook: if the file is missing, is not valid JSON, or no format fits.
        NotIncluded: see `included.expanded`.
    """
    node = _as_it_is(path)
    return _with_kernelspec(included.expanded(node, path, _as_it_is) if is_guest(node) else node)


def content(path: Path) -> str:
    """The text of a notebook's file and of those that it may include: equal texts, equal notebooks.

    Raises:
        UnreadableNotebook: as `text_of`.
    """
    text = text_of(path)
    if not may_be_guest(text):
        return text
    return "\0".join([text, *included.files(text, path, text_of).values()])


def _as_it_is(path: Path) -> "NotebookNode":
    text = text_of(path)
    return _ipynb(path, text) if path.suffix == ".ipynb" else _text(path, text)


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


def _with_kernelspec(node: "NotebookNode") -> "NotebookNode":
    """Papermill refuses a notebook without kernelspec and language; python3 is assumed."""
    from nbformat import from_dict

    given = node.metadata.get("kernelspec", {})
    language = given.get("language") or node.metadata.get("language_info", {}).get("name") or "python"
    node.metadata["kernelspec"] = from_dict(
        {"name": "python3", "display_name": "Python 3 (ipykernel)", **given, "language": language}
    )
    return node


def _ipynb(path: Path, text: str) -> "NotebookNode":
    import nbformat

    try:
        return nbformat.v4.upgrade(nbformat.reads(text, as_version=4))
    except Exception as error:  # nbformat raises a dozen kinds for broken files
        raise UnreadableNotebook.of(path, f"this is not a notebook ({str(error).splitlines()[0]}).") from None


def _text(path: Path, text: str) -> "NotebookNode":
    if databricks_source.is_databricks_source(text):
        return databricks_source.parse(text)
    import jupytext

    try:
        return jupytext.reads(text, fmt={"extension": path.suffix})
    except Exception as error:  # jupytext raises its own and parsers' errors
        raise UnreadableNotebook.of(path, f"jupytext cannot read it ({str(error).splitlines()[0]}).") from None
