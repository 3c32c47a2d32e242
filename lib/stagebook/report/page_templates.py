"""The page templates with their filters; every value is made printable and escaped before it is put on a page."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader, Undefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from stagebook import formatting
from stagebook.model.record import StageRecord
from stagebook.report.headline import message_of
from stagebook.user_state import state_folder

MAX_ROWS = 200
"""How many rows a table shows; a note says how many there are."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")

STATUS_STYLES = {  # status: (icon, tone)
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
    """The rows that a table shows, at most `MAX_ROWS`, and how many there are in total."""

    visible: tuple[Any, ...]
    total: int

    @classmethod
    def of(cls, rows: Iterable[Any], total: int) -> "Rows":
        return cls(tuple(islice(rows, MAX_ROWS)), total)


class _BytecodeCache(FileSystemBytecodeCache):
    """Compiled templates on disk: compiling takes a quarter of a second. A folder that cannot be written is ignored."""

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            Path(self.directory).mkdir(parents=True, exist_ok=True)
            super().dump_bytecode(bucket)


@cache
def template_environment() -> Environment:
    """The Jinja environment of this package's templates. Every value is made printable, then escaped."""
    environment = Environment(
        loader=PackageLoader("stagebook.report"),
        autoescape=True,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_BytecodeCache(str(state_folder() / "templates")),
    )
    environment.filters |= {
        "count": formatting.count,
        "duration": formatting.duration,
        "first_line": formatting.first_line,
        "format_value": formatting.format_value,
        "number": formatting.number,
        "px": lambda length: f"{length:.1f}",
        "rows": first_rows,
        "shorten": formatting.shorten,
        "size": formatting.size,
        "clip": lambda value, limit: formatting.shorten(value, limit).text,
        "usd": formatting.usd,
        "utc_time": formatting.utc_time,
        "value_range": formatting.value_range,
        "without_credentials": formatting.without_credentials,
    }
    environment.globals |= {"anchors": anchors, "status_style": status_style, "message_of": message_of}
    return environment


def first_rows(mapping: Mapping[Any, Any]) -> Rows:
    """The first entries of a mapping as (name, value)."""
    return Rows.of(mapping.items(), len(mapping))


def anchors(stages: Mapping[str, StageRecord]) -> dict[str, str]:
    """Stage → id on the page: the stage's name if it is a plain word, otherwise its number."""
    return {
        name: f"stage-{name}" if _PLAIN_NAME.fullmatch(name) else f"stage.{number}"
        for number, name in enumerate(stages, start=1)
    }


def status_style(status: object) -> dict[str, str]:
    """Icon, tone and text of a status, so that colour is never the only sign."""
    icon, tone = STATUS_STYLES.get(str(status), ("ring", "idle"))
    return {"icon": icon, "tone": tone, "text": str(status).replace("_", " ")}


def _finalize(value: object) -> object:
    if value is None:
        return formatting.MISSING
    if isinstance(value, Undefined):
        return ""
    return value if isinstance(value, Markup) else formatting.printable(value)
