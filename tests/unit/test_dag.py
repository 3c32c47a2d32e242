"""Order, selection and readiness."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook import dag
from stagebook.errors import ConfigError
from stagebook.model.pipeline import RunIf
from stagebook.model.record import StageStatus as S

CHAIN = {"prep": [], "build": ["prep"], "train": ["build"], "check": ["train"], "report": ["build"]}


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"s{i}" for i in range(draw(st.integers(1, 12)))]
    graph = {name: draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else [] for i, name in enumerate(names)}
    return {name: graph[name] for name in draw(st.permutations(names))}


@given(graphs())
def test_every_stage_comes_after_what_it_depends_on(graph):
    ordered = dag.order(graph)
    assert sorted(ordered) == sorted(graph)
    for name, parents in graph.items():
        assert all(ordered.index(parent) < ordered.index(name) for parent in parents)


@given(graphs())
def test_upstream_and_downstream_are_each_others_mirror(graph):
    for a in graph:
        for b in graph:
            assert (a in dag.upstream(graph, [b])) == (b in dag.downstream(graph, [a]))


def test_a_cycle_is_named_as_a_closed_path():
    cycle = dag.find_cycle({"a": ["c"], "b": ["a"], "c": ["b"]})
    assert cycle is not None
    assert cycle[0] == cycle[-1]
    assert set(cycle) == {"a", "b", "c"}
    assert dag.find_cycle(CHAIN) is None


@pytest.mark.parametrize(
    ("flags", "chosen"),
    [
        ({}, set(CHAIN)),
        ({"first": ["train"]}, {"train", "check"}),
        ({"last": ["build"]}, {"prep", "build"}),
        ({"first": ["build"], "last": ["train"]}, {"build", "train"}),
        ({"only": ["train"]}, {"train"}),
        ({"only": ["+train"]}, {"prep", "build", "train"}),
        ({"only": ["build+"]}, {"build", "train", "check", "report"}),
        ({"only": ["prep", "+report"]}, {"prep", "build", "report"}),
        ({"only": ["+build+"]}, set(CHAIN)),
    ],
)
def test_a_part_of_the_graph_is_selected(flags, chosen):
    assert dag.select(CHAIN, **flags) == chosen


def test_an_unknown_stage_in_a_selection_gets_the_nearest_name():
    with pytest.raises(ConfigError, match="--from: there is no stage 'trian'. Did you mean 'train'"):
        dag.select(CHAIN, first=["trian"])


def test_a_selection_that_leaves_nothing_is_refused():
    with pytest.raises(ConfigError, match="leave no stage"):
        dag.select(CHAIN, first=["check"], last=["prep"])


GOOD, BAD, UP, SKIP, REUSED = S.SUCCEEDED, S.FAILED, S.UPSTREAM_FAILED, S.SKIPPED, S.REUSED


@pytest.mark.parametrize(
    ("run_if", "states", "answer"),
    [
        (RunIf.ALL_SUCCESS, [], "start"),
        (RunIf.ALL_SUCCESS, [GOOD, REUSED], "start"),
        (RunIf.ALL_SUCCESS, [GOOD, S.RUNNING], "wait"),
        (RunIf.ALL_SUCCESS, [BAD, S.PENDING], "wait"),
        (RunIf.ALL_SUCCESS, [GOOD, BAD], "upstream_failed"),
        (RunIf.ALL_SUCCESS, [UP], "upstream_failed"),
        (RunIf.ALL_SUCCESS, [GOOD, SKIP], "start"),
        (RunIf.ALL_SUCCESS, [SKIP, SKIP], "skip"),
        (RunIf.ALL_SUCCESS, [SKIP, BAD], "upstream_failed"),
        (RunIf.ALL_DONE, [BAD, SKIP], "start"),
        (RunIf.ALL_DONE, [SKIP], "skip"),
        (RunIf.NONE_FAILED, [GOOD, SKIP], "start"),
        (RunIf.NONE_FAILED, [SKIP], "skip"),
        (RunIf.NONE_FAILED, [GOOD, BAD], "upstream_failed"),
        (RunIf.AT_LEAST_ONE_SUCCESS, [GOOD, BAD], "start"),
        (RunIf.AT_LEAST_ONE_SUCCESS, [BAD, BAD], "upstream_failed"),
        (RunIf.AT_LEAST_ONE_SUCCESS, [SKIP], "skip"),
        (RunIf.AT_LEAST_ONE_SUCCESS, [SKIP, BAD], "start"),
        (RunIf.ALL_FAILED, [BAD, UP], "start"),
        (RunIf.ALL_FAILED, [BAD, GOOD], "skip"),
        (RunIf.AT_LEAST_ONE_FAILED, [GOOD, BAD], "start"),
        (RunIf.AT_LEAST_ONE_FAILED, [GOOD, GOOD], "skip"),
        (RunIf.AT_LEAST_ONE_FAILED, [], "start"),
        (RunIf.ALL_FAILED, [SKIP, BAD], "skip"),
    ],
)
def test_run_if_decides_as_on_databricks(run_if, states, answer):
    assert dag.readiness(run_if, states) == answer


@given(graphs(), st.integers(1, 4))
def test_a_frontier_gives_each_stage_out_once_when_all_before_it_have_ended(graph, at_once):
    frontier, out, ended = dag.Frontier(graph), [], set()
    while len(ended) < len(graph):
        while (name := frontier.pop()) is not None:
            assert set(graph[name]) <= ended
            if len(out) - len(ended) == at_once:
                frontier.back([name])
                break
            out.append(name)
        for name in [name for name in out if name not in ended]:
            frontier.ended(name)
            ended.add(name)
    assert sorted(out) == sorted(graph)


def test_stages_that_are_given_back_come_again_in_their_order():
    frontier = dag.Frontier({"a": [], "b": [], "c": ["a"]})
    given_out = [frontier.pop(), frontier.pop(), frontier.pop()]
    frontier.back(["b", "a"])
    assert given_out == ["a", "b", None]
    assert [frontier.pop(), frontier.pop(), frontier.pop()] == ["a", "b", None]


@pytest.mark.parametrize(
    ("ended", "running", "next_ones"),
    [
        ([], ["a"], ["c"]),
        ([], ["a", "b"], ["c", "d"]),
        (["a"], ["b", "c"], ["d"]),
        (["a", "b"], ["d"], []),
        (["a", "b", "c"], ["d"], ["e"]),
    ],
)
def test_what_comes_after_some_stages_waits_for_no_others(ended, running, next_ones):
    frontier = dag.Frontier({"a": [], "b": [], "c": ["a"], "d": ["a", "b"], "e": ["c", "d"]})
    for name in ended:
        while frontier.pop() is not None:
            pass
        frontier.ended(name)
    while frontier.pop() is not None:
        pass
    assert sorted(frontier.after(running)) == next_ones


def test_what_waits_for_nothing_but_its_turn_comes_before_what_waits_for_others():
    frontier = dag.Frontier({"a": [], "b": ["a"], "c": ["a"], "d": ["b"]})
    assert frontier.pop() == "a"
    frontier.ended("a")
    assert frontier.pop() == "b"
    assert list(frontier.after(["b"])) == ["c", "d"]
