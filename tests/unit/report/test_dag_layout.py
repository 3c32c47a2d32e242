"""The layout of the graph: layers from left to right, and nothing overlaps."""

import re
from itertools import combinations

import pytest
from fixtures import run_records
from fixtures.properties import costly_examples
from hypothesis import given
from hypothesis import strategies as st

from stagebook.report import dag_layout


@st.composite
def dags(draw, max_stages: int = 40):
    names = [f"s{number}" for number in range(draw(st.integers(1, max_stages)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:position]), unique=True, max_size=4)) if position else []
        for position, name in enumerate(names)
    }


def level_segments(edge: dag_layout.Edge) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The level segments of an edge, where it crosses a layer."""
    inner = edge.points[1:-1]
    return list(zip(inner[::2], inner[1::2], strict=True))


@costly_examples(0.4)
@given(dags())
def test_boxes_never_overlap_and_stay_within_the_drawing(depends_on):
    drawing = dag_layout.layout(depends_on)
    assert {box.name for box in drawing.boxes} == set(depends_on)
    for box in drawing.boxes:
        assert box.x >= 0 <= box.y
        assert box.x + box.width <= drawing.width
        assert box.y + box.height <= drawing.height
    for box, neighbour in combinations(drawing.boxes, 2):
        apart = abs(box.x - neighbour.x) >= box.width or abs(box.y - neighbour.y) >= box.height
        assert apart, (box, neighbour)


@costly_examples(0.4)
@given(dags())
def test_every_dependency_is_an_edge_to_the_right_that_runs_under_no_box(depends_on):
    drawing = dag_layout.layout(depends_on)
    boxes = {box.name: box for box in drawing.boxes}
    expected = {(parent, name) for name, parents in depends_on.items() for parent in parents}
    assert {(edge.source, edge.target) for edge in drawing.edges} == expected
    for edge in drawing.edges:
        assert boxes[edge.source].x + boxes[edge.source].width < boxes[edge.target].x
        for (start_x, y), (end_x, _) in level_segments(edge):
            covering = [
                box
                for box in drawing.boxes
                if box.x < end_x and box.x + box.width > start_x and box.y < y < box.y + box.height
            ]
            assert covering == []


@pytest.mark.parametrize(
    ("depends_on", "remaining"),
    [
        ({"a": ["a"]}, {"a": []}),
        ({"a": ["nowhere"]}, {"a": []}),
        ({"a": ["b"], "b": ["a"]}, {"a": [], "b": ["a"]}),
        ({"b": ["a"], "a": []}, {"a": [], "b": ["a"]}),
        ({"a": [], "b": ["a", "a"]}, {"a": [], "b": ["a"]}),
    ],
)
def test_dependencies_that_make_a_cycle_or_lead_nowhere_are_not_drawn(depends_on, remaining):
    assert dag_layout.without_cycles(depends_on) == remaining
    assert len(dag_layout.layout(depends_on).boxes) == len(depends_on)


def test_the_boxes_of_a_chain_are_level():
    drawing = dag_layout.layout(run_records.CHAIN)
    assert len({box.y for box in drawing.boxes}) == 1
    assert drawing.width < 1140  # fits the page without scrolling


def test_without_stages_the_drawing_is_empty():
    assert dag_layout.layout({}).boxes == ()


def test_the_path_of_an_edge_is_plain_svg_path_data():
    for edge in dag_layout.layout({name: stage.depends_on for name, stage in run_records.wide().stages.items()}).edges:
        assert re.fullmatch(r"M[\d. ]+(?:C[\d. ]+|H[\d.]+)+", edge.path)
