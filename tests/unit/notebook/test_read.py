"""Any notebook file becomes an nbformat 4 node."""

import textwrap

import nbformat
import pytest

from stagebook.notebook.cells import headings
from stagebook.notebook.read import UnreadableNotebook, load

PERCENT = """\
# %% [markdown]
# # Title

# %% tags=["parameters"]
x: int = 1

# %%
print(x)
"""

LIGHT = '# # Title\n\n# + tags=["parameters"]\nx: int = 1\n# -\n\nprint(x)\n'

DATABRICKS = textwrap.dedent("""\
    # Databricks notebook source
    # MAGIC %md
    # MAGIC # Title
    # MAGIC
    # MAGIC text

    # COMMAND ----------

    # DBTITLE 1,Settings
    # tags: parameters
    x = 1

    # COMMAND ----------

    # MAGIC %sql
    # MAGIC select 1

    # COMMAND ----------

    # %% is not a cell here
    print(x)
    """)


@pytest.mark.parametrize(("text", "kinds"), [(PERCENT, "mcc"), (LIGHT, "mcc"), (DATABRICKS, "mccc")])
def test_text_notebooks_are_split_into_their_cells(tmp_path, text, kinds):
    path = tmp_path / "a.py"
    path.write_text(text)
    notebook = load(path)
    assert "".join(cell.cell_type[0] for cell in notebook.cells) == kinds
    assert "parameters" in notebook.cells[1].metadata.tags
    assert headings(notebook)[-1] == "Title"


def test_databricks_magic_stays_code_and_markdown_loses_its_prefix(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(DATABRICKS)
    cells = load(path).cells
    assert cells[0].source == "# Title\n\ntext"
    assert cells[1].metadata.title == "Settings"
    assert cells[2].source == "%sql\nselect 1"
    assert cells[3].source == "# %% is not a cell here\nprint(x)"


def test_a_notebook_without_kernelspec_is_taken_for_python3(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "a.ipynb")
    assert load(tmp_path / "a.ipynb").metadata.kernelspec.name == "python3"
    assert load(tmp_path / "a.ipynb").metadata.kernelspec.language == "python"


def test_a_kernelspec_without_language_gets_one(tmp_path):
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "ir", "display_name": "R"}})
    notebook.metadata["language_info"] = {"name": "R"}
    nbformat.write(notebook, tmp_path / "a.ipynb")
    assert load(tmp_path / "a.ipynb").metadata.kernelspec.language == "R"


def test_an_old_notebook_is_upgraded(tmp_path):
    (tmp_path / "a.ipynb").write_text(
        '{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": [{"cell_type": "code",'
        ' "input": "1+1", "outputs": [], "language": "python", "metadata": {}, "collapsed": false}]}]}'
    )
    assert load(tmp_path / "a.ipynb").cells[0].source == "1+1"


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"{", "this is not a notebook"), (b"[]", "this is not a notebook"), (b"\xff\xfe", "not UTF-8")],
)
def test_a_broken_notebook_is_named(tmp_path, content, why):
    (tmp_path / "a.ipynb").write_bytes(content)
    with pytest.raises(UnreadableNotebook, match=why):
        load(tmp_path / "a.ipynb")


def test_a_missing_notebook_is_named(tmp_path):
    with pytest.raises(UnreadableNotebook, match="there is no such notebook"):
        load(tmp_path / "a.ipynb")
