"""A parameters cell that computes from its parameters: what it computes is refused where it would be stale."""

import pytest

from stagebook.config.findings import InvalidParameters
from stagebook.config.flags import Flags
from stagebook.config.load import load
from stagebook.notebooks.outline import Cell, Outline
from stagebook.notebooks.parameters import computed_in_cell, declared


def cell(source):
    return Outline((Cell("code", source, ("parameters",)),))


@pytest.mark.parametrize(
    ("source", "defaults"),
    [
        ("a = b = 3", {"a": 3, "b": 3}),
        ("a, b = 1, 'x'", {"a": 1, "b": "x"}),
        ("(a, [b, c]) = 1, (2, 3)", {"a": 1, "b": 2, "c": 3}),
        ("a, *b = 1, 2, 3", {"a": None, "b": None}),
        ("a: 'tuple[int, str]' = (1, 'x')", {"a": (1, "x")}),
        ("a: int", {"a": None}),
        ("a = {1, 2}", {"a": {1, 2}}),
        ("a = [1]\na += [2]", {"a": [1]}),
        ("a = f'{1}'", {"a": "f'{1}'"}),
        ("a = Path('x')", {"a": "Path('x')"}),
        ("if x:\n    a = 1\nelse:\n    a = 2", {"a": 2}),
        ("for a in []: pass", {}),
        ("def f(): b = 1\na = 2", {"a": 2}),
        ("import os\na = 1", {"a": 1}),
        ("%matplotlib inline\na = 1", {"a": 1}),
        ("a = !ls\nb = 2", {"a": "get_ipython().getoutput('ls')", "b": 2}),
    ],
)
def test_each_form_of_assignment_declares_its_names(source, defaults):
    parameters = declared(cell(source))
    assert {name: parameter.default for name, parameter in parameters.items()} == defaults


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("day = '1'\npath = f'data/{day}.csv'", [(2, ("path",), {"day"})]),
        ("a = 1\nb = a + 1\nc = b", [(2, ("b",), {"a"}), (3, ("c",), {"a", "b"})]),
        ("a = b = 3", []),
        ("a = 1\nb = [a for a in range(3)]", []),
        ("a = 1\nb = [x + a for x in range(3)]", [(2, ("b",), {"a"})]),
        ("a = 1\nif a:\n    b = 2", [(2, ("b",), {"a"})]),
        ("a = 1\na += 1", [(2, ("a",), {"a"})]),
        ("a = {}\na['x'] = 1", [(2, ("a",), {"a"})]),
        ("a = 1\nb = {}\nb['x'] = a", [(3, ("b",), {"a", "b"})]),
        ("a = 1\nprint(a)\na", []),
        ("a = 1\ncheck(a)", [(2, (), {"a"})]),
        ("a = 1\ndef f(x=a): return x", [(2, ("f",), {"a"})]),
        ("a = 1\ndef f(): return a", []),
        ("a = 1\ndef f(): return a\nb = f()", [(3, ("b",), {"a"})]),
        ("a = 1\nf = lambda: a", []),
        ("import os\na = os.getcwd()", []),
    ],
)
def test_what_a_cell_computes_from_its_parameters_is_seen(source, expected):
    computations = [(item.line, item.names, set(item.sources)) for item in computed_in_cell(cell(source))]
    assert [(line, names, sources & {"a", "b", "day"}) for line, names, sources in computations] == expected


@pytest.fixture
def loaded(tmp_path, notebook, params):
    """`loaded("parameters cell", "flag", …)` loads a pipeline of one notebook; gives the stage's parameters."""

    def load_with(source, *flags, file="{}"):
        notebook("a", "1", parameters=source)
        params("p", f"pipeline: p\nstages:\n  a:\n    notebook: notebooks/a.ipynb\n    parameters: {file}")
        return load(("p",), Flags(flags), {}, tmp_path).stages["a"].parameters

    return load_with


DERIVED = "day = '1'\nmonth = 2\npath = f'data/{day}.csv'\n"


@pytest.mark.parametrize(
    ("flags", "file"),
    [((), "{}"), (("month=3",), "{}"), (("day=1",), "{}"), (("day=2", "path=x"), "{}"), ((), "{day: '1'}")],
)
def test_a_derived_value_is_accepted_where_it_is_not_stale(loaded, flags, file):
    loaded(DERIVED, *flags, file=file)


@pytest.mark.parametrize(("flags", "file", "where"), [(("day=2",), "{}", "-p day=2"), ((), "{day: '2'}", "p.yaml:5")])
def test_a_derived_value_is_refused_where_its_parameter_is_set(loaded, flags, file, where):
    with pytest.raises(InvalidParameters) as raised:
        loaded(DERIVED, *flags, file=file)
    message = str(raised.value)
    assert where in message
    assert "line 3 of the parameters cell of" in message
    assert "computes `path` from `day` before it is set here" in message
    assert "Move the line into the next cell, or set `path` too." in message


def test_a_parameters_cell_that_is_no_python_is_a_finding_with_its_line(loaded):
    with pytest.raises(InvalidParameters, match=r"its parameters cell is not Python: .*\(line 2\)"):
        loaded("a = 1\nb = = 2")


@pytest.mark.parametrize(
    ("annotation", "value", "fits"),
    [
        ("tuple[int, int]", "[1, 2]", True),
        ("tuple[int, int]", "[1, 2, 3]", False),
        ("tuple[int, ...]", "[1, 2, 3]", True),
        ("set[str]", "[a, b]", True),
        ("set[str]", "[1]", False),
        ("Optional[tuple[int]]", "null", True),
        ("list[tuple[int, str]]", "[[1, a]]", True),
        ("dict[str, set[int]]", "{a: [1]}", True),
        ("float", ".nan", True),
        ("int", ".nan", False),
    ],
)
def test_lists_fit_annotations_of_tuples_and_sets(loaded, annotation, value, fits):
    source = f"x: {annotation} = None"
    if fits:
        assert "x" in loaded(source, f"x={value}")
    else:
        with pytest.raises(InvalidParameters, match="is not "):
            loaded(source, f"x={value}")
