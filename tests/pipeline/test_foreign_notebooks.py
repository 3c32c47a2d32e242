"""Any papermill notebook runs: formats, missing kernelspec, relative paths, values of all kinds."""

import json
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from .conftest import Project


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


FORMATS = [ipynb_without_kernelspec, percent, light, markdown, databricks_source]
VALUES = {"flag": True, "items": [1, "b", None], "levels": {"a": {"b": 2.5}}, "name": 'it\'s {x} \\ "y"\n'}


@dataclass(frozen=True)
class ForeignNotebook:
    """A notebook in a folder of its own, and its bytes before it was run."""

    path: Path
    before: bytes


@pytest.fixture(scope="module")
def executed(module_project: Project) -> dict[str, ForeignNotebook]:
    """The notebooks by their format, each run as a stage, with the same parameters."""
    notebooks, stages = {}, {}
    for write_foreign in FORMATS:
        folder = module_project.folder / f"my notebooks {{1}} {write_foreign.__name__}"
        folder.mkdir()
        (folder / "near.txt").write_text("near")
        path = folder / write_foreign(folder)
        notebooks[write_foreign.__name__] = ForeignNotebook(path, path.read_bytes())
        stages[write_foreign.__name__] = {"notebook": f"{folder.name}/{path.name}", "parameters": VALUES}
    (module_project.folder / "mine.yaml").write_text(json.dumps({"pipeline": "foreign", "stages": stages}))
    ended = module_project.run("--params", "mine.yaml", "-j", "2")
    assert ended.code == 0, ended.err + ended.out
    return notebooks


@pytest.mark.parametrize("name", [write_foreign.__name__ for write_foreign in FORMATS])
def test_a_notebook_that_knows_nothing_of_the_kit_runs_where_it_lies(executed, name):
    notebook = executed[name]
    assert json.loads((notebook.path.parent / "out.json").read_text()) == [*VALUES.values(), "near"]
    assert notebook.path.read_bytes() == notebook.before
