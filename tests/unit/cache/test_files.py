"""Files that a stage names are digested by content, whole folders and patterns included."""

import os

import pytest

from stagebook.cache.files import named_files


@pytest.fixture
def folder(tmp_path):
    for name in ("a.csv", "data/b.csv", "data/deep/c.csv", "data/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "folders", "expected"),
    [
        (["a.csv", "none.csv"], [], ["a.csv"]),
        (["data"], [], []),
        ([], ["data"], ["data/b.csv", "data/d.txt", "data/deep/c.csv"]),
        (["data/*.csv"], [], ["data/b.csv", "data/deep/c.csv"]),
        (["data/*/c.csv"], [], ["data/deep/c.csv"]),
        (["none/*.csv"], [], []),
        (["/*.csv", "/tmp*.csv"], ["\0"], []),
        (["x" * 5000], [], []),
    ],
)
def test_names_patterns_and_folders(folder, names, folders, expected):
    assert list(named_files(folder, names, folders, {})) == expected


def test_content_counts_and_time_does_not(folder):
    before = named_files(folder, ["a.csv"], (), {})
    os.utime(folder / "a.csv", (1, 1))
    assert named_files(folder, ["a.csv"], (), {}) == before
    (folder / "a.csv").write_text("other")
    assert named_files(folder, ["a.csv"], (), {}) != before
