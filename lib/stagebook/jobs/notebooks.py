"""Notebooks as a workspace imports them: `.ipynb`, whatever the stage's own format is.

Databricks does not run jupytext's percent format, and a marked `.py` would collide with its pair.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.errors import ConfigError
from stagebook.model.pipeline import Pipeline

if TYPE_CHECKING:
    from nbformat import NotebookNode

OUTSIDE = "notebooks"
"""Folder in the bundle of notebooks that lie outside of the project."""


def places(pipeline: Pipeline) -> dict[str, str]:
    """Stage → path of its notebook in the bundle: as in the project, with the suffix `.ipynb`.

    Raises:
        ConfigError: if two different notebooks would get the same path.
    """
    found: dict[str, str] = {}
    owners: dict[str, Path] = {}
    for name, stage in pipeline.stages.items():
        root = pipeline.places.root
        inside = stage.notebook.is_relative_to(root)
        relative = stage.notebook.relative_to(root) if inside else Path(OUTSIDE) / stage.notebook.name
        place = relative.with_suffix(".ipynb").as_posix()
        other = owners.setdefault(place, stage.notebook)
        if other != stage.notebook:
            raise ConfigError(
                f"stage '{name}': {stage.notebook} and {other} would both be {place} in the bundle.\n"
                "  Let both stages use one of them, or give one another name."
            )
        found[name] = place
    return found


def to_text(notebook: "NotebookNode") -> str:
    """The notebook without outputs and counts, with cell ids by number, so that equal cells give equal text."""
    cells = [_cell(number, cell) for number, cell in enumerate(notebook.cells)]
    metadata = {
        "kernelspec": {key: notebook.metadata["kernelspec"][key] for key in ("display_name", "language", "name")},
        "language_info": {"name": notebook.metadata["kernelspec"]["language"]},
    }
    node = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(node, indent=1, ensure_ascii=False) + "\n"


def _cell(number: int, cell: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: cell["metadata"][key] for key in ("tags", "title") if key in cell["metadata"]}
    kind = cell["cell_type"]
    result = {"cell_type": kind, "id": f"cell-{number}", "metadata": metadata}
    if kind == "code":
        result |= {"execution_count": None, "outputs": []}
    return result | {"source": cell["source"].splitlines(keepends=True)}
