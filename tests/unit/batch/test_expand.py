"""A sweep expands to as many configurations as it says, all different, always the same ones."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.batch.expand import TooFewConfigurations, expand
from stagebook.model.batch import Drawn, Grid, Listed, Setting, Span, Sweep

scalars = st.integers(-3, 3) | st.booleans() | st.text("ab", max_size=2)
names = st.sampled_from(["seed", "train.max_iter", "train.rate", "prep.month"])
unique = st.lists(scalars, min_size=1, max_size=4, unique_by=json.dumps)


def sweep(space, **fixed):
    return Sweep("s", "s.yaml", space, tuple(Setting(name, value) for name, value in fixed.items()))


def grid(over):
    return Grid({name: tuple(Setting(name, value) for value in values) for name, values in over.items()})


def texts(configurations):
    return [tuple(setting.text for setting in one) for one in configurations]


@given(st.dictionaries(names, unique, min_size=1))
def test_a_grid_is_every_combination_once(over):
    found = texts(expand(sweep(grid(over))))
    assert len(found) == len(set(found)) == math.prod(len(values) for values in over.values())
    assert {text for one in found for text in one} == {
        Setting(name, value).text for name, values in over.items() for value in values
    }


drawn_from = st.one_of(
    st.lists(scalars, min_size=2, max_size=4, unique_by=json.dumps).map(tuple),
    st.tuples(st.integers(1, 5), st.integers(6, 500), st.booleans()).map(lambda t: Span(*t)),
    st.tuples(st.floats(1e-5, 1e-2), st.floats(0.1, 10.0), st.booleans()).map(lambda t: Span(*t)),
)


@given(st.dictionaries(names, drawn_from, min_size=1), st.integers(1, 2), st.integers(0, 5))
def test_drawn_configurations_differ_lie_within_bounds_and_come_again_with_their_seed(over, trials, seed):
    whole = {name: (source, "s.yaml:1") for name, source in over.items()}
    found = expand(sweep(Drawn(whole, trials, seed)))
    assert len(set(texts(found))) == len(found) == trials
    assert texts(expand(sweep(Drawn(whole, trials, seed)))) == texts(found)
    assert texts(expand(sweep(Drawn(whole, 1, seed)))) == texts(found)[:1]
    for one in found:
        for setting in one:
            source = over[setting.name]
            if isinstance(source, Span):
                assert source.low <= setting.value <= source.high
                assert isinstance(setting.value, int) == isinstance(source.low, int)
            else:
                assert any(setting.value is value or setting.value == value for value in source)


def test_other_seeds_draw_others():
    over = {"train.rate": (Span(0.001, 1.0, log=True), "")}
    assert texts(expand(sweep(Drawn(over, 5, 1)))) != texts(expand(sweep(Drawn(over, 5, 2))))


def test_each_order_of_magnitude_is_as_likely_where_that_is_asked():
    over = {"train.rate": (Span(0.001, 1.0, log=True), "")}
    small = [one[0].value < 0.0316 for one in expand(sweep(Drawn(over, 400, 1)))]
    assert 150 < sum(small) < 250


def test_more_than_there_are_different_ones_is_refused_with_how_many_there_are():
    over = {"train.max_iter": ((1, 2, 3), "s.yaml:4")}
    with pytest.raises(TooFewConfigurations, match=r"s.yaml:4: random.trials: 4 .* only 3 different ones"):
        expand(sweep(Drawn(over, 4, 0)))
    assert sorted(texts(expand(sweep(Drawn(over, 3, 0))))) == [(f"train.max_iter={n}",) for n in (1, 2, 3)]


def test_what_is_fixed_holds_for_all_and_gives_way_to_what_one_says_itself():
    listed = Listed(((Setting("seed", 1),), (Setting("train.rate", 0.5),)))
    assert texts(expand(sweep(listed, seed=7))) == [("seed=1",), ("seed=7", "train.rate=0.5")]
