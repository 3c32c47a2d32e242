"""Names in MLflow: accepted, each its own, and read back by the rule that the documentation gives."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_metric_name

from stagebook.tracking.names import NameTable, accepted_text, encoded

hostile = st.text(st.one_of(st.sampled_from("./: %_aA\\\0\n"), st.characters(exclude_categories=())), max_size=12)


def read_back(name: str) -> str:
    """The user's name, by the documented rule: `:hex:` is the character of this number, `::` nothing."""
    return re.sub(r":([0-9a-f]*):", lambda match: chr(int(match[1], 16)) if match[1] else "", name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("roc_auc", "roc_auc"),
        ("a/b-c.d e", "a/b-c.d e"),
        ("a//b", "a/:2f:b"),
        ("/lead", ":2f:lead"),
        ("trail/", "trail:2f:"),
        ("../up", ":2e:./up"),
        ("a/../b", "a/:2e:./b"),
        ("..a", ":2e:.a"),
        (".", ":2e:"),
        ("a/./b", "a/:2e:/b"),
        ("x%", "x:25:"),
        ("a:b", "a:3a:b"),
        ("", "::"),
        (" a", ":20:a"),
        ("größe", "größe"),
        ("a\ud800", "a:d800:"),
    ],
)
def test_what_mlflow_refuses_is_written_as_a_number(name, expected):
    assert encoded(name) == expected
    assert read_back(expected) == name


@given(st.lists(hostile, unique=True, max_size=8))
def test_every_name_is_accepted_has_its_own_and_is_read_back(names):
    table = NameTable(["seconds"])
    unique = [table.add(name) for name in names]
    for name, changed in zip(names, unique, strict=True):
        _validate_metric_name(changed)
        assert len(changed) <= MAX_ENTITY_KEY_LENGTH
        assert read_back(changed) == name
    assert len({changed.casefold() for changed in unique}) == len(names)
    assert table.renamed == {new: old for new, old in zip(unique, names, strict=True) if new != old}


@given(st.text(st.sampled_from("ab/. %"), min_size=200, max_size=400), st.text(st.sampled_from("ab/. %"), min_size=1))
def test_long_names_are_cut_and_differ_by_their_hash(name, more):
    for long in (name, name + more):
        _validate_metric_name(encoded(long))
        assert len(encoded(long)) <= MAX_ENTITY_KEY_LENGTH
    assert encoded(name) != encoded(name + more)


def test_texts_hold_nothing_that_a_database_refuses():
    assert accepted_text("a\0b\ud800", 100) == r"a\x00b\ud800"
    assert accepted_text("x" * 90, 40) == "x" * 18 + "… (cut, 90 characters)"
