"""Files in a notebook's folder that hide a library: a warning that names both."""

import pytest

from stagebook.config.shadowing import hidden_libraries


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["polars.py"], ["polars.py hides the package 'polars'"]),
        (["polars/__init__.py"], ["polars hides the package 'polars'"]),
        (["random.py"], ["random.py hides Python's module 'random'"]),
        (["sklearn.py"], []),  # no notebook imports it
        (["polars.ipynb", "helper.py", "test.py", "polars/data.csv"], []),
        (["random.py", "polars.py"], ["polars.py", "random.py"]),
    ],
)
def test_a_file_with_the_name_of_a_library_is_reported(tmp_path, files, expected):
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("{}" if file.endswith("ipynb") else "")
    notebook = tmp_path / "stage.py"
    notebook.write_text("# %%\nimport polars as pl\nfrom os import path\nimport helper\n")
    warnings = list(hidden_libraries([notebook]))
    assert len(warnings) == len(expected)
    for warning, part in zip(warnings, expected, strict=True):
        assert part in warning
        assert warning.endswith("from the notebooks in its folder: rename it.")


def test_a_stage_that_is_named_like_a_library_hides_it_from_its_neighbour(tmp_path):
    (tmp_path / "polars.py").write_text("# %%\n1\n")
    (tmp_path / "other.py").write_text("# %%\nimport polars.selectors\n")
    assert len(list(hidden_libraries([tmp_path / "polars.py", tmp_path / "other.py"]))) == 1


def test_what_cannot_be_read_is_left_to_the_finding(tmp_path):
    (tmp_path / "polars.py").write_bytes(b"\xff\xff")
    assert list(hidden_libraries([tmp_path / "polars.py"])) == []
