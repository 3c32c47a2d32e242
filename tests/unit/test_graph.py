"""Order, selection and readiness of stages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook import graph
from stagebook.errors import ConfigError
from stagebook.graph import Frontier
from stagebook.model.pipeline import RunIf
from stagebook.model.record import StageStatus as S

CHAIN = {"prep": [], "build": ["prep"], "train": ["build"], "check": ["train"], "report": ["build"]}


@st.composite
def edge_lists(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"s{i}" for i in range(draw(st.integers(1, 12)))]
    edges = {name: draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else [] for i, name in enumerate(names)}
    return {name: edges[name] for name in draw(st.permutations(names))}


@given(edge_lists())
def test_every_stage_comes_after_what_it_depends_on(edges):
    ordered = graph.order(edges)
    assert sorted(ordered) == sorted(edges)
    for name, parents in edges.items():
        assert all(ordered.index(parent) < ordered.index(name) for parent in parents)


@given(edge_lists())
def test_upstream_and_downstream_are_each_others_mirror(edges):
    for a in edges:
        for b in edges:
            assert (a in graph.upstream(edges, [b])) == (b in graph.downstream(edges, [a]))


def test_a_cycle_is_named_as_a_closed_path():
    cycle = graph.find_cycle({"a": ["c"], "b": ["a"], "c": ["b"]})
    assert cycle is not None
    assert cycle[0] == cycle[-1]
    assert set(cycle) == {"a", "b", "c"}
    assert graph.find_cycle(CHAIN) is None


@pytest.mark.parametrize(
    ("flags", "selected"),
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
def test_a_part_of_the_graph_is_selected(flags, selected):
    assert graph.select(CHAIN, **flags) == selected


def test_an_unknown_stage_in_a_selection_gets_the_nearest_name():
    with pytest.raises(ConfigError, match="--from: there is no stage 'trian'. Did you mean 'train'"):
        graph.select(CHAIN, first=["trian"])


def test_a_selection_without_any_stage_is_refused():
    with pytest.raises(ConfigError, match="leave no stage"):
        graph.select(CHAIN, first=["check"], last=["prep"])


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
    assert graph.readiness(run_if, states) == answer


@pytest.mark.parametrize(
    ("run_if", "early_ends", "reason"),
    [
        (RunIf.ALL_SUCCESS, [], None),
        (RunIf.ALL_SUCCESS, [None, None], None),
        (RunIf.ALL_SUCCESS, [None, "b ended early"], "b ended early"),
        (RunIf.ALL_SUCCESS, ["a ended early", "b ended early", "a ended early"], "a ended early; b ended early"),
        (RunIf.NONE_FAILED, [None, "b ended early"], None),
        (RunIf.NONE_FAILED, ["b ended early"], "b ended early"),
        (RunIf.AT_LEAST_ONE_SUCCESS, [None, "b ended early"], None),
        (RunIf.AT_LEAST_ONE_SUCCESS, ["a ended early", "b ended early"], "a ended early; b ended early"),
        (RunIf.AT_LEAST_ONE_SUCCESS, [], None),
        (RunIf.ALL_DONE, ["b ended early"], None),
        (RunIf.AT_LEAST_ONE_FAILED, ["b ended early"], None),
    ],
)
def test_run_if_decides_whose_result_a_stage_needs(run_if, early_ends, reason):
    assert graph.missing_result(run_if, early_ends) == reason


@given(edge_lists(), st.integers(1, 4))
def test_a_frontier_pops_each_stage_once_when_all_upstream_stages_have_ended(edges, at_once):
    frontier, popped, ended = Frontier(edges), [], set()
    while len(ended) < len(edges):
        while (name := frontier.pop()) is not None:
            assert set(edges[name]) <= ended
            if len(popped) - len(ended) == at_once:
                frontier.put_back([name])
                break
            popped.append(name)
        for name in [name for name in popped if name not in ended]:
            frontier.mark_ended(name)
            ended.add(name)
    assert sorted(popped) == sorted(edges)


def test_stages_that_are_put_back_are_popped_again_in_their_order():
    frontier = Frontier({"a": [], "b": [], "c": ["a"]})
    popped = [frontier.pop(), frontier.pop(), frontier.pop()]
    frontier.put_back(["b", "a"])
    assert popped == ["a", "b", None]
    assert [frontier.pop(), frontier.pop(), frontier.pop()] == ["a", "b", None]


@pytest.mark.parametrize(
    ("ended", "running", "next_stages"),
    [
        ([], ["a"], ["c"]),
        ([], ["a", "b"], ["c", "d"]),
        (["a"], ["b", "c"], ["d"]),
        (["a", "b"], ["d"], []),
        (["a", "b", "c"], ["d"], ["e"]),
    ],
)
def test_the_next_stages_wait_for_no_stage_but_the_running_ones(ended, running, next_stages):
    frontier = Frontier({"a": [], "b": [], "c": ["a"], "d": ["a", "b"], "e": ["c", "d"]})
    for name in ended:
        while frontier.pop() is not None:
            pass
        frontier.mark_ended(name)
    while frontier.pop() is not None:
        pass
    assert sorted(frontier.next_after(running)) == next_stages


def test_stages_that_are_ready_come_before_stages_that_wait_for_the_running_ones():
    frontier = Frontier({"a": [], "b": ["a"], "c": ["a"], "d": ["b"]})
    assert frontier.pop() == "a"
    frontier.mark_ended("a")
    assert frontier.pop() == "b"
    assert list(frontier.next_after(["b"])) == ["c", "d"]
