"""Any papermill notebook runs: formats, missing kernelspec, relative paths, values of all kinds."""

import json
from pathlib import Path

import nbformat
import pytest

FIXTURES = Path(__file__).resolve().parents[1] / "notebooks"


def ipynb_without_kernelspec(folder: Path) -> str:
    node = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                "flag = False\nitems = []\nlevels = {}\nname = ''", metadata={"tags": ["parameters"]}
            ),
            nbformat.v4.new_code_cell(
                "import json\nfrom pathlib import Path\n"
                "Path('out.json').write_text(json.dumps([flag, items, levels, name, Path('near.txt').read_text()]))"
            ),
        ]
    )
    nbformat.write(node, folder / "foreign.ipynb")
    return "foreign.ipynb"


BODY = """import json
from pathlib import Path
Path('out.json').write_text(json.dumps([flag, items, levels, name, Path('near.txt').read_text()]))
"""


def percent(folder: Path) -> str:
    head = "# %% tags=[\"parameters\"]\nflag = False\nitems = []\nlevels = {}\nname = ''\n\n# %%\n"
    (folder / "foreign.py").write_text(head + BODY)
    return "foreign.py"


def light(folder: Path) -> str:
    head = "# + tags=[\"parameters\"]\nflag = False\nitems = []\nlevels = {}\nname = ''\n# -\n\n"
    (folder / "foreign.py").write_text(head + BODY)
    return "foreign.py"


def markdown(folder: Path) -> str:
    head = "# Title\n\n```python tags=[\"parameters\"]\nflag = False\nitems = []\nlevels = {}\nname = ''\n```\n\n"
    (folder / "foreign.md").write_text(head + f"```python\n{BODY}```\n")
    return "foreign.md"


def databricks_source(folder: Path) -> str:
    head = "# Databricks notebook source\n# tags: parameters\nflag = False\nitems = []\nlevels = {}\nname = ''\n\n# COMMAND ----------\n\n"
    (folder / "foreign.py").write_text(head + BODY)
    return "foreign.py"


@pytest.mark.parametrize("make", [ipynb_without_kernelspec, percent, light, markdown, databricks_source])
def test_a_notebook_that_knows_nothing_of_the_kit_runs_where_it_lies(run, tmp_path, make):
    folder = tmp_path / "my notebooks {1}"
    folder.mkdir()
    (folder / "near.txt").write_text("near")
    name = make(folder)
    values = {"flag": True, "items": [1, "b", None], "levels": {"a": {"b": 2.5}}, "name": 'it\'s {x} \\ "y"\n'}
    pipeline = {"pipeline": "foreign", "stages": {"only": {"notebook": f"{folder.name}/{name}", "parameters": values}}}
    (tmp_path / "mine.yaml").write_text(json.dumps(pipeline))
    before = (folder / name).read_bytes()
    ended = run("--params", "mine.yaml")
    assert ended.code == 0, ended.err + ended.out
    assert json.loads((folder / "out.json").read_text()) == [*values.values(), "near"]
    assert (folder / name).read_bytes() == before
