"""Merge patches: what a diff takes away or adds, applying it brings back."""

from hypothesis import given
from hypothesis import strategies as st

from stagebook.jobs.patch import apply, diff, keyed, listed

values = st.recursive(
    st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=12,
)
mappings = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


@given(mappings, mappings)
def test_a_difference_applied_gives_the_other(old, new):
    assert apply(old, diff(old, new)) == new


@given(mappings)
def test_nothing_differs_from_itself(value):
    assert diff(value, value) == {}


def test_true_is_not_one():
    assert diff({"a": [1]}, {"a": [True]}) == {"a": [True]}


def test_null_takes_a_key_away():
    assert apply({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}) == {"a": {"c": 2}}


def test_lists_by_key_and_back():
    job = {
        "tasks": [{"task_key": "a", "timeout_seconds": 1}, {"task_key": "b"}],
        "parameters": [{"name": "x", "default": ""}],
    }
    assert keyed(job)["tasks"] == {"a": {"timeout_seconds": 1}, "b": {}}
    assert listed(keyed(job)) == job
