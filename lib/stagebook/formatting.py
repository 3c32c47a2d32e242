"""Format numbers, sizes, durations, times and any other value as short, printable text."""

import json
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Any
from urllib.parse import quote

MISSING = "\N{EN DASH}"
"""Shown in place of a value that is missing."""

ONE_LINE = 300
"""Characters of a text from user code where one line of it is shown."""


@dataclass(frozen=True)
class TextLimit:
    """How much is shown of a text from user code, such as the message of an exception."""

    lines: int
    characters: int


TERMINAL_TEXT = TextLimit(20, 2_000)
RECORDED_TEXT = TextLimit(500, 10_000)
"""In journal and record, and with them everywhere that they are sent."""

FINDINGS_TEXT = TextLimit(400, 40_000)
"""Of an error of the kit, which may list many findings."""

_LEFT_OUT = re.compile(r"… ([\d,]+) characters left out")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")

_CONTROL = {*range(0x20), *range(0x7F, 0xA0)} - {*map(ord, "\t\n\r")}
_OVERRIDE = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_REPLACED = dict.fromkeys(_CONTROL | _OVERRIDE, "\N{REPLACEMENT CHARACTER}")


@dataclass(frozen=True)
class ShortText:
    """A text that is short enough to show. `note` says how much was cut off; it is empty if nothing was."""

    text: str
    note: str = ""


def printable(value: object) -> str:
    """The value as text without control characters, direction overrides and lone surrogates."""
    text = str(value).translate(_REPLACED)
    return text.encode("utf-8", "replace").decode("utf-8")


def without_ansi(text: object) -> str:
    """The text without terminal colours."""
    return _ANSI.sub("", str(text))


def without_credentials(uri: object) -> str:
    """The URI with its `user:password@` part masked."""
    return _USERINFO.sub("***@", str(uri))


def shorten(value: object, limit: int) -> ShortText:
    """The first `limit` characters of a text, with a note if it was longer."""
    text = str(value)
    if len(text) <= limit:
        return ShortText(text)
    return ShortText(text[:limit] + "…", f"{count(limit)} of {count(len(text))} characters")


def first_line(value: object, limit: int = ONE_LINE) -> str:
    """The first line that is not blank, without colours and control characters, at most `limit` characters long."""
    lines = (line.strip() for line in without_ansi(str(value)[: limit * 20]).splitlines())
    return printable(shorten(next((line for line in lines if line), ""), limit).text)


def excerpt(value: object, limit: TextLimit, where: str = "") -> str:
    """A text without colours and control characters; of one that is too long the beginning and the end.

    Args: where: in words where all of it is.
    """
    text = without_ansi(value).replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n", limit.lines)
    if len(text) <= limit.characters and len(lines) <= limit.lines:
        return printable(text)
    ends = limit.lines // 3, limit.characters // 3
    head = "\n".join(text[: limit.characters - ends[1]].split("\n")[: limit.lines - ends[0]])
    remaining = text[len(head) :]
    tail = "\n".join(remaining[-ends[1] :].split("\n")[-ends[0] :])
    middle = remaining[: len(remaining) - len(tail)]
    left_out = len(middle) + sum(int(number.replace(",", "")) for number in _LEFT_OUT.findall(middle))
    note = f"… {count(left_out)} characters left out{f': all of it is in {where}' if where else ''} …"
    return printable(f"{head}\n{note}\n{tail}")


def format_value(value: Any, limit: int = 2000) -> ShortText:
    """Any scrap or parameter as text: scalars as they are, everything else as JSON, cut at `limit` characters.

    Encoding stops at the limit, so a huge value costs no more than a small one.
    """
    if isinstance(value, str):
        return shorten(value, limit)
    if value is None or isinstance(value, bool):
        return ShortText(json.dumps(value))
    if isinstance(value, int | float):
        return shorten(_bare_number(value), limit)
    short = isinstance(value, dict | list | tuple) and len(value) <= 12
    indent = None if short and not any(isinstance(item, dict | list) for item in _items(value)) else 2
    chunks: list[str] = []
    length = 0
    try:
        encoder = json.JSONEncoder(ensure_ascii=False, indent=indent, default=repr, skipkeys=True)
        for chunk in encoder.iterencode(value):
            chunks.append(chunk[: limit + 1])
            length += len(chunk)
            if length > limit:
                return ShortText("".join(chunks)[:limit] + "…", f"the first {count(limit)} characters")
    except (TypeError, ValueError, RecursionError):
        return ShortText(f"a {type(value).__name__} that has no JSON form")
    return ShortText("".join(chunks))


def strict_json(value: Any) -> Any:
    """The value as JSON of any reader can hold it: NaN and infinities as the texts `NaN`, `Infinity`, `-Infinity`."""
    match value:
        case float() if not isfinite(value):
            return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(float(value))]
        case dict():
            return {key: strict_json(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [strict_json(item) for item in value]
    return value


def _items(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value


def _bare_number(value: float) -> str:
    try:
        return repr(value)
    except ValueError:  # an int of more than 4,300 digits
        return "a number of more than 4,300 digits"


def is_number(value: object) -> bool:
    """Whether a scrap is a metric: an int or a float, but not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Any) -> str:
    """A number for a table: whole numbers with thousands separators, others with six significant digits."""
    if not is_number(value):
        return (shorten(value, 60).text if value is not None else "") or MISSING
    if isinstance(value, int):
        return count(value)
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.6g}"


def count(value: Any) -> str:
    """A whole number with thousands separators."""
    if not is_number(value):
        return MISSING
    try:
        return f"{value:,}"
    except ValueError:
        return _bare_number(value)


def counted(number: int, noun: str) -> str:
    """A number of things: `1 cell`, `2,000 cells`."""
    return f"{count(number)} {noun if number == 1 else noun + 's'}"


def size(size_bytes: Any) -> str:
    """A size in bytes with a unit, in powers of 1000: `412 B`, `1.24 GB`."""
    if not is_number(size_bytes):
        return MISSING
    amount = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(amount) < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:#.3g}".rstrip(".") + f" {unit}"
        amount /= 1000
    return f"{amount:,.4g} PB"


def usd(dollars: Any) -> str:
    """US dollars with two decimals, or with four below ten cents: `1.24 USD`, `0.0315 USD`."""
    if not isinstance(dollars, Decimal) and not is_number(dollars):
        return MISSING
    return f"{dollars:,.2f} USD" if abs(dollars) >= 0.1 or not dollars else f"{dollars:.4f} USD"


def value_range(low: str, high: str) -> str:
    """A range between two formatted numbers; a dash if both look the same."""
    return MISSING if low == high else f"{low} {MISSING} {high}"


def duration(seconds: Any, *, short: bool = False) -> str:
    """Seconds with a fitting unit: `0.84 s`, `12.3 s`, `1 min 05 s`, `2 h 03 min`; short: `12.3 s`, `1m 05s`."""
    if not is_number(seconds) or not isfinite(seconds):
        return MISSING
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    total_seconds = round(seconds)
    if total_seconds < 3600:
        minutes, full_seconds = divmod(total_seconds, 60)
        return f"{minutes}m {full_seconds:02d}s" if short else f"{minutes} min {full_seconds:02d} s"
    hours, minutes = divmod(total_seconds // 60, 60)
    return f"{hours:,}h {minutes:02d}m" if short else f"{hours:,} h {minutes:02d} min"


def parse_time(value: object) -> datetime | None:
    """An ISO 8601 time in UTC, or None if the value is not one."""
    try:
        parsed = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def utc_time(value: object) -> str:
    """An ISO 8601 time in the form `2026-11-23 14:05:12 UTC`; any other text stays as it is."""
    if value is None:
        return MISSING
    parsed = parse_time(value)
    return shorten(value, 40).text if parsed is None else f"{parsed:%Y-%m-%d %H:%M:%S} UTC"


def seconds_between(start: object, end: object) -> float | None:
    """Seconds between two ISO 8601 times, or None if one of them is missing."""
    start_time, end_time = parse_time(start), parse_time(end)
    return None if start_time is None or end_time is None else (end_time - start_time).total_seconds()


def href(path: object) -> str | None:
    """A relative path as a link without scheme or host; None if the path is empty or starts at the root."""
    text = printable(path).strip()
    if not text or text.startswith("/"):
        return None
    return quote(text, safe="/%~")


def fit_width(name: str, cells: int) -> str:
    """The name, cut in the middle so that it takes at most `cells` character cells; wide characters take two."""
    if text_width(name) <= cells:
        return name
    head, tail = "", ""
    for from_start, from_end in zip(name, reversed(name), strict=True):
        if text_width(head) + text_width(tail) + text_width(from_start) > cells - 1:
            break
        head += from_start
        if text_width(head) + text_width(tail) + text_width(from_end) > cells - 1:
            break
        tail = from_end + tail
    return f"{head}…{tail}"


def text_width(text: str) -> int:
    """How many character cells a text takes; wide characters take two."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
