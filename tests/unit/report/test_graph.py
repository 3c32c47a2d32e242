"""The picture of the graph: layers from left to right, nothing on top of anything."""

import re
from itertools import combinations

import pytest
from fixtures import records
from hypothesis import given, settings
from hypothesis import strategies as st

from stagebook.report import graph


@st.composite
def dags(draw, most: int = 40):
    names = [f"s{number}" for number in range(draw(st.integers(1, most)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:place]), unique=True, max_size=4)) if place else []
        for place, name in enumerate(names)
    }


def passed_between(line: graph.Line) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The level pieces of a line: where it crosses a layer."""
    inner = line.points[1:-1]
    return list(zip(inner[::2], inner[1::2], strict=True))


@settings(deadline=None, max_examples=80)
@given(dags())
def test_boxes_never_overlap_and_stay_within_the_picture(depends_on):
    picture = graph.layout(depends_on)
    assert {box.name for box in picture.boxes} == set(depends_on)
    for box in picture.boxes:
        assert box.x >= 0 <= box.y
        assert box.x + box.width <= picture.width
        assert box.y + box.height <= picture.height
    for one, other in combinations(picture.boxes, 2):
        apart = abs(one.x - other.x) >= one.width or abs(one.y - other.y) >= one.height
        assert apart, (one, other)


@settings(deadline=None, max_examples=80)
@given(dags())
def test_every_dependency_is_a_line_to_the_right_and_under_no_box(depends_on):
    picture = graph.layout(depends_on)
    boxes = {box.name: box for box in picture.boxes}
    wanted = {(parent, name) for name, parents in depends_on.items() for parent in parents}
    assert {(line.source, line.target) for line in picture.lines} == wanted
    for line in picture.lines:
        assert boxes[line.source].x + boxes[line.source].width < boxes[line.target].x
        for (left, y), (right, _) in passed_between(line):
            under = [
                box
                for box in picture.boxes
                if box.x < right and box.x + box.width > left and box.y < y < box.y + box.height
            ]
            assert under == []


@pytest.mark.parametrize(
    ("depends_on", "kept"),
    [
        ({"a": ["a"]}, {"a": []}),
        ({"a": ["nowhere"]}, {"a": []}),
        ({"a": ["b"], "b": ["a"]}, {"a": [], "b": ["a"]}),
        ({"b": ["a"], "a": []}, {"a": [], "b": ["a"]}),
        ({"a": [], "b": ["a", "a"]}, {"a": [], "b": ["a"]}),
    ],
)
def test_what_is_no_dag_is_drawn_without_what_makes_it_none(depends_on, kept):
    assert graph.without_cycles(depends_on) == kept
    assert len(graph.layout(depends_on).boxes) == len(depends_on)


def test_a_chain_is_a_straight_line():
    picture = graph.layout(records.CHAIN)
    assert len({box.y for box in picture.boxes}) == 1
    assert picture.width < 1140  # fits the page without scrolling


def test_no_stage_gives_an_empty_picture():
    assert graph.layout({}).boxes == ()


def test_a_path_is_plain_path_data():
    for line in graph.layout({name: stage.depends_on for name, stage in records.wide().stages.items()}).lines:
        assert re.fullmatch(r"M[\d. ]+(?:C[\d. ]+|H[\d.]+)+", line.path)
