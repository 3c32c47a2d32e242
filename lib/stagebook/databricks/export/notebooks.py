"""Converts notebooks to what a workspace imports: `.ipynb`, whatever the stage's own format is.

Databricks does not run jupytext's percent format, and a `.py` marked as its notebook would collide with the `.ipynb`
of the pair. Papermill needs a plain file, so for it they are in the percent format: an `.ipynb` becomes an object of
the workspace that no path opens.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.errors import ConfigError
from stagebook.model.pipeline import Pipeline
from stagebook.notebooks.outline import PARAMETERS, Cell, Outline
from stagebook.notebooks.parameters import declared

if TYPE_CHECKING:
    from nbformat import NotebookNode

OUTSIDE_FOLDER = "notebooks"
"""Folder of the bundle for notebooks that lie outside of the project."""

WIDGETS_TAG = "stagebook-widgets"
"""Tag of the cell that reads the job's parameters."""


def bundle_paths(pipeline: Pipeline) -> dict[str, str]:
    """Stage → path of its notebook in the bundle: as in the project, with the suffix `.ipynb`, for papermill `.py`.

    Raises:
        ConfigError: two different notebooks would get the same path.
    """
    paths: dict[str, str] = {}
    owners: dict[str, Path] = {}
    for name, stage in pipeline.stages.items():
        root = pipeline.paths.root
        inside = stage.notebook.is_relative_to(root)
        relative = stage.notebook.relative_to(root) if inside else Path(OUTSIDE_FOLDER) / stage.notebook.name
        suffix = ".py" if pipeline.deployment.execute_with == "papermill" else ".ipynb"
        path = relative.with_suffix(suffix).as_posix()
        owner = owners.setdefault(path, stage.notebook)
        if owner != stage.notebook:
            raise ConfigError(
                f"stage '{name}': {stage.notebook} and {owner} would both be {path} in the bundle.\n"
                "  Let both stages use one of them, or rename one."
            )
        paths[name] = path
    return paths


def ipynb_text(notebook: "NotebookNode") -> str:
    """The notebook as `.ipynb` without outputs and counts, with cell ids by number: equal cells give equal text."""
    cells = [_cell(number, cell) for number, cell in enumerate(_with_widgets(notebook))]
    metadata = {
        "kernelspec": {key: notebook.metadata["kernelspec"][key] for key in ("display_name", "language", "name")},
        "language_info": {"name": notebook.metadata["kernelspec"]["language"]},
    }
    node = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(node, indent=1, ensure_ascii=False) + "\n"


def percent_text(notebook: "NotebookNode") -> str:
    """The notebook in jupytext's percent format, without outputs."""
    import jupytext
    from nbformat import reads

    return jupytext.writes(reads(ipynb_text(notebook), as_version=4), fmt="py:percent")


def _with_widgets(notebook: "NotebookNode") -> list[Mapping[str, Any]]:
    """The cells, and below the parameters cell one that reads the job's parameters, which are widgets on Databricks."""
    cells: list[Mapping[str, Any]] = [cell for cell in notebook.cells if WIDGETS_TAG not in _tags(cell)]
    outline = Outline(
        tuple(Cell(cell["cell_type"], cell["source"], _tags(cell)) for cell in cells),
        notebook.metadata["kernelspec"]["language"],
    )
    parameters = declared(outline)
    if not parameters:
        return cells
    lines = ["# Parameters of the job; one that it does not pass keeps the value above.", "import stagebook.stage", ""]
    for name, parameter in parameters.items():
        annotation = "" if parameter.annotation is None else f", {json.dumps(parameter.annotation)}"
        lines.append(f"{name} = stagebook.stage.parameter({json.dumps(name)}, {name}{annotation})")
    index = next(i for i, cell in enumerate(cells) if cell["cell_type"] == "code" and PARAMETERS in _tags(cell)) + 1
    widgets = {"cell_type": "code", "metadata": {"tags": [WIDGETS_TAG]}, "source": "\n".join(lines)}
    return [*cells[:index], widgets, *cells[index:]]


def _tags(cell: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(cell["metadata"].get("tags", ()))


def _cell(number: int, cell: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: cell["metadata"][key] for key in ("tags", "title") if key in cell["metadata"]}
    kind = cell["cell_type"]
    converted = {"cell_type": kind, "id": f"cell-{number}", "metadata": metadata}
    if kind == "code":
        converted |= {"execution_count": None, "outputs": []}
    return converted | {"source": cell["source"].splitlines(keepends=True)}
