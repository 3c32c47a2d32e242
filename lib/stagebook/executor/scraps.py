"""Scraps of an executed notebook, read from its outputs.

`scrapbook.read_notebook` does the same but imports pandas in every worker; the format is one media
type with a small JSON payload.
"""

from typing import TYPE_CHECKING, Any

from stagebook.executor.kernels.scrap_hook import METADATA, PATHS
from stagebook.plain_values import replaced

if TYPE_CHECKING:
    from nbformat import NotebookNode

_PREFIX = "application/scrapbook.scrap."
_NOT_FINITE = ("nan", "inf", "-inf")


def scraps(notebook: "NotebookNode") -> dict[str, Any]:
    """Name → value of each JSON or text scrap, the last one of a name winning.

    NaN and infinities are text in the payload; the output's metadata say where (`executor.kernels.scrap_hook`). Frames
    and displays stay in the notebook and are not handed on.
    """
    values: dict[str, Any] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for media, payload in output.get("data", {}).items():
                if media.startswith(_PREFIX) and payload.get("encoder") in ("json", "text"):
                    values[payload["name"]] = _value(payload, output.get("metadata", {}))
    return values


def _value(payload: dict[str, Any], metadata: dict[str, Any]) -> Any:
    value = payload["data"]
    if payload["encoder"] == "text":
        return value
    if value in _NOT_FINITE:  # JSON of a kernel that was not set up; it has an encoder of its own for text
        return float(value)
    return replaced(value, metadata.get(METADATA, {}).get(PATHS, []), float)
