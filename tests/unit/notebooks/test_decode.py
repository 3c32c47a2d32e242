"""Notebook files as editors leave them: byte-order marks, encodings, line ends, old and incomplete formats."""

import json

import pytest

from stagebook.notebooks import read
from stagebook.notebooks.outline import of_node, outline
from stagebook.notebooks.read import UnreadableNotebook

TEXT = '# %% tags=["parameters"]\nname = "é"\n\n# %%\nprint(name)\n'
SOURCES = ['name = "é"', "print(name)"]


def ipynb(cells, **changes):
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **changes}
    return json.dumps(notebook, ensure_ascii=False)


def code(source, **changes):
    return {
        "cell_type": "code",
        "id": "a",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": source,
    } | changes


JSON = ipynb([code(source) for source in SOURCES])

FILES = [
    ("mark.py", TEXT.encode("utf-8-sig")),
    ("wide.py", TEXT.encode("utf-16")),
    ("wider.py", TEXT.encode("utf-32")),
    ("coded.py", b"# -*- coding: latin-1 -*-\n" + TEXT.encode("latin-1")),
    ("second.py", b"#!/usr/bin/env python\n# coding: cp1252\n" + TEXT.encode("cp1252")),
    ("same.py", b"# coding: utf-8\n" + TEXT.encode()),
    ("windows.py", TEXT.replace("\n", "\r\n").encode()),
    ("mac.py", TEXT.replace("\n", "\r").encode()),
    ("mark.ipynb", JSON.encode("utf-8-sig")),
    ("wide.ipynb", JSON.encode("utf-16")),
    ("little.ipynb", JSON.encode("utf-16-le")),
    ("wider.ipynb", JSON.encode("utf-32")),
    ("windows.ipynb", ipynb([code(f"{source}\r\n") for source in SOURCES]).encode()),
    ("incomplete.ipynb", json.dumps({"cells": [{"cell_type": "code", "source": [s]} for s in SOURCES], "nbformat": 4}).encode()),
    ("mark.md", "\ufeff```python\nname = \"é\"\n```\n\n```python\nprint(name)\n```\n".encode()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data"), FILES, ids=[name for name, _ in FILES])
def test_a_notebook_is_read_whatever_its_editor_left(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    cells = [cell.source for cell in outline(path).cells if cell.kind == "code" and not cell.source.startswith("#")]
    assert cells == SOURCES
    assert of_node(read.load(path)) == outline(path)
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("name", "data", "finding"),
    [
        ("a.py", TEXT.encode("latin-1"), r"not UTF-8 text: .* at byte 33 \(0xe9, in line 2\).*name its encoding in the first"),
        ("a.py", b"# coding: klingon\n", "names 'klingon', and there is no such encoding"),
        ("a.py", b"# coding: rot13\n", "names 'rot13', and there is no such encoding"),
        ("a.py", "\ufeff# coding: latin-1\n".encode(), "begins with the mark of UTF-8, and its coding line names latin-1"),
        ("a.py", b"# coding: ascii\nx = '\xe9'\n", r"this is not ascii text.*0xe9, in line 2.*correct it"),
        ("a.ipynb", JSON.encode("latin-1"), "not UTF-8 text.*in line 1.*Save the notebook as UTF-8"),
        ("a.ipynb", ipynb(None).encode(), "it has no list of cells"),
        ("a.ipynb", ipynb([code("1"), code(None)]).encode(), "its cell 2 has no source"),
        ("a.ipynb", ipynb([code("1"), code("2", cell_type=3)]).encode(), "its cell 2 has no type|not a notebook"),
        ("a.ipynb", ipynb([code("'\\ud800'")]).replace("\\\\u", "\\u").encode(), "its cell 1 is not Unicode text"),
        ("a.ipynb", b"[" * 100_000, "not a notebook"),
        ("a.ipynb", ipynb([], nbformat=5).encode(), "not a notebook"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_rightly_is_refused_with_its_place(tmp_path, name, data, finding):
    path = tmp_path / name
    path.write_bytes(data)
    for function in (outline, read.load):
        with pytest.raises(UnreadableNotebook, match=finding):
            function(path)


def test_a_notebook_of_format_3_is_upgraded(tmp_path):
    cells = [
        {"cell_type": "heading", "level": 1, "source": ["Title"], "metadata": {}},
        {"cell_type": "code", "input": ["x = 1\n", "x"], "outputs": [], "language": "python", "metadata": {"tags": ["parameters"]}},
    ]  # fmt: skip
    path = tmp_path / "old.ipynb"
    path.write_text(
        json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": cells}]})
    )
    assert [(cell.kind, cell.source) for cell in outline(path).cells] == [("markdown", "# Title"), ("code", "x = 1\nx")]
    assert outline(path).parameters_cell is not None
    assert type(read.load(path)).__module__ == "nbformat.notebooknode"


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("head", ["# %%\n", "# +\n", ""])
def test_a_separator_within_a_text_splits_no_line(tmp_path, separator, head):
    path = tmp_path / "a.py"
    path.write_text(f"{head}x = 'a{separator}b'\n")
    assert f"x = 'a{separator}b'" in [cell.source for cell in outline(path).cells]
    assert f"x = 'a{separator}b'" in [cell.source for cell in read.load(path).cells]
