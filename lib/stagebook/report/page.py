"""The run report: one self-contained page, no script, nothing from the network.

Whatever a notebook, an error or a parameter says is text here: every value passes through `printable`
and the template's escaping, and a Content-Security-Policy stands behind both.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader, Undefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from stagebook.cost import bill
from stagebook.cost.trend import Point, Trend
from stagebook.model.record import Attempt, RunRecord, StageRecord
from stagebook.report import graph, words
from stagebook.report.headline import headline, message_of
from stagebook.storage.machine import state_folder

Links = Mapping[str, Mapping[int, Mapping[str, str]]]
"""Stage → attempt → `html` or `ipynb` → path relative to the report."""

MAX_ROWS = 200
"""A table shows at most so many rows; a note says how many there are."""

MAX_RUNS = 15
"""The trend shows the last so many runs; it compares all."""

MAX_DRAWN = 120
"""Beyond so many stages a picture of the graph helps nobody."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,80}")

LOOKS = {  # status: (icon, tone)
    "succeeded": ("check", "good"),
    "reused": ("reuse", "info"),
    "running": ("play", "info"),
    "pending": ("ring", "idle"),
    "skipped": ("skip", "idle"),
    "upstream_failed": ("ban", "warn"),
    "failed": ("cross", "bad"),
    "timeout": ("clock", "bad"),
    "kernel_died": ("cross", "bad"),
    "interrupted": ("pause", "warn"),
    "gate_refused": ("refused", "warn"),
    "over_budget": ("ban", "warn"),
}


@dataclass(frozen=True)
class Rows:
    """What a table shows, and how many rows there would be."""

    shown: tuple[Any, ...]
    total: int

    @classmethod
    def of(cls, rows: Iterable[Any], total: int) -> "Rows":
        return cls(tuple(islice(rows, MAX_ROWS)), total)


@dataclass(frozen=True)
class Node:
    """A stage in the picture: its box and what is written in it."""

    box: graph.Box
    label: str
    state: str
    stage: StageRecord


@dataclass(frozen=True)
class Bar:
    """A run of the trend, and how long its bars are: shares of the longest, in percent."""

    point: Point
    seconds: float
    usd: float


@dataclass(frozen=True)
class Picture:
    """The drawn graph, and one sentence for those who do not see it."""

    drawn: graph.Picture
    nodes: tuple[Node, ...]
    sentence: str


def render(record: RunRecord, *, links: Links, resume_command: str | None = None, trend: Trend | None = None) -> str:
    """The content of `report.html`.

    Args:
        links: for each stage and attempt the rendered and the executed notebook, as paths relative to
            the report. A path that would leave by scheme or from the root is not linked.
        resume_command: shown unless the run succeeded or the gate refused, where resuming changes nothing.
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
        environment()
        .get_template("report.html.j2")
        .render(
            record=record,
            verdict=verdict,
            resume_command=resume_command if verdict.resumable else None,
            seconds=words.elapsed(record.started_at, record.finished_at),
            picture=_picture(record.stages),
            gate=gate,
            rules=Rows.of(rules, len(rules)),
            metrics=Rows.of(metrics, len(metrics)),
            tables=Rows.of(tables, len(tables)),
            billed=bill.of(record),
            trend=trend,
            bars=_bars(trend) if trend else (),
            packages=rows(packages if isinstance(packages, Mapping) else {}),
            link=lambda stage, attempt: _link(links, stage, attempt),
        )
    )


class _Compiled(FileSystemBytecodeCache):
    """The compiled templates, which take a quarter of a second; where they cannot be kept, nothing is lost."""

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            Path(self.directory).mkdir(parents=True, exist_ok=True)
            super().dump_bytecode(bucket)


@cache
def environment() -> Environment:
    """The templates of this package. Every value is made printable, then escaped."""
    env = Environment(
        loader=PackageLoader("stagebook.report"),
        autoescape=True,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_Compiled(str(state_folder() / "templates")),
    )
    env.filters |= {
        "brief": lambda value, limit: words.cut(value, limit).text,
        "count": words.count,
        "cut": words.cut,
        "duration": words.duration,
        "first_line": words.first_line,
        "number": words.number,
        "px": lambda length: f"{length:.1f}",
        "rows": rows,
        "shown": words.shown,
        "size": words.size,
        "usd": words.usd,
        "between": words.between,
        "when": words.when,
        "without_credentials": words.without_credentials,
    }
    env.globals |= {"anchors": anchors, "looks": looks, "message_of": message_of}
    return env


def rows(mapping: Mapping[Any, Any]) -> Rows:
    """The first entries of a mapping as (name, value)."""
    return Rows.of(mapping.items(), len(mapping))


def anchors(stages: Mapping[str, StageRecord]) -> dict[str, str]:
    """An id for each stage: its name where that is a plain word, else its number."""
    return {
        name: f"stage-{name}" if _PLAIN.fullmatch(name) else f"stage.{number}"
        for number, name in enumerate(stages, start=1)
    }


def looks(status: object) -> dict[str, str]:
    """How a status is shown: never by colour alone."""
    icon, tone = LOOKS.get(str(status), ("ring", "idle"))
    return {"icon": icon, "tone": tone, "text": str(status).replace("_", " ")}


def _bars(trend: Trend) -> tuple[Bar, ...]:
    """The last runs, oldest first."""
    last = trend.points[-MAX_RUNS:]
    longest, dearest = max(point.seconds for point in last) or 1, float(max(point.usd for point in last)) or 1
    return tuple(Bar(point, 100 * point.seconds / longest, 100 * float(point.usd) / dearest) for point in last)


def _figures(scraps: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The numbers among the scraps; a mapping of numbers only as `name.key`, as MLflow has them."""
    for name, value in scraps.items():
        if words.is_number(value):
            yield name, value
        elif isinstance(value, Mapping) and value and all(map(words.is_number, value.values())):
            yield from ((f"{name}.{key}", figure) for key, figure in value.items())


def _finalize(value: object) -> object:
    if value is None:
        return words.NONE
    if isinstance(value, Undefined):
        return ""
    return value if isinstance(value, Markup) else words.printable(value)


def _link(links: Links, stage: StageRecord, attempt: Attempt) -> dict[str, str]:
    paths = links.get(stage.name, {}).get(attempt.n, {})
    return {kind: href for kind, path in paths.items() if (href := words.href(path))}


def _picture(stages: Mapping[str, StageRecord]) -> Picture | None:
    if not stages or len(stages) > MAX_DRAWN:
        return None
    states = {name: _state(stage) for name, stage in stages.items()}
    cells = min(max(words.width(name) for name in stages), 24)
    box_width = 46 + max(100, 7.4 * cells, *(5.9 * len(state) for state in states.values()))
    drawn = graph.layout({name: stage.depends_on for name, stage in stages.items()}, box_width=box_width)
    nodes = tuple(Node(box, words.fit(box.name, cells), states[box.name], stages[box.name]) for box in drawn.boxes)
    return Picture(drawn, nodes, ". ".join(islice(_sentences(stages), MAX_ROWS)))


def _state(stage: StageRecord) -> str:
    text = looks(stage.status)["text"]
    return f"{text} · {words.duration(stage.seconds, short=True)}" if stage.seconds else text


def _sentences(stages: Mapping[str, StageRecord]) -> Iterator[str]:
    for name, stage in stages.items():
        after = f", after {', '.join(stage.depends_on)}" if stage.depends_on else ""
        yield f"{name}: {looks(stage.status)['text']}{after}"
