"""The shipped notebooks are thin pairs that explain themselves."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest

from stagebook.notebooks.outline import outline
from stagebook.notebooks.parameters import declared
from stagebook.notebooks.read import load

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
BOOKKEEPING = r"fingerprint|of_version|feature_version|to_build|\bstale\b|dbutils|SELECT |/tmp|\.\./"

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@each_notebook
def test_every_parameter_is_annotated_and_explained(path):
    for parameter in (declared(outline(path)) or {}).values():
        assert parameter.annotation, parameter.name
        assert len(parameter.comment) > 10, parameter.name


@each_notebook
def test_pairs_are_in_sync_and_outputs_stripped(path):
    text, pair = jupytext.read(path), nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in text.cells] == [
        (cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in pair.cells
    ], f"out of sync: jupytext --sync {path.relative_to(ROOT)}"
    for cell in pair.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@each_notebook
def test_a_notebook_is_thin_and_keeps_no_books(path):
    notebook = load(path)
    assert notebook.cells[0].cell_type == "markdown"
    assert "reads" in notebook.cells[0].source.lower()
    assert "writes" in notebook.cells[0].source.lower()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not re.search(rf"^\s*(def|class) |{BOOKKEEPING}", cell.source, re.MULTILINE), cell.source
            assert len(cell.source.splitlines()) <= 25


@each_notebook
def test_a_notebook_ends_with_its_conclusion_checked(path):
    code = [cell.source for cell in load(path).cells if cell.cell_type == "code"]
    assert "stage.check(" in code[-1]


def test_there_are_six_stages_in_order_and_one_that_makes_more_data():
    assert [path.stem for path in NOTEBOOKS] == [
        "00_scale", "01_data_prep", "02_feature_build", "03_train", "04_validate", "05_register_model", "06_deploy",
    ]  # fmt: skip
