"""Any notebook file becomes an nbformat 4 node, with the notebooks that it includes."""

import json
import textwrap

import nbformat
import pytest
from fixtures.databricks_notebooks import databricks_notebook

from stagebook.notebooks.cells import headings
from stagebook.notebooks.outline import outline
from stagebook.notebooks.parameters import declared
from stagebook.notebooks.read import NotIncluded, UnreadableNotebook, content, load

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


def test_a_notebook_without_kernelspec_gets_python3(tmp_path):
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
    ("data", "reason"),
    [
        (b"[\n<<<<<<< HEAD\n]", "this is not a notebook .it is not JSON from line 2, column 1: Expecting value"),
        (b"[]", "this is not a notebook"),
        (b"\xff\xff", "not UTF-8"),
    ],
)
def test_a_broken_notebook_is_reported_with_its_path(tmp_path, data, reason):
    (tmp_path / "a.ipynb").write_bytes(data)
    with pytest.raises(UnreadableNotebook, match=reason):
        load(tmp_path / "a.ipynb")


def test_a_missing_notebook_is_reported_with_its_path(tmp_path):
    with pytest.raises(UnreadableNotebook, match="there is no such notebook"):
        load(tmp_path / "a.ipynb")


def test_the_cells_of_an_included_notebook_replace_the_run_line_recursively(tmp_path):
    databricks_notebook(tmp_path / "lib/deep.py", "deep = 1")
    databricks_notebook(tmp_path / "lib/other.py", "%run ./deep", "dbutils.widgets.text('size', 's')")
    path = databricks_notebook(tmp_path / "a.py", "before = 1", "%run ./lib/other", "after = 1")
    cells = [(cell.cell_type, cell.source) for cell in load(path).cells]
    assert cells == [
        ("code", "before = 1"),
        ("markdown", "`%run ./lib/other`"),
        ("markdown", "`%run ./deep`"),
        ("code", "deep = 1"),
        ("code", "dbutils.widgets.text('size', 's')"),
        ("code", "after = 1"),
    ]
    assert list(declared(outline(path))) == ["size"]


def test_the_content_of_a_notebook_contains_the_notebooks_that_it_includes(tmp_path):
    path = databricks_notebook(tmp_path / "a.py", "%run ./other")
    included = databricks_notebook(tmp_path / "other.py", "%run ./deep")
    deep = databricks_notebook(tmp_path / "deep.py", "x = 1")
    before = content(path)
    deep.write_text(deep.read_text() + "y = 2\n")
    assert content(path) != before
    assert content(included) in content(path)


def test_an_included_notebook_may_be_an_ipynb_file(tmp_path):
    def write(name, text):
        cell = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": text}
        (tmp_path / name).write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))

    write("other.ipynb", "dbutils.widgets.text('x', '')")
    write("a.ipynb", "%run ./other")
    databricks_notebook(tmp_path / "b.py", '%run "./other"')
    assert list(declared(outline(tmp_path / "b.py"))) == ["x"]
    assert not outline(tmp_path / "a.ipynb").is_databricks, "IPython's own %run is another magic"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "%run ./nowhere",
            r"a.py: %run ./nowhere: there is no such notebook; looked for .*nowhere.py, .*nowhere.ipynb",
        ),
        ("%run /Shared/x", "a path of a workspace; here it counts from this folder"),
        ("%run ./a", "it includes itself"),
        ('%run ./b $x="1"', "values are not passed on"),
    ],
)
def test_a_notebook_that_cannot_be_included_is_refused(tmp_path, line, message):
    databricks_notebook(tmp_path / "b.py", "x = 1")
    with pytest.raises(NotIncluded, match=message):
        load(databricks_notebook(tmp_path / "a.py", line))
