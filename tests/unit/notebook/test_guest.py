"""Notebooks that were written for Databricks: what they include, and what they take from their job."""

import json
from pathlib import Path

import pytest
from fixtures.guest_notebooks import source

from stagebook.notebook.included import NotIncluded
from stagebook.notebook.outline import outline
from stagebook.notebook.parameters import declared
from stagebook.notebook.read import content, load
from stagebook.notebook.ways import Ways, ways


def of(folder: Path, *cells: str) -> Ways:
    return ways(outline(source(folder / "a.py", *cells)))


@pytest.mark.parametrize(
    ("name", "text", "is_one"),
    [
        ("a.py", "# Databricks notebook source\nx = 1\n", True),
        ("a.py", "# %%\nx = dbutils.widgets.get('a')\n", True),
        ("a.py", "# %%\nx = 1  # not dbutils\ny = 'dbutils'\n", False),
        ("a.ipynb", {"metadata": {"application/vnd.databricks.v1+notebook": {"language": "python"}}}, True),
        ("a.ipynb", {"metadata": {}}, False),
    ],
)
def test_a_notebook_of_databricks_is_known_by_its_marks_or_by_dbutils(tmp_path, name, text, is_one):
    if isinstance(text, dict):
        text = json.dumps({"cells": [], "nbformat": 4, "nbformat_minor": 5, **text})
    (tmp_path / name).write_text(text)
    assert outline(tmp_path / name).guest is is_one


def test_widgets_are_parameters_whose_values_are_texts(tmp_path):
    path = source(
        tmp_path / "a.py",
        "dbutils.widgets.text('day', '2013-01-01', 'Day')",
        "dbutils.widgets.dropdown(name='size', defaultValue='s', choices=['s', 'l'])",
        "n = int(dbutils.widgets.get('n')) + int(getArgument('m'))",
    )
    found = declared(outline(path))
    assert {name: (one.default, one.widget) for name, one in found.items()} == {
        "day": ("2013-01-01", True),
        "size": ("s", True),
        "n": (None, True),
        "m": (None, True),
    }


@pytest.mark.parametrize(
    "cell",
    [
        "for name in names:\n    dbutils.widgets.text(name, '')",
        "dbutils.widgets.getAll()",
        "helper(dbutils)",
        "w = dbutils.widgets\nw.text('a', '')",
        "this is not Python, but it has dbutils in it",
    ],
)
def test_names_that_are_computed_are_not_told(tmp_path, cell):
    assert of(tmp_path, "dbutils.widgets.text('day', '')", cell).widgets is None


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        ("dbutils.jobs.taskValues.set(key='a', value=1)", set()),
        ("dbutils.jobs.taskValues.get(taskKey='up', key='rows', debugValue=0)", {("up", "rows")}),
        ("x = [dbutils.jobs.taskValues.get('up', 'rows')]", {("up", "rows")}),
        ("dbutils.jobs.taskValues.get(taskKey=name, key='rows')", None),
        ("get = dbutils.jobs.taskValues.get", None),
        ("def f(u=dbutils): pass", None),
    ],
)
def test_task_values_that_it_reads_are_told_by_name_or_not_at_all(tmp_path, cell, values):
    assert of(tmp_path, cell).values == values


@pytest.mark.parametrize(
    ("cell", "unseen"),
    [
        ("dbutils.widgets.get('a'); dbutils.secrets.get('b', 'c'); dbutils.notebook.exit('')", None),
        ("df = spark.table('a.b')", "Spark"),
        ("%sql\nSELECT 1", "Spark"),
        ("dbutils.fs.ls('/x')", "dbutils.fs"),
        ("%fs ls /x", "dbutils.fs"),
        ("open('/Volumes/a/b/c/d.txt')", "/Volumes"),
        ("%sh\nls", "shell commands"),
        ("!ls", "shell commands"),
        ("helper(dbutils)", "handing dbutils on"),
        ("%md\nspark and dbutils.fs", None),
    ],
)
def test_what_nobody_can_see_is_named(tmp_path, cell, unseen):
    assert of(tmp_path, cell).unseen == unseen


def test_cells_of_other_languages_are_told_by_number(tmp_path):
    found = of(tmp_path, "%md\n# Title", "%pip install pandas", "%scala\nval x = 1", "%r\nx <- 1", "%python\nx = 1")
    assert found.foreign == ((2, "scala"), (3, "r"))
    assert found.widgets == {}


def test_an_included_notebook_stands_in_its_place_with_all_that_it_includes(tmp_path):
    source(tmp_path / "lib/deep.py", "deep = 1")
    source(tmp_path / "lib/other.py", "%run ./deep", "dbutils.widgets.text('size', 's')")
    path = source(tmp_path / "a.py", "before = 1", "%run ./lib/other", "after = 1")
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


def test_what_is_included_belongs_to_a_notebooks_content(tmp_path):
    path = source(tmp_path / "a.py", "%run ./other")
    other = source(tmp_path / "other.py", "%run ./deep")
    deep = source(tmp_path / "deep.py", "x = 1")
    before = content(path)
    deep.write_text(deep.read_text() + "y = 2\n")
    assert content(path) != before
    assert content(other) in content(path)


def test_an_included_notebook_is_found_as_ipynb_too_and_in_one(tmp_path):
    def write(name, text):
        cell = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": text}
        (tmp_path / name).write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))

    write("other.ipynb", "dbutils.widgets.text('x', '')")
    write("a.ipynb", "%run ./other")
    source(tmp_path / "b.py", '%run "./other"')
    assert list(declared(outline(tmp_path / "b.py"))) == ["x"]
    assert not outline(tmp_path / "a.ipynb").guest, "a notebook of IPython, whose %run is another"


@pytest.mark.parametrize(
    ("line", "says"),
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
def test_what_cannot_be_included_is_refused(tmp_path, line, says):
    source(tmp_path / "b.py", "x = 1")
    with pytest.raises(NotIncluded, match=says):
        load(source(tmp_path / "a.py", line))
