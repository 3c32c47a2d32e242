"""What all tests share: tiny notebooks and projects in a temporary folder."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

Write = Callable[..., Path]


@pytest.fixture
def notebook(tmp_path: Path) -> Write:
    """`notebook("a", "x = 1", …, parameters="y: int = 2")` writes `notebooks/a.ipynb`; returns its path."""

    def write(name: str, *cells: str, parameters: str | None = None) -> Path:
        nodes = [nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in cells]
        if parameters is not None:
            tagged = nbformat.v4.new_code_cell(textwrap.dedent(parameters), metadata={"tags": ["parameters"]})
            nodes.insert(0, tagged)
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=nodes), path)
        return path

    return write


@pytest.fixture
def params(tmp_path: Path) -> Write:
    """`params("dev", "stages: …")` writes `params/dev.yaml`; returns its path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / "params" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write
