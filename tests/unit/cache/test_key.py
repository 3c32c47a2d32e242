"""When cache keys are equal, and how differences are explained."""

import json
import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.cache.explain import Packages, differences, expected_aliases, registry_changes
from stagebook.cache.key import CacheKeyInputs, RegistryUse, TableState

BASE = CacheKeyInputs(
    stage=("p", "train", "/tables"),
    cells=("a", "", "b", "c"),
    parameters={"seed": 13, "names": ["x"]},
    modules={"flightdelay.features": "1", "stagebook.stage": "2"},
    engine="pandas",
    environment="e1",
    tables={"flights": TableState(7, "rows A")},
)


@pytest.mark.parametrize(
    ("change", "explanation"),
    [
        ({"parameters": {"seed": 14, "names": ["x"]}}, ["parameter `seed` 13 → 14"]),
        ({"parameters": {"seed": 13.0, "names": ["x"]}}, ["parameter `seed` 13 → 13.0"]),
        ({"parameters": {"seed": 13}}, ["parameter `names` is gone"]),
        ({"parameters": {**BASE.parameters, "z": 1}}, ["parameter `z` is new"]),
        ({"cells": ("a", "", "B", "c")}, ["cell 3 changed"]),
        ({"cells": ("a", "", "b", "n", "c")}, ["cell 4 is new"]),
        ({"cells": ("a", "", "b")}, ["cell 4 is gone"]),
        ({"cells": ("a", "b", "", "", "c")}, []),
        ({"modules": {**BASE.modules, "flightdelay.features": "9"}}, ["`flightdelay.features` changed"]),
        (
            {"modules": {"stagebook.stage": "3", "flightdelay.model": "1"}},
            ["`flightdelay.features` is not reached any more", "`flightdelay.model` is reached now", "`stagebook.stage` changed"],
        ),
        ({"tables": {"flights": TableState(8, "rows B")}}, ["table `flights` 7 → 8"]),
        ({"tables": {"flights": TableState(7, "rows B")}}, ["table `flights` 7 → 7 (made anew)"]),
        ({"tables": {"flights": TableState(9, "rows A")}}, []),
        ({"engine": "spark"}, ["engine pandas → spark"]),
        ({"environment": "e2"}, ["the environment changed: pandas 2 → 3"]),
        ({"stage": ("p", "train", "/other")}, ["its tables are elsewhere now"]),
    ],
)  # fmt: skip
def test_a_difference_is_explained_exactly_where_keys_differ(change, explanation):
    changed = replace(BASE, **change)
    assert differences(BASE, changed, Packages({"pandas": "2"}, {"pandas": "3"})) == explanation
    assert (changed.key == BASE.key) == (not explanation)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(string.printable, max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(string.ascii_letters, max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
KEY_INPUTS = st.builds(
    CacheKeyInputs,
    stage=st.just(("p", "s", "/t")),
    cells=st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=5).map(tuple),
    parameters=st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3),
    modules=st.dictionaries(st.sampled_from(["m", "n"]), st.sampled_from("12"), max_size=2),
    engine=st.sampled_from(["pandas", "spark"]),
    environment=st.sampled_from(["e", "f"]),
    tables=st.dictionaries(st.sampled_from("tu"), st.builds(TableState, st.integers(0, 3), st.sampled_from("AB"))),
)


@given(KEY_INPUTS, KEY_INPUTS)
def test_keys_are_equal_exactly_where_nothing_is_different(before, current):
    assert (before.key == current.key) == (differences(before, current) == [])


@given(KEY_INPUTS)
def test_a_key_survives_the_disk(key_inputs):
    assert CacheKeyInputs.from_json(json.loads(json.dumps(key_inputs.to_json()))).key == key_inputs.key


def use(reads=None, sets=None, uri="u"):
    return RegistryUse(uri, "m", reads or {}, sets or {})


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        ([use(reads={"champion": None})], {"champion": None}),
        ([use(reads={"champion": "1"}), use(sets={"candidate": "2", "champion": "2"})], {"champion": "2", "candidate": "2"}),
        ([use(sets={"champion": "2"}), use(reads={"champion": "2"})], {"champion": "2"}),
        ([use(reads={"champion": "1"}, uri="elsewhere")], {}),
    ],
)  # fmt: skip
def test_an_alias_is_expected_where_the_last_stage_set_it_else_where_the_first_one_read_it(uses, expected):
    assert expected_aliases(uses, "u", "m") == expected


def test_a_changed_alias_concerns_only_stages_that_used_it():
    validate, expected = use(reads={"champion": None}), {"champion": "1", "candidate": "1"}
    assert list(registry_changes(validate, expected, {"champion": "1", "candidate": "5"})) == []
    assert list(registry_changes(validate, expected, {"champion": "2"})) == ["`champion` of model m 1 → 2"]
    assert list(registry_changes(use(sets={"candidate": "1"}), expected, {})) == ["`candidate` of model m 1 → none"]
