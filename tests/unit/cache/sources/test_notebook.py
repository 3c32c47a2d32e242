"""Which changes of a notebook change the digest of its code, and which do not."""

import pytest

from stagebook.cache.sources.notebook import code_of
from stagebook.notebooks.outline import Cell, Outline

BASE = ("import math\nx = math.sqrt(4)", "y = x + 1  # one more", "print(y)")


def code(*sources, parameters=None, markdown="# Title", language="python"):
    cells = [Cell("markdown", markdown), *(Cell("code", source) for source in sources)]
    if parameters is not None:
        cells.insert(1, Cell("code", parameters, ("parameters",)))
    return code_of(Outline(tuple(cells), language))


@pytest.mark.parametrize(
    "equivalent",
    [
        code(BASE[0], "y = x + 1", BASE[2]),
        code(BASE[0], "y = (x +\n     1)", "# why\n\nprint( y )"),
        code(*BASE, markdown="other words"),
        code("# a remark alone", *BASE),
        code(*BASE[:2], "", BASE[2]),
    ],
    ids=["comment", "formatting", "markdown", "a cell of comments", "an empty cell"],
)
def test_comments_and_formatting_do_not_change_the_digest(equivalent):
    assert equivalent.combined.digest == code(*BASE).combined.digest


@pytest.mark.parametrize(
    "changed",
    [
        code(BASE[0], "y = x + 2", BASE[2]),
        code(BASE[1], BASE[0], BASE[2]),
        code(*BASE[:2]),
        code(*BASE, "z = 1"),
        code(BASE[0], BASE[1], "print('y')"),
        code(*BASE[:2], "%time\nprint(y)"),
        code(*BASE[:2], "def broken(:"),
    ],
    ids=["a number", "the order", "a cell less", "a cell more", "a text", "a magic", "no Python"],
)
def test_a_change_of_behaviour_changes_the_digest(changed):
    assert changed.combined.digest != code(*BASE).combined.digest


def test_literals_of_the_parameters_cell_are_defaults_and_everything_else_in_it_is_code():
    original = code("print(n)", parameters="n: int = 3\nnames = ['a']  # which\nlimit = n * 2\nseen = {1, 2}")
    assert original.defaults == {"n": 3, "names": ["a"], "seen": "{1, 2}"}
    other_default = code("print(n)", parameters="n: int = 4\nnames = []\nlimit = n * 2\nseen = {1}")
    other_code = code("print(n)", parameters="n: int = 3\nnames = ['a']\nlimit = n * 3\nseen = {1, 2}")
    assert other_default.combined.digest == original.combined.digest != other_code.combined.digest


def test_a_notebook_in_another_language_counts_by_its_text():
    assert code("x <- 1  # a", language="R").combined.digest != code("x <- 1  # b", language="R").combined.digest


def test_code_survives_the_cache():
    original = code("from a import b\nopen('data.csv')", parameters="n: int = 3")
    assert type(original).from_json(original.to_json()) == original
