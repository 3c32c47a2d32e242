"""What a Databricks notebook gets from its run: nothing that its cache key does not contain."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.config import dbutils_inputs
from stagebook.model.pipeline import DbutilsInputs, Stage

SCRAPS = {"a": {"n": 1, "m": 2}, "b": {"n": 3}, "c": {}, "other": {"n": 4}}


def stage(name, *depends_on, inputs=None):
    return Stage(name, Path(f"{name}.py"), depends_on, dbutils_inputs=inputs)


def task_values_of_c(inputs):
    """The task values that stage `c` may read, downstream of `b` and `a`, and unrelated to `other`."""
    stages = [stage("a"), stage("b", "a"), stage("other"), stage("c", "b", inputs=inputs)]
    by_name = {stage.name: stage for stage in stages}
    return dbutils_inputs.task_values(by_name["c"], by_name, SCRAPS.__getitem__)


@pytest.mark.parametrize(
    ("readable", "expected"),
    [
        ({("a", "n")}, {"a": {"n": 1}}),
        ({("a", "n"), ("b", "n")}, {"a": {"n": 1}, "b": {"n": 3}}),
        ({("a", "gone")}, {"a": {}}),
        ({("other", "n"), ("c", "n")}, {}),
        (set(), {}),
        (None, {"a": {"n": 1, "m": 2}, "b": {"n": 3}}),
    ],
)
def test_task_values_are_those_that_the_notebook_names_of_upstream_stages(readable, expected):
    inputs = DbutilsInputs(task_values=None if readable is None else frozenset(readable))
    assert task_values_of_c(inputs) == expected


def test_a_notebook_that_was_not_written_for_databricks_gets_no_task_values():
    assert task_values_of_c(None) == {}


@given(st.none() | st.frozensets(st.tuples(st.sampled_from(list(SCRAPS)), st.sampled_from("nm")), max_size=4))
def test_all_task_values_are_in_the_cache_key_under_names_that_no_parameter_has(readable):
    values = task_values_of_c(DbutilsInputs(task_values=readable))
    parameters = dbutils_inputs.as_parameters(values)
    assert sorted(map(repr, parameters.values())) == sorted(
        repr(v) for by_key in values.values() for v in by_key.values()
    )
    assert all(dbutils_inputs.is_task_value(name) and not name.isidentifier() for name in parameters)


def test_parameters_are_widgets_as_texts_and_values_of_the_parameters_cell():
    databricks_stage = stage("a", inputs=DbutilsInputs(injected=frozenset({"n"})))
    parameters = {"n": 3, "day": "2013", "flag": True, "names": ["a"]}
    expected_widgets = {"n": "3", "day": "2013", "flag": "true", "names": '["a"]'}
    assert dbutils_inputs.widgets(databricks_stage, parameters) == expected_widgets
    assert dbutils_inputs.injected(databricks_stage, parameters) == {"n": 3}
    assert dbutils_inputs.widgets(stage("a"), parameters) is None
    assert dbutils_inputs.injected(stage("a"), parameters) == parameters
