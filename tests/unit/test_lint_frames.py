"""No row loops, and no frame brought here whole: read from the syntax trees of notebooks and library.

What is allowed all the same is named below, function by function, with the reason.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path for folder in ("notebooks", "lib/flightdelay", "lib/stagebook") for path in (ROOT / folder).rglob("*.py")
)

WHOLE = {"collect", "toPandas", "toArrow", "toLocalIterator", "collectAsMap"}
"""Calls that bring all rows of a frame into this process, unless `limit` or `head` comes right before."""
LOOPS = {"iterrows", "itertuples", "iter_rows", "iterdicts", "map_rows", "map_elements", "applymap", "foreach"}
"""Calls that go through rows one by one in Python."""
INSIDES = {"rdd", "sparkContext", "_jvm", "_jdf", "_sc"}
"""Attributes that Spark Connect does not have."""

ALLOWED = {
    ("stagebook/delta/polars_engine.py", "PolarsEngine.cache", "collect"): "what caching is, on one machine",
    ("stagebook/delta/polars_engine.py", "PolarsEngine.count", "collect"): "one number",
    ("stagebook/delta/polars_engine.py", "PolarsEngine.to_arrow", "collect"): "the door that `to_pandas` guards",
    ("stagebook/delta/digests.py", "fingerprints", "collect"): "one row a partition, streamed",
    ("stagebook/spark/engine.py", "SparkEngine.to_arrow", "toArrow"): "the door that `to_pandas` guards",
    ("stagebook/spark/engine.py", "SparkEngine.fingerprints", "toArrow"): "one row a partition",
    ("stagebook/spark/catalog.py", "CatalogEngine.history", "toArrow"): "one row a version, of the log",
    ("stagebook/spark/catalog.py", "CatalogEngine._detail", "toArrow"): "one row",
    ("stagebook/executor/kernels/prespawned.py", "_exit", "collect"): "Python's garbage collector",
    ("stagebook/spark/session.py", "query", "toArrow"): "a row a task, of the system tables that it reads",
    ("stagebook/spark/joins.py", "heavy_keys", "toArrow"): "at most ten keys can have a tenth of the rows",
    ("stagebook/spark/types.py", "_lossy_casts", "toArrow"): "one row of an aggregate",
    ("stagebook/delta/arrow.py", "arrow_table", "collect"): "a lazy frame that its user writes, streamed to Arrow",
    ("stagebook/tables/remote_check.py", "_single_row", "collect"): "one row of an aggregate",
    ("stagebook/tables/remote_check.py", "_fetch_bad_rows", "collect"): "five rows of each rule, by `head`",
    ("stagebook/tables/remote_check.py", "_fetch_repeated_keys", "collect"): "five keys, by `head`",
}  # fmt: skip


def refused(text: str) -> Iterator[tuple[str, str, int]]:
    """Function, what it does, and line, for all that is refused in a module; `""` is the module itself."""
    yield from _refused(ast.parse(text), "")


def _refused(node: ast.AST, function: str) -> Iterator[tuple[str, str, int]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".strip(".")
    match node:
        case ast.Call(func=ast.Attribute(value=receiver, attr=name)) if name in WHOLE and not _is_bounded(receiver):
            yield function, name, node.lineno
        case ast.Call(func=ast.Attribute(attr=name)) if name in LOOPS:
            yield function, name, node.lineno
        case ast.Call(func=ast.Attribute(attr="apply"), keywords=keywords, args=arguments):
            by_name = [word.value for word in keywords if word.arg == "axis"]
            if any(_is_rows(value) for value in [*by_name, *arguments[1:2]]):
                yield function, "apply(axis=1)", node.lineno
        case ast.Attribute(attr=name) if name in INSIDES:
            yield function, name, node.lineno
    for child in ast.iter_child_nodes(node):
        yield from _refused(child, function)


def _is_bounded(receiver: ast.expr) -> bool:
    """Whether a frame was cut to some rows just before: `.limit(n)`, `.head(n)`."""
    match receiver:
        case ast.Call(func=ast.Attribute(attr="limit" | "head"), args=[_]):
            return True
        case _:
            return False


def _is_rows(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value in (1, "columns") and value.value is not True


def found_in(path: Path) -> list[tuple[tuple[str, str, str], int]]:
    below = path.relative_to(ROOT / "lib") if path.is_relative_to(ROOT / "lib") else path.relative_to(ROOT)
    return [
        ((below.as_posix(), function, what), line) for function, what, line in refused(path.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_frame_is_brought_here_whole_and_no_rows_are_looped_over(path):
    bad = [
        f"{path}:{line}: {what} in '{function}'"
        for (file, function, what), line in found_in(path)
        if (file, function, what) not in ALLOWED
    ]
    assert not bad, "\n".join(bad) + "\nuse frame expressions, or stage.to_pandas(limit=…), which looks at the size"


def test_what_is_allowed_is_still_there_and_has_a_reason():
    found = {key for path in FILES for key, _ in found_in(path)}
    assert set(ALLOWED) <= found, "take out what is no longer needed"
    assert all(len(reason) > 5 for reason in ALLOWED.values())


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("frame.collect()", "collect"),
        ("rows = [r.x for r in spark.table('t').filter('x > 1').collect()]", "collect"),
        ("lazy.collect(engine='streaming')", "collect"),
        ("frame.toPandas()", "toPandas"),
        ("frame.limit(5).select('x').toPandas()", "toPandas"),
        ("frame.toArrow()", "toArrow"),
        ("for row in frame.toLocalIterator(): pass", "toLocalIterator"),
        ("for i, row in frame.iterrows(): pass", "iterrows"),
        ("[r for r in frame.itertuples(index=False)]", "itertuples"),
        ("for row in frame.iter_rows(named=True): pass", "iter_rows"),
        ("frame.apply(lambda row: row.a + row.b, axis=1)", "apply(axis=1)"),
        ("frame.apply(f, axis='columns')", "apply(axis=1)"),
        ("frame.apply(\n    f,\n    1,\n)", "apply(axis=1)"),
        ("frame.rdd.map(f)", "rdd"),
        ("spark._jvm.java.lang.System.gc()", "_jvm"),
        ("def f():\n    def g():\n        return frame.collect()", "collect"),
    ],
)
def test_the_lint_sees_what_it_is_for(code, what):
    assert [found for _, found, _ in refused(code)] == [what]


@pytest.mark.parametrize(
    "code",
    [
        "frame.limit(5).toPandas()",
        "frame.head(5).collect()",
        "stage.to_pandas(frame, limit=1000)",
        "frame.apply(f)",
        "frame.apply(f, axis=0)",
        "series.apply(f, True)",
        "gc.collect_everything()",
        "# frame.collect()\n'frame.collect()'",
        "row_count = 1",
    ],
)
def test_the_lint_leaves_alone_what_is_bounded_or_no_frame(code):
    assert not list(refused(code))


def test_the_function_is_named_with_its_class():
    code = "class A:\n    def f(self):\n        return self.frame.collect()\n"
    assert list(refused(code)) == [("A.f", "collect", 3)]
