"""Parameters and scraps of all kinds go into a real kernel and come out of it as what they were."""

import math
import sys
import threading

import nbformat
import pytest
import scrapbook

from stagebook import after_import, plain_values
from stagebook.executor.job import Job
from stagebook.executor.kernels import scrap_hook
from stagebook.executor.supervise import run_attempt
from stagebook.model.record import AttemptStatus

GLUED = """\
import scrapbook as sb, numpy as np, datetime, decimal, pathlib
sb.glue("top", float("nan"))
sb.glue("list", [1.0, float("nan"), float("-inf")])
sb.glue("deep", {"a": [float("inf"), {"b": np.float64("nan")}]})
sb.glue("text", "nan")
sb.glue("texts", ["nan", "inf"])
sb.glue("integer", np.int64(5))
sb.glue("zero dimensions", np.array(7))
sb.glue("flag", np.bool_(True))
sb.glue("nested", [np.int64(1), {"k": np.float32(2.5)}])
sb.glue("decimal", decimal.Decimal("1.10"))
sb.glue("day", datetime.date(2024, 1, 2))
sb.glue("path", pathlib.Path("a/b"))
sb.glue("set", {3, 1, 2})
"""
EXPECTED = {
    "top": math.nan, "list": [1.0, math.nan, -math.inf], "deep": {"a": [math.inf, {"b": math.nan}]}, "text": "nan",
    "texts": ["nan", "inf"], "integer": 5, "zero dimensions": 7, "flag": True, "nested": [1, {"k": 2.5}], "decimal": 1.1,
    "day": "2024-01-02", "path": "a/b", "set": [1, 2, 3],
}  # fmt: skip

RECEIVED = """\
assert x != x and xs == [1, float("inf"), float("-inf")] and d["a"][0] != d["a"][0], (x, xs, d)
assert t == (1, 2) and s == {"a", "b"} and nested == ((1, "x"),) and none == (), (t, s, nested, none)
"""
DECLARED = """\
x: float = 1.0
xs: list[float] = []
d: dict = {}
t: tuple[int, int] = (0, 0)
s: set[str] = set()
nested: "tuple[tuple[int, str], ...]" = ()
none = (1,)
"""
VALUES = {
    "x": math.nan, "xs": [1, math.inf, -math.inf], "d": {"a": [math.nan]}, "t": [1, 2], "s": ["a", "b"],
    "nested": [[1, "x"]], "none": [],
}  # fmt: skip


def test_scraps_and_parameters_arrive_as_what_they_were(tmp_path, notebook):
    source, output = notebook("a", GLUED, RECEIVED, parameters=DECLARED), tmp_path / "out.ipynb"
    job = Job(
        notebook=str(source),
        output=str(output),
        folder=str(tmp_path),
        parameters=VALUES,
        environment={},
        label={"notebook": str(source)},
    )
    outcome = run_attempt(job, log=tmp_path / "log", stop=threading.Event(), progress=lambda cell: None)
    assert (outcome.status, outcome.error) == (AttemptStatus.SUCCEEDED, None)
    assert repr(outcome.scraps) == repr(EXPECTED)
    node = nbformat.read(output, as_version=4)
    assert node.metadata.papermill.parameters["x"] == "NaN", "any reader of JSON reads the notebook"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [object()]}, r"the scrap 's' is a object at \['a'\]\[0\]: it cannot be glued as JSON"),
        ({(1, 2): 3}, r"the scrap 's' has the key \(1, 2\)"),
        (1j, "the scrap 's' is a complex"),
    ],
)
def test_what_would_not_come_back_is_refused_with_the_scraps_name(value, message, monkeypatch):
    for module, name in (
        ("scrapbook", "glue"),
        ("scrapbook.api", "glue"),
        ("scrapbook.api", "_prepare_ipy_data_format"),
    ):
        monkeypatch.setattr(f"{module}.{name}", getattr(sys.modules[module], name))  # put back after the test
    scrap_hook.install(plain_values, after_import)
    with pytest.raises(TypeError, match=message):
        scrapbook.glue("s", value)
