"""Scraps of an executed notebook, read from its outputs.

`scrapbook.read_notebook` does the same but imports pandas in every worker; the format is one media
type with a small JSON payload.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

_PREFIX = "application/scrapbook.scrap."
_NOT_FINITE = ("nan", "inf", "-inf")


def scraps(notebook: "NotebookNode") -> dict[str, Any]:
    """Name → value of each JSON or text scrap, the last one of a name winning.

    A glued NaN or infinity arrives as the text `nan` in a JSON scrap (text has an encoder of its own);
    it becomes None. Frames and displays stay in the notebook and are not handed on.
    """
    values: dict[str, Any] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for media, payload in output.get("data", {}).items():
                if media.startswith(_PREFIX) and payload.get("encoder") in ("json", "text"):
                    is_not_finite = payload["encoder"] == "json" and payload["data"] in _NOT_FINITE
                    values[payload["name"]] = None if is_not_finite else payload["data"]
    return values
