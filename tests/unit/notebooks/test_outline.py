"""The quick outline for plans equals the full notebook for execution."""

import sys
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.notebooks import read
from stagebook.notebooks.outline import of_node, outline

ROOT = Path(__file__).resolve().parents[3]
NOTEBOOKS = sorted([*(ROOT / "notebooks").glob("*.py"), *(ROOT / "notebooks").glob("*.ipynb")])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_outline_of_our_notebooks_equals_the_full_notebook(path):
    assert outline(path) == of_node(read.load(path))


PERCENT = {
    "header": "# ---\n# jupyter:\n#   kernelspec:\n#     display_name: P\n#     language: python\n#     name: python3\n# ---\n\n# %%\nx = 1\n",
    "before the first marker": "import os\n\n# %%\nx = 1\n",
    "markdown and raw": "# %% [markdown]\n# # Title\n#\n# text\n\n# %% [raw]\n# raw text\n\n# %%\nx\n",
    "title and tags": '# %% A title tags=["parameters", "b"]\nx = 1\n\n\n# %% {"tags": ["c"]}\ny\n',
    "tags in single quotes": "# %% tags=['parameters', 'b']\nx = 1\n\n# %% tags=[c]\ny\n",
    "blank lines inside": "# %%\nx = 1\n\n\ndef f():\n    pass\n\n\n# %%\n\n",
    "a marker inside a string": "# %%\nx = '''\n# %%\n'''\n\n# %%\ny\n",
    "several markers in a row": "# %%\n# %%\nx\n# %%\n",
}


@pytest.mark.parametrize("text", PERCENT.values(), ids=PERCENT.keys())
def test_the_percent_format_is_split_as_jupytext_does(tmp_path, text):
    path = tmp_path / "a.py"
    path.write_text(text)
    assert outline(path).cells == of_node(read.load(path)).cells


LINES = st.sampled_from(["x = 1", "# a comment", "", "def f():", "    return 2", "'''", "print('# %%')"])
MARKERS = st.sampled_from(["# %%", '# %% tags=["parameters"]', "# %% name", "# %% [markdown]"])


@given(st.lists(st.tuples(MARKERS, st.lists(LINES, max_size=5)), min_size=1, max_size=5))
def test_any_percent_file_is_split_as_jupytext_does(tmp_path_factory, cells):
    text = ""
    for marker, lines in cells:
        if marker.endswith("[markdown]"):
            lines = [f"# {line}".rstrip() for line in lines if line]
        text += "\n".join([marker, *lines]) + "\n\n"
    path = tmp_path_factory.mktemp("percent") / "a.py"
    path.write_text(text)
    assert outline(path).cells == of_node(read.load(path)).cells


def test_reading_our_formats_imports_neither_jupytext_nor_nbformat(tmp_path):
    import subprocess

    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    nbformat.write(node, tmp_path / "a.ipynb")
    (tmp_path / "b.py").write_text("# %%\n1\n")
    code = (
        "import sys; from pathlib import Path; from stagebook.notebooks.outline import outline;"
        f"[outline(Path({str(tmp_path)!r}) / name) for name in ('a.ipynb', 'b.py')];"
        "assert not {'jupytext', 'nbformat'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
