"""Values as JSON can hold them: numbers of any library, dates, paths, enums and sets, or the reason why not.

It imports nothing of the kit, since kernels of other environments run its source (`executor.kernels.scrap_hook`).
"""

import datetime
import decimal
import enum
import json
import math
import numbers
import os
from typing import Any

MAX_DEPTH = 100


class NotPlain(Exception):
    """A value that JSON cannot hold without changing it. `place` is where in the whole it is, such as `['a'][0]`."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place, self.reason = place, reason

    def __str__(self) -> str:
        return f"{self.reason} at {self.place}" if self.place else self.reason


def plain(value: Any, place: str = "", depth: int = 0) -> Any:
    """The value of Python's own JSON types; NaN and infinities stay as they are.

    Scalars of NumPy and pandas become numbers, dates texts in ISO 8601, paths texts, enums their values, tuples lists,
    and sets sorted lists.

    Raises:
        NotPlain: with the place, for all that would come back as something else.
    """
    if depth > MAX_DEPTH:
        raise NotPlain("", f"has more than {MAX_DEPTH} levels, or contains itself")
    match _numpy_kind(value):
        case "M":
            return _moment_text(str(value), place)
        case "m":
            raise NotPlain(place, f"is a {type(value).__name__}")
    match value:
        case None | bool():
            return value
        case enum.Enum():
            return plain(value.value, place, depth + 1)
        case str():
            return _text(value, place)
        case numbers.Integral():
            return int(value)
        case decimal.Decimal():
            return _decimal(value, place)
        case numbers.Real() if not isinstance(value, numbers.Rational):
            return float(value)
        case datetime.date() | datetime.time():
            return _moment(value, place)
        case os.PathLike():
            return _text(os.fspath(value), place)
        case dict():
            return _mapping(value, place, depth)
        case list() | tuple():
            return [plain(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value)]
        case set() | frozenset():
            items = [plain(item, f"{place}{{…}}", depth + 1) for item in value]
            return _sorted(items)
    return _scalar(value, place, depth)


def _sorted(items: list[Any]) -> list[Any]:
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=repr)


def _scalar(value: Any, place: str, depth: int) -> Any:
    """The value of a library's scalar, or of its array without dimensions, by its method `item`."""
    if getattr(value, "ndim", None) != 0 or not callable(getattr(value, "item", None)):
        raise NotPlain(place, f"is a {type(value).__name__}")
    item = value.item()
    if type(item) is type(value):
        raise NotPlain(place, f"is a {type(value).__name__}")
    return plain(item, place, depth + 1)


def _numpy_kind(value: Any) -> str:
    """NumPy's letter for the kind of a scalar, or of an array without dimensions; empty for all else."""
    return str(getattr(getattr(value, "dtype", None), "kind", "")) if getattr(value, "ndim", None) == 0 else ""


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise NotPlain(place, f"is {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise NotPlain(place, "is not Unicode text") from None
    return str(value)


def _decimal(value: decimal.Decimal, place: str) -> float | int:
    """The number, if a float or an integer holds all of its digits."""
    if value.is_finite() and value == value.to_integral_value() and abs(value) < 10**30:
        return int(value)
    number = float(value)
    if value.is_finite() and not (math.isfinite(number) and decimal.Decimal(repr(number)) == value):
        raise NotPlain(place, f"is the Decimal {value}, which a float cannot hold exactly")
    return number


def _moment(value: Any, place: str) -> str:
    return _moment_text(value.isoformat(), place)


def _moment_text(text: str, place: str) -> str:
    if text == "NaT":
        raise NotPlain(place, "is NaT, no time")
    return text


def _mapping(value: dict[Any, Any], place: str, depth: int) -> dict[str, Any]:
    items: dict[str, Any] = {}
    for key, item in value.items():
        name = _key(key, place, depth)
        if name in items:
            raise NotPlain(place, f"has two keys that are both '{name}' as text")
        items[name] = plain(item, f"{place}[{name!r}]", depth + 1)
    return items


def _key(key: Any, place: str, depth: int) -> str:
    """The key as text, as JSON writes it."""
    value = plain(key, place, depth + 1)
    if isinstance(value, list | dict):
        raise NotPlain(place, f"has the key {key!r}, which is no text")
    return value if isinstance(value, str) else json.dumps(value)


def not_finite(value: Any, path: tuple[Any, ...] = ()) -> list[list[Any]]:
    """The paths, as keys and positions, to the numbers in a plain value that are NaN or infinite."""
    match value:
        case float() if not math.isfinite(value):
            return [list(path)]
        case dict():
            return [found for key, item in value.items() for found in not_finite(item, (*path, key))]
        case list():
            return [found for index, item in enumerate(value) for found in not_finite(item, (*path, index))]
    return []


def replaced(value: Any, paths: list[list[Any]], convert: Any) -> Any:
    """The value with what stands at these paths converted by a function."""
    for path in paths:
        if not path:
            return convert(value)
        key, *remainder = path
        value = value.copy()
        value[key] = replaced(value[key], [remainder], convert)
    return value
