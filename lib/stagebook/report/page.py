"""The run report: one self-contained page without scripts and without the network.

Notebooks, errors and parameters are shown as text only: every value is made printable and escaped, and a
Content-Security-Policy is the second barrier.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from stagebook import formatting
from stagebook.costs import bill
from stagebook.costs.trend import Trend, TrendPoint
from stagebook.model.record import Attempt, RunRecord, StageRecord
from stagebook.report import dag_layout
from stagebook.report.headline import headline
from stagebook.report.page_templates import MAX_ROWS, Rows, first_rows, status_style, template_environment

NotebookLinks = Mapping[str, Mapping[int, Mapping[str, str]]]
"""Stage → attempt → `html` or `ipynb` → path relative to the report."""

MAX_RUNS = 15
"""How many runs the trend lists, the latest ones; its comparison covers all runs."""

MAX_DRAWN = 120
"""A graph of more stages than this is not drawn."""


@dataclass(frozen=True)
class StageNode:
    """A stage in the drawn graph: its box and the text in it."""

    box: dag_layout.Box
    label: str
    state: str
    stage: StageRecord


@dataclass(frozen=True)
class TrendBar:
    """A run of the trend with the lengths of its bars, as shares of the longest bar in percent."""

    point: TrendPoint
    seconds: float
    usd: float


@dataclass(frozen=True)
class DagPicture:
    """The drawn graph, and its description in words for screen readers."""

    layout: dag_layout.DagLayout
    nodes: tuple[StageNode, ...]
    description: str


def render(
    record: RunRecord, *, links: NotebookLinks, resume_command: str | None = None, trend: Trend | None = None
) -> str:
    """The content of `report.html`.

    Args:
        links: for each stage and attempt the rendered and the executed notebook, as paths relative to
            the report. A path with a scheme, or one from the root, is not linked.
        resume_command: not shown if the run succeeded or the gate refused its model, since resuming changes nothing.
        trend: cost and time of this pipeline's runs.
    """
    verdict = headline(record)
    stages = record.stages.values()
    metrics = [(stage, name, figure) for stage in stages for name, figure in _figures(stage.scraps)]
    tables = [(name, stage, commit) for stage in stages for name, commit in stage.outputs.items()]
    gate = record.gate
    rules = [rule for rule in (gate or {}).get("rules") or () if isinstance(rule, Mapping)]
    packages = record.environment.get("packages")
    return (
        template_environment()
        .get_template("report.html.j2")
        .render(
            record=record,
            verdict=verdict,
            resume_command=resume_command if verdict.resumable else None,
            seconds=formatting.seconds_between(record.started_at, record.finished_at),
            picture=_picture(record.stages),
            gate=gate,
            rules=Rows.of(rules, len(rules)),
            metrics=Rows.of(metrics, len(metrics)),
            tables=Rows.of(tables, len(tables)),
            bill=bill.of(record),
            trend=trend,
            bars=_bars(trend) if trend else (),
            packages=first_rows(packages if isinstance(packages, Mapping) else {}),
            link=lambda stage, attempt: _link(links, stage, attempt),
        )
    )


def _bars(trend: Trend) -> tuple[TrendBar, ...]:
    """The bars of the latest runs, oldest first."""
    latest = trend.points[-MAX_RUNS:]
    longest, dearest = max(point.seconds for point in latest) or 1, float(max(point.usd for point in latest)) or 1
    return tuple(TrendBar(point, 100 * point.seconds / longest, 100 * float(point.usd) / dearest) for point in latest)


def _figures(scraps: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The numbers among the scraps; a mapping that holds only numbers becomes `name.key`, as in MLflow."""
    for name, value in scraps.items():
        if formatting.is_number(value):
            yield name, value
        elif isinstance(value, Mapping) and value and all(map(formatting.is_number, value.values())):
            yield from ((f"{name}.{key}", figure) for key, figure in value.items())


def _link(links: NotebookLinks, stage: StageRecord, attempt: Attempt) -> dict[str, str]:
    paths = links.get(stage.name, {}).get(attempt.n, {})
    return {suffix: href for suffix, path in paths.items() if (href := formatting.href(path))}


def _picture(stages: Mapping[str, StageRecord]) -> DagPicture | None:
    if not stages or len(stages) > MAX_DRAWN:
        return None
    states = {name: _state(stage) for name, stage in stages.items()}
    cells = min(max(formatting.text_width(name) for name in stages), 24)
    box_width = 46 + max(100, 7.4 * cells, *(5.9 * len(state) for state in states.values()))
    layout = dag_layout.layout({name: stage.depends_on for name, stage in stages.items()}, box_width=box_width)
    nodes = tuple(
        StageNode(box, formatting.fit_width(box.name, cells), states[box.name], stages[box.name])
        for box in layout.boxes
    )
    return DagPicture(layout, nodes, ". ".join(islice(_sentences(stages), MAX_ROWS)))


def _state(stage: StageRecord) -> str:
    text = status_style(stage.status)["text"]
    return f"{text} · {formatting.duration(stage.seconds, short=True)}" if stage.seconds else text


def _sentences(stages: Mapping[str, StageRecord]) -> Iterator[str]:
    for name, stage in stages.items():
        upstream = f", after {', '.join(stage.depends_on)}" if stage.depends_on else ""
        yield f"{name}: {status_style(stage.status)['text']}{upstream}"
