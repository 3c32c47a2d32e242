"""What Databricks notebooks use of their job, and how they are recognised."""

import json
from pathlib import Path

import pytest
from fixtures.databricks_notebooks import databricks_notebook

from stagebook.notebooks.dbutils_usage import DbutilsUsage, dbutils_usage
from stagebook.notebooks.outline import outline
from stagebook.notebooks.parameters import declared


def usage_of(folder: Path, *cells: str) -> DbutilsUsage:
    return dbutils_usage(outline(databricks_notebook(folder / "a.py", *cells)))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.py", "# Databricks notebook source\nx = 1\n", True),
        ("a.py", "# %%\nx = dbutils.widgets.get('a')\n", True),
        ("a.py", "# %%\nx = 1  # not dbutils\ny = 'dbutils'\n", False),
        ("a.ipynb", {"metadata": {"application/vnd.databricks.v1+notebook": {"language": "python"}}}, True),
        ("a.ipynb", {"metadata": {"name": "Exported in 2020", "notebookId": 6090438}}, True),
        ("a.ipynb", {"metadata": {"notebookId": "mine"}}, False),
        ("a.ipynb", {"metadata": {}}, False),
    ],
)
def test_a_databricks_notebook_is_recognised_by_its_format_its_metadata_or_dbutils(tmp_path, name, text, expected):
    if isinstance(text, dict):
        text = json.dumps({"cells": [], "nbformat": 4, "nbformat_minor": 5, **text})
    (tmp_path / name).write_text(text)
    assert outline(tmp_path / name).is_databricks is expected


def test_widgets_are_parameters_whose_values_are_texts(tmp_path):
    path = databricks_notebook(
        tmp_path / "a.py",
        "dbutils.widgets.text('day', '2013-01-01', 'Day')",
        "dbutils.widgets.dropdown(name='size', defaultValue='s', choices=['s', 'l'])",
        "n = int(dbutils.widgets.get('n')) + int(getArgument('m'))",
    )
    parameters = declared(outline(path))
    assert {name: (parameter.default, parameter.widget) for name, parameter in parameters.items()} == {
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
def test_widgets_are_none_if_their_names_are_computed(tmp_path, cell):
    assert usage_of(tmp_path, "dbutils.widgets.text('day', '')", cell).widgets is None


@pytest.mark.parametrize(
    ("cell", "task_values"),
    [
        ("dbutils.jobs.taskValues.set(key='a', value=1)", set()),
        ("dbutils.jobs.taskValues.get(taskKey='up', key='rows', debugValue=0)", {("up", "rows")}),
        ("x = [dbutils.jobs.taskValues.get('up', 'rows')]", {("up", "rows")}),
        ("dbutils.jobs.taskValues.get(taskKey=name, key='rows')", None),
        ("get = dbutils.jobs.taskValues.get", None),
        ("def f(u=dbutils): pass", None),
    ],
)
def test_task_values_are_read_by_literal_names_or_are_none(tmp_path, cell, task_values):
    assert usage_of(tmp_path, cell).task_values == task_values


@pytest.mark.parametrize(
    ("cell", "untracked"),
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
def test_a_means_of_untracked_reads_is_named(tmp_path, cell, untracked):
    assert usage_of(tmp_path, cell).untracked == untracked


def test_cells_in_unsupported_languages_are_listed_by_number(tmp_path):
    usage = usage_of(
        tmp_path, "%md\n# Title", "%pip install pandas", "%scala\nval x = 1", "%r\nx <- 1", "%python\nx = 1"
    )
    assert usage.unsupported_cells == ((2, "scala"), (3, "r"))
    assert usage.widgets == {}
