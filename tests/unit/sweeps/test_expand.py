"""A sweep expands to as many configurations as it says, all different, and always to the same ones."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.model.sweep import ConfigurationList, GridSearch, NumberRange, ParameterSetting, RandomSearch, Sweep
from stagebook.sweeps.expand import TooFewConfigurations, expand

scalars = st.integers(-3, 3) | st.booleans() | st.text("ab", max_size=2)
names = st.sampled_from(["seed", "train.max_iter", "train.rate", "prep.month"])
different_values = st.lists(scalars, min_size=1, max_size=4, unique_by=json.dumps)


def sweep(space, **fixed):
    return Sweep("s", "s.yaml", space, tuple(ParameterSetting(name, value) for name, value in fixed.items()))


def grid(over):
    return GridSearch({name: tuple(ParameterSetting(name, value) for value in values) for name, values in over.items()})


def texts(configurations):
    return [tuple(setting.text for setting in configuration) for configuration in configurations]


@given(st.dictionaries(names, different_values, min_size=1))
def test_a_grid_is_every_combination_once(over):
    configurations = texts(expand(sweep(grid(over))))
    assert len(configurations) == len(set(configurations)) == math.prod(len(values) for values in over.values())
    assert {text for configuration in configurations for text in configuration} == {
        ParameterSetting(name, value).text for name, values in over.items() for value in values
    }


sources = st.one_of(
    st.lists(scalars, min_size=2, max_size=4, unique_by=json.dumps).map(tuple),
    st.tuples(st.integers(1, 5), st.integers(6, 500), st.booleans()).map(lambda bounds: NumberRange(*bounds)),
    st.tuples(st.floats(1e-5, 1e-2), st.floats(0.1, 10.0), st.booleans()).map(lambda bounds: NumberRange(*bounds)),
)


@given(st.dictionaries(names, sources, min_size=1), st.integers(1, 2), st.integers(0, 5))
def test_random_configurations_differ_lie_within_bounds_and_repeat_with_their_seed(over, trials, seed):
    located = {name: (source, "s.yaml:1") for name, source in over.items()}
    configurations = expand(sweep(RandomSearch(located, trials, seed)))
    assert len(set(texts(configurations))) == len(configurations) == trials
    assert texts(expand(sweep(RandomSearch(located, trials, seed)))) == texts(configurations)
    assert texts(expand(sweep(RandomSearch(located, 1, seed)))) == texts(configurations)[:1]
    for setting in (setting for configuration in configurations for setting in configuration):
        source = over[setting.name]
        if isinstance(source, NumberRange):
            assert source.low <= setting.value <= source.high
            assert isinstance(setting.value, int) == isinstance(source.low, int)
        else:
            assert any(setting.value is value or setting.value == value for value in source)


def test_another_seed_draws_other_configurations():
    over = {"train.rate": (NumberRange(0.001, 1.0, log=True), "")}
    assert texts(expand(sweep(RandomSearch(over, 5, 1)))) != texts(expand(sweep(RandomSearch(over, 5, 2))))


def test_a_logarithmic_range_draws_each_order_of_magnitude_equally_often():
    over = {"train.rate": (NumberRange(0.001, 1.0, log=True), "")}
    is_small = [rate.value < 0.0316 for (rate,) in expand(sweep(RandomSearch(over, 400, 1)))]
    assert 150 < sum(is_small) < 250


def test_more_trials_than_different_configurations_are_refused_with_the_number_that_exist():
    over = {"train.max_iter": ((1, 2, 3), "s.yaml:4")}
    with pytest.raises(TooFewConfigurations, match=r"s.yaml:4: random.trials: 4 .* only 3 different ones"):
        expand(sweep(RandomSearch(over, 4, 0)))
    assert sorted(texts(expand(sweep(RandomSearch(over, 3, 0))))) == [(f"train.max_iter:={n}",) for n in (1, 2, 3)]


def test_a_shared_setting_holds_for_all_configurations_that_do_not_set_it_themselves():
    listed = ConfigurationList(((ParameterSetting("seed", 1),), (ParameterSetting("train.rate", 0.5),)))
    assert texts(expand(sweep(listed, seed=7))) == [("seed:=1",), ("seed:=7", "train.rate:=0.5")]
