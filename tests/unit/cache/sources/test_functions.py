"""The digest of a function's code: what changes it, and what does not."""

import functools
import importlib
import itertools
import linecache
import sys
import textwrap

import pytest

from stagebook.cache.sources.functions import function_digest

FEATURES = """
\"\"\"Features.\"\"\"
from shop import rates

def build(rows):
    return rows * rates.FACTOR  # what it costs
"""
RATES = "FACTOR = 2\n"
UNRELATED = "def draw(rows):\n    return rows\n"

numbers = itertools.count()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """`package(features="…")` writes the package `shop` and gives the digest of `shop.features.build`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def write(**sources: str) -> str:
        folder = tmp_path / "shop"
        folder.mkdir(exist_ok=True)
        for name, text in {
            "__init__": "",
            "features": FEATURES,
            "rates": RATES,
            "figures": UNRELATED,
            **sources,
        }.items():
            (folder / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return function_digest(importlib.import_module("shop.features").build)

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def notebook(source: str, **names):
    """The function `build` of a notebook with this code, in which `names` are already defined."""
    file, text = f"<cell {next(numbers)}>", textwrap.dedent(source)
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    namespace = {"__name__": "__main__", **names}
    exec(compile(text, file, "exec"), namespace)
    return namespace["build"]


@pytest.mark.parametrize(
    "sources",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"features": FEATURES.replace("  # what it costs", "")}, id="a comment"),
        pytest.param({"features": FEATURES.replace("(rows)", "(\n    rows,\n)")}, id="formatting"),
        pytest.param({"figures": "def draw(rows):\n    return None\n"}, id="a module that it does not import"),
    ],
)
def test_what_does_nothing_for_a_function_keeps_its_digest(package, sources):
    assert package(**sources) == package()


@pytest.mark.parametrize(
    "sources",
    [
        pytest.param({"features": FEATURES.replace("*", "+")}, id="its own code"),
        pytest.param({"rates": "FACTOR = 3\n"}, id="a module that it imports"),
        pytest.param({"__init__": "import shop.figures\n"}, id="a package that contains it"),
    ],
)
def test_other_code_changes_the_digest(package, sources):
    assert package(**sources) != package()


def test_the_arguments_that_a_function_is_bound_to_change_its_digest(package):
    package()
    build = importlib.import_module("shop.features").build
    digests = [function_digest(functools.partial(build, *bound)) for bound in ([], [1], [2], [[1, 2]])]
    assert len(set(digests)) == 4
    assert function_digest(functools.partial(build, 1)) == digests[1]


def test_the_values_of_the_function_around_it_change_its_digest():
    def builder(factor):
        def build(rows):
            return rows * factor

        return build

    assert function_digest(builder(1)) == function_digest(builder(1))
    assert function_digest(builder(1)) != function_digest(builder(2))


CELL = """
def doubled(rows):
    return rows * 2

def build(rows):
    return doubled(rows)  # in a cell
"""


def test_a_function_of_a_notebook_counts_with_the_functions_that_it_uses():
    digest = function_digest(notebook(CELL))
    assert digest == function_digest(notebook(CELL.replace("  # in a cell", "")))
    assert digest == function_digest(notebook(CELL + "\nother = 1\n"))
    assert digest != function_digest(notebook(CELL.replace("* 2", "* 3")))


@pytest.mark.parametrize(
    ("first", "second", "is_equal"),
    [
        pytest.param(1, 1, True, id="the same number"),
        pytest.param(1, 2, False, id="another number"),
        pytest.param(1, True, False, id="another type"),
        pytest.param({"a": [1, (2, "x")]}, {"a": [1, (2, "x")]}, True, id="an equal container"),
        pytest.param({"a": [1, (2, "x")]}, {"a": [1, (2, "y")]}, False, id="a container of other values"),
        pytest.param({"x", "y"}, {"y", "x"}, True, id="a set in another order"),
        pytest.param(object(), object(), True, id="objects, whose state nobody knows"),
    ],
)
def test_a_value_that_a_function_takes_from_its_notebook_counts(first, second, is_equal):
    digests = [
        function_digest(notebook("def build(rows):\n    return rows * FACTOR", FACTOR=v)) for v in (first, second)
    ]
    assert (digests[0] == digests[1]) is is_equal


CLASS = """
from dataclasses import dataclass

@dataclass
class Rate:
    \"\"\"A rate.\"\"\"
    factor: float = 2.0

    @property
    def percent(self):
        return 100 * self.factor

def build(rows):
    return rows * Rate().percent
"""


def test_a_class_of_a_notebook_counts():
    digest = function_digest(notebook(CLASS))
    assert digest == function_digest(notebook(CLASS.replace("A rate", "A factor")))
    assert digest != function_digest(notebook(CLASS.replace("100", "10")))
    assert digest != function_digest(notebook(CLASS.replace("2.0", "3.0")))


@pytest.mark.parametrize("line", ["from shop.features import build as make", "import shop.features as shop_features"])
def test_a_module_of_the_project_counts_however_a_notebook_imports_it(package, line):
    package()
    source = "def build(rows):\n    return {}(rows)".format("make" if "make" in line else "shop_features.build")
    digests = []
    for factor in (2, 2, 3):
        package(rates=f"FACTOR = {factor}\n")
        names: dict = {}
        exec(line, names)
        digests.append(function_digest(notebook(source, **{k: v for k, v in names.items() if k[0] != "_"})))
    assert digests[0] == digests[1] != digests[2]


def test_a_module_that_is_imported_within_the_function_counts(package):
    package()
    source = "def build(rows):\n    from shop import rates\n    return rows * rates.FACTOR"
    before = function_digest(notebook(source))
    package(rates="FACTOR = 3\n")
    assert function_digest(notebook(source)) != before


def test_a_lambda_counts_by_the_lines_in_which_it_stands():
    first, changed = (notebook(f"build = dict(\n  f=lambda rows: rows * {n},\n)['f']") for n in (2, 3))
    assert function_digest(first) != function_digest(changed)


def test_functions_that_call_each_other_end():
    source = "def build(rows):\n    return other(rows)\ndef other(rows):\n    return build(rows) or {0}"
    assert function_digest(notebook(source.format(1))) != function_digest(notebook(source.format(2)))


def test_a_function_without_source_counts_by_what_it_was_compiled_to():
    digests = []
    for factor in (2, 2, 3):
        names = {"__name__": "__main__"}
        exec(f"def build(rows):\n    return [row * {factor} for row in rows]", names)
        digests.append(function_digest(names["build"]))
    assert digests[0] == digests[1] != digests[2]
