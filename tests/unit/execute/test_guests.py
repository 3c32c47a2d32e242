"""What a notebook of Databricks gets from its run: nothing that does not count for its result."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.execute import guests
from stagebook.model.pipeline import Guest, Stage

SCRAPS = {"a": {"n": 1, "m": 2}, "b": {"n": 3}, "c": {}, "other": {"n": 4}}


def stage(name, *depends_on, guest=None):
    return Stage(name, Path(f"{name}.py"), depends_on, guest=guest)


def values(guest):
    """What stage `c` may read, behind `b` and `a`, and beside `other`."""
    stages = {one.name: one for one in (stage("a"), stage("b", "a"), stage("other"), stage("c", "b", guest=guest))}
    return guests.task_values(stages["c"], stages, SCRAPS.__getitem__)


@pytest.mark.parametrize(
    ("named", "handed"),
    [
        ({("a", "n")}, {"a": {"n": 1}}),
        ({("a", "n"), ("b", "n")}, {"a": {"n": 1}, "b": {"n": 3}}),
        ({("a", "gone")}, {"a": {}}),
        ({("other", "n"), ("c", "n")}, {}),
        (set(), {}),
        (None, {"a": {"n": 1, "m": 2}, "b": {"n": 3}}),
    ],
)
def test_task_values_are_those_that_it_names_of_stages_upstream(named, handed):
    assert values(Guest(values=None if named is None else frozenset(named))) == handed


def test_another_notebook_gets_none():
    assert values(None) == {}


@given(st.none() | st.frozensets(st.tuples(st.sampled_from(list(SCRAPS)), st.sampled_from("nm")), max_size=4))
def test_all_that_is_handed_on_counts_by_a_name_that_no_parameter_has(named):
    handed = values(Guest(values=named))
    counted = guests.counted(handed)
    assert sorted(map(repr, counted.values())) == sorted(repr(v) for held in handed.values() for v in held.values())
    assert all(guests.is_counted(name) and not name.isidentifier() for name in counted)


def test_parameters_are_texts_of_widgets_and_values_of_the_parameters_cell():
    one = stage("a", guest=Guest(injected=frozenset({"n"})))
    given = {"n": 3, "day": "2013", "flag": True, "names": ["a"]}
    assert guests.widgets(one, given) == {"n": "3", "day": "2013", "flag": "true", "names": '["a"]'}
    assert guests.injected(one, given) == {"n": 3}
    assert guests.widgets(stage("a"), given) is None
    assert guests.injected(stage("a"), given) == given
