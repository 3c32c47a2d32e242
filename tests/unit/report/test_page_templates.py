"""The page templates use only fields that their objects have."""

import pytest
from jinja2 import nodes

from stagebook.costs.bill import Bill, Split
from stagebook.costs.trend import Trend, TrendComparison, TrendPoint
from stagebook.formatting import ShortText
from stagebook.model.pricing import Range
from stagebook.model.record import Attempt, RunRecord, StageRecord
from stagebook.model.sweep import Comparison, ComparisonRow, Objective, SweepRun
from stagebook.report.dag_layout import Box, DagLayout, Edge
from stagebook.report.headline import Headline
from stagebook.report.notebook import PageEnd, RenderedCell
from stagebook.report.notebook_outputs import RenderedOutput
from stagebook.report.page import DagPicture, StageNode, TrendBar
from stagebook.report.page_templates import Rows, template_environment

VARIABLES = {
    "attempt": Attempt, "bill": Bill, "box": Box, "cell": RenderedCell, "comparison": Comparison, "edge": Edge,
    "end": PageEnd,
    "failed": RenderedCell, "inputs": Rows, "layout": DagLayout, "message": ShortText, "metrics": Rows,
    "node": StageNode, "objective": Objective, "output": RenderedOutput, "outputs": Rows, "packages": Rows,
    "picture": DagPicture, "record": RunRecord, "rows": Rows, "rules": Rows, "short": ShortText, "split": Split,
    "stage": StageRecord, "sweep_run": SweepRun, "tables": Rows, "trend": Trend, "verdict": Headline,
}  # fmt: skip
ROWS = {"trend.html.j2": TrendBar, "sweep_comparison.html.j2": ComparisonRow}
NESTED = (Attempt, Split, Range, Rows, ShortText, StageRecord, TrendComparison, TrendPoint, RenderedCell)
NO_OBJECTS = {"look", "loop", "paths", "ui"}
"""Variables that are mappings, Jinja's own, or macros."""


def template(name):
    environment = template_environment()
    source, _, _ = environment.loader.get_source(environment, name)
    return environment.parse(source)


def fields(*classes):
    return {name for cls in classes for name in (*dir(cls), *cls.__dataclass_fields__)}


@pytest.mark.parametrize("name", template_environment().list_templates(extensions=["j2"]))
def test_a_template_uses_only_fields_that_exist(name):
    classes = VARIABLES | {"row": ROWS.get(name)}
    missing = []
    for access in template(name).find_all(nodes.Getattr):
        variable = access.node.name if isinstance(access.node, nodes.Name) else None
        if variable in NO_OBJECTS:
            continue
        existing = fields(classes[variable]) if variable else fields(*NESTED) | {"get", "items", "values"}
        if access.attr not in existing:
            missing.append((variable, access.attr))
    assert missing == []
