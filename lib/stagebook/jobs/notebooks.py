"""Notebooks as a workspace imports them: `.ipynb`, whatever the stage's own format is.

Databricks does not run jupytext's percent format, and a marked `.py` would collide with its pair. For papermill
they are in the percent format: a plain file, while `.ipynb` becomes an object of the workspace that no path opens.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.errors import ConfigError
from stagebook.model.pipeline import Pipeline
from stagebook.notebook.outline import PARAMETERS, Cell, Outline
from stagebook.notebook.parameters import declared

if TYPE_CHECKING:
    from nbformat import NotebookNode

OUTSIDE = "notebooks"
"""Folder in the bundle of notebooks that lie outside of the project."""

WIDGETS = "stagebook-widgets"
"""Tag of the cell that takes the job's parameters."""


def places(pipeline: Pipeline) -> dict[str, str]:
    """Stage → path of its notebook in the bundle: as in the project, with the suffix `.ipynb`, for papermill `.py`.

    Raises:
        ConfigError: if two different notebooks would get the same path.
    """
    found: dict[str, str] = {}
    owners: dict[str, Path] = {}
    for name, stage in pipeline.stages.items():
        root = pipeline.places.root
        inside = stage.notebook.is_relative_to(root)
        relative = stage.notebook.relative_to(root) if inside else Path(OUTSIDE) / stage.notebook.name
        suffix = ".py" if pipeline.deployment.execute_with == "papermill" else ".ipynb"
        place = relative.with_suffix(suffix).as_posix()
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
    cells = [_cell(number, cell) for number, cell in enumerate(_with_widgets(notebook))]
    metadata = {
        "kernelspec": {key: notebook.metadata["kernelspec"][key] for key in ("display_name", "language", "name")},
        "language_info": {"name": notebook.metadata["kernelspec"]["language"]},
    }
    node = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(node, indent=1, ensure_ascii=False) + "\n"


def to_percent_text(notebook: "NotebookNode") -> str:
    """The notebook in jupytext's percent format, without outputs."""
    import jupytext
    from nbformat import reads

    return jupytext.writes(reads(to_text(notebook), as_version=4), fmt="py:percent")


def _with_widgets(notebook: "NotebookNode") -> list[Mapping[str, Any]]:
    """The cells, and below the parameters cell one that takes what the job passes: there it comes as widgets."""
    cells: list[Mapping[str, Any]] = [cell for cell in notebook.cells if WIDGETS not in _tags(cell)]
    told = Outline(
        tuple(Cell(cell["cell_type"], cell["source"], _tags(cell)) for cell in cells),
        notebook.metadata["kernelspec"]["language"],
    )
    parameters = declared(told)
    if not parameters:
        return cells
    lines = ["# What the job passes; where it passes nothing, the value above stays.", "import stagebook.stage", ""]
    for name, one in parameters.items():
        of = "" if one.annotation is None else f", {json.dumps(one.annotation)}"
        lines.append(f"{name} = stagebook.stage.parameter({json.dumps(name)}, {name}{of})")
    place = next(i for i, cell in enumerate(cells) if cell["cell_type"] == "code" and PARAMETERS in _tags(cell)) + 1
    widgets = {"cell_type": "code", "metadata": {"tags": [WIDGETS]}, "source": "\n".join(lines)}
    return [*cells[:place], widgets, *cells[place:]]


def _tags(cell: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(cell["metadata"].get("tags", ()))


def _cell(number: int, cell: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: cell["metadata"][key] for key in ("tags", "title") if key in cell["metadata"]}
    kind = cell["cell_type"]
    result = {"cell_type": kind, "id": f"cell-{number}", "metadata": metadata}
    if kind == "code":
        result |= {"execution_count": None, "outputs": []}
    return result | {"source": cell["source"].splitlines(keepends=True)}
