"""Applying the difference of two mappings to one gives the other."""

from hypothesis import given
from hypothesis import strategies as st

from stagebook.databricks.merge_patch import apply, diff, lists_to_mappings, mappings_to_lists

values = st.recursive(
    st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=12,
)
mappings = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


@given(mappings, mappings)
def test_applying_the_difference_gives_the_new_mapping(old, new):
    assert apply(old, diff(old, new)) == new


@given(mappings)
def test_nothing_differs_from_itself(value):
    assert diff(value, value) == {}


def test_true_is_not_one():
    assert diff({"a": [1]}, {"a": [True]}) == {"a": [True]}


def test_null_removes_a_key():
    assert apply({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}) == {"a": {"c": 2}}


def test_lists_become_mappings_by_key_and_lists_again():
    job = {
        "tasks": [{"task_key": "a", "timeout_seconds": 1}, {"task_key": "b"}],
        "parameters": [{"name": "x", "default": ""}],
    }
    assert lists_to_mappings(job)["tasks"] == {"a": {"timeout_seconds": 1}, "b": {}}
    assert mappings_to_lists(lists_to_mappings(job)) == job
