"""How figures and texts are put on a page: sizes, durations, instants, values of any kind, never too long."""

import json
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Any
from urllib.parse import quote

NONE = "\N{EN DASH}"
"""What stands where nothing is known."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")

_CONTROL = {*range(0x20), *range(0x7F, 0xA0)} - {*map(ord, "\t\n\r")}
_OVERRIDE = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_REPLACED = dict.fromkeys(_CONTROL | _OVERRIDE, "\N{REPLACEMENT CHARACTER}")


@dataclass(frozen=True)
class Shown:
    """A text that fits on a page, and what was left out of it (empty: nothing)."""

    text: str
    note: str = ""


def printable(value: object) -> str:
    """Text that a page may hold: no control characters, no direction overrides, no lone surrogates."""
    text = str(value).translate(_REPLACED)
    return text.encode("utf-8", "replace").decode("utf-8")


def without_ansi(text: object) -> str:
    """The text without terminal colours."""
    return _ANSI.sub("", str(text))


def without_credentials(uri: object) -> str:
    """The URI with its `user:password@` part masked."""
    return _USERINFO.sub("***@", str(uri))


def cut(value: object, limit: int) -> Shown:
    """The head of a text, with a note where it was longer than `limit` characters."""
    text = str(value)
    if len(text) <= limit:
        return Shown(text)
    return Shown(text[:limit] + "…", f"{count(limit)} of {count(len(text))} characters")


def first_line(value: object, limit: int = 300) -> str:
    """The first line that says something, without colours, cut at `limit` characters."""
    lines = (line.strip() for line in without_ansi(str(value)[: limit * 20]).splitlines())
    return cut(next((line for line in lines if line), ""), limit).text


def shown(value: Any, limit: int = 2000) -> Shown:
    """Any scrap or parameter as text: scalars as they are, the rest as JSON, cut at `limit` characters.

    A large value is encoded only as far as it is shown.
    """
    if isinstance(value, str):
        return cut(value, limit)
    if value is None or isinstance(value, bool):
        return Shown(json.dumps(value))
    if isinstance(value, int | float):
        return cut(_bare_number(value), limit)
    short = isinstance(value, dict | list | tuple) and len(value) <= 12
    indent = None if short and not any(isinstance(item, dict | list) for item in _items(value)) else 2
    parts: list[str] = []
    length = 0
    try:
        encoder = json.JSONEncoder(ensure_ascii=False, indent=indent, default=repr, skipkeys=True)
        for part in encoder.iterencode(value):
            parts.append(part[: limit + 1])
            length += len(part)
            if length > limit:
                return Shown("".join(parts)[:limit] + "…", f"the first {count(limit)} characters")
    except (TypeError, ValueError, RecursionError):
        return Shown(f"a {type(value).__name__} that has no JSON form")
    return Shown("".join(parts))


def _items(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value


def _bare_number(value: float) -> str:
    try:
        return repr(value)
    except ValueError:  # an int of more than 4,300 digits
        return "a number of more than 4,300 digits"


def is_number(value: object) -> bool:
    """Whether a scrap is a metric: a number, and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Any) -> str:
    """A figure for a table: whole numbers in thousands, others with six significant digits."""
    if not is_number(value):
        return (cut(value, 60).text if value is not None else "") or NONE
    if isinstance(value, int):
        return count(value)
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.6g}"


def count(value: Any) -> str:
    """A whole number with thousands separated."""
    if not is_number(value):
        return NONE
    try:
        return f"{value:,}"
    except ValueError:
        return _bare_number(value)


def size(size_bytes: Any) -> str:
    """Bytes for people, in powers of 1000: `412 B`, `1.24 GB`."""
    if not is_number(size_bytes):
        return NONE
    amount = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(amount) < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:#.3g}".rstrip(".") + f" {unit}"
        amount /= 1000
    return f"{amount:,.4g} PB"


def usd(dollars: Any) -> str:
    """US dollars for people: cents, below ten cents with four decimals: `1.24 USD`, `0.0315 USD`."""
    if not isinstance(dollars, Decimal) and not is_number(dollars):
        return NONE
    return f"{dollars:,.2f} USD" if abs(dollars) >= 0.1 or not dollars else f"{dollars:.4f} USD"


def between(low: str, high: str) -> str:
    """A range of figures as they are shown; a dash where nobody could see a difference."""
    return NONE if low == high else f"{low} {NONE} {high}"


def duration(seconds: Any, *, short: bool = False) -> str:
    """Seconds for people: `0.84 s`, `12.3 s`, `1 min 05 s`, `2 h 03 min`; short: `12.3 s`, `1m 05s`."""
    if not is_number(seconds) or not isfinite(seconds):
        return NONE
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes}m {rest:02d}s" if short else f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours:,}h {minutes:02d}m" if short else f"{hours:,} h {minutes:02d} min"


def instant(value: object) -> datetime | None:
    """An ISO 8601 time as UTC, or None where it is none."""
    try:
        parsed = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def when(value: object) -> str:
    """An ISO 8601 time for people: `2026-11-23 14:05:12 UTC`."""
    if value is None:
        return NONE
    parsed = instant(value)
    return cut(value, 40).text if parsed is None else f"{parsed:%Y-%m-%d %H:%M:%S} UTC"


def elapsed(start: object, end: object) -> float | None:
    """Seconds between two ISO 8601 times."""
    first, last = instant(start), instant(end)
    return None if first is None or last is None else (last - first).total_seconds()


def href(path: object) -> str | None:
    """A relative path as a link that cannot leave the run's folder by scheme or host; None if it would."""
    text = printable(path).strip()
    if not text or text.startswith("/"):
        return None
    return quote(text, safe="/%~")


def fit(name: str, cells: int) -> str:
    """The name within so many character cells; wide characters count twice; cut in the middle."""
    if width(name) <= cells:
        return name
    head, tail = "", ""
    for left, right in zip(name, reversed(name), strict=True):
        if width(head) + width(tail) + width(left) > cells - 1:
            break
        head += left
        if width(head) + width(tail) + width(right) > cells - 1:
            break
        tail = right + tail
    return f"{head}…{tail}"


def width(text: str) -> int:
    """Character cells that a text takes."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
