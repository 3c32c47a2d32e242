"""The parameters cell is read by Python's own parser."""

import pytest

from stagebook.notebooks.outline import Cell, Outline
from stagebook.notebooks.parameters import UnsafeInjection, check_injected, contradiction, declared


def node(source: str, tags=("parameters",)):
    return Outline((Cell("code", source, tuple(tags)),))


def test_names_annotations_defaults_and_comments_are_read():
    parameters = declared(
        node("%matplotlib inline\nseed: int = 3  # fixes all randomness\nname = 'x'\nn: int | None = None\n")
    )
    assert parameters is not None
    assert list(parameters) == ["seed", "name", "n"]
    assert (parameters["seed"].annotation, parameters["seed"].default, parameters["seed"].comment) == (
        "int",
        3,
        "fixes all randomness",
    )
    assert (parameters["name"].annotation, parameters["name"].default) == (None, "x")


def test_a_notebook_without_a_tagged_cell_declares_nothing():
    assert declared(node("a = 1", tags=())) is None


def test_a_notebook_of_another_language_is_not_parsed():
    assert declared(Outline(node("a <- 1").cells, language="R")) is None


@pytest.mark.parametrize(
    ("annotation", "fits", "contradicts"),
    [
        ("int", [1, -3], ["1", 1.5, True, None]),
        ("float", [1, 2.5], ["1", True]),
        ("bool", [True], [1, "true"]),
        ("str", ["x"], [1]),
        ("int | None", [None, 3], ["3"]),
        ("Optional[int]", [None, 3], ["3"]),
        ("'int | None'", [None, 3], ["3"]),
        ("Union[int, str]", [3, "x"], [2.5]),
        ("Literal['a', 'b']", ["a"], ["c"]),
        ("\"Literal['a', 3]\"", ["a", 3], ["b"]),
        ("list[str]", [[], ["a"]], [["a", 1], "a"]),
        ("dict[str, float]", [{"a": 1}], [{"a": "1"}]),
        ("list[dict]", [[{"a": 1}]], [[1]]),
        ("typing.List[int]", [[1]], [["1"]]),
        ("pd.Timestamp", ["anything", 3], []),
    ],
)
def test_values_are_checked_against_the_annotation(annotation, fits, contradicts):
    parameter = (declared(node(f"x: {annotation} = None")) or {})["x"]
    for value in fits:
        assert contradiction(parameter, value) is None
    for value in contradicts:
        assert contradiction(parameter, value) is not None


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        "a = 'b'\nc = [1, {'d': None}]",
        "# Parameters\nx = -1.5",
        "x = float('nan')",
        "x = float('-inf')",
    ],
)
def test_plain_values_may_be_injected(source):
    check_injected(source)


@pytest.mark.parametrize(
    "source",
    [
        "x = 1; f()",
        "x = open('f')",
        "import os",
        "x = y",
        "x.y = 1",
        "x = [f() for _ in y]",
        "x = float('1')",
    ],
)
def test_anything_but_plain_values_is_refused(source):
    with pytest.raises(UnsafeInjection, match="not a plain value"):
        check_injected(source)
