"""Checks Quartz cron expressions, which Databricks' schedules use.

`seconds minutes hours day-of-month month day-of-week [year]`; one of the two days is `?`.
Source: Quartz, CronExpression.
"""

import re
from dataclasses import dataclass

_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    special: re.Pattern[str] = re.compile(r"(?!)")

    def number(self, text: str) -> int | None:
        if text.upper() in self.names:
            return self.names.index(text.upper()) + self.low
        return int(text) if text.isdigit() else None


_FIELDS = (
    _Field("seconds", 0, 59),
    _Field("minutes", 0, 59),
    _Field("hours", 0, 23),
    _Field("day of month", 1, 31, special=re.compile(r"\?|LW?|L-([1-9]|[12]\d|30)|([1-9]|[12]\d|3[01])W")),
    _Field("month", 1, 12, tuple(_MONTHS)),
    _Field("day of week", 1, 7, tuple(_DAYS), special=re.compile(rf"\?|L|([1-7]|{'|'.join(_DAYS)})(L|#[1-5])", re.I)),
    _Field("year", 1970, 2099),
)


def fault(expression: str) -> str | None:
    """What is wrong with the expression, or None where Quartz accepts it."""
    parts = expression.split()
    if len(parts) not in (6, 7):
        hint = " Seconds come first." if len(parts) == 5 else ""
        return f"a Quartz expression has 6 or 7 fields, this one has {len(parts)}.{hint}"
    for field, part in zip(_FIELDS, parts, strict=False):
        for item in part.split(","):
            if (item_fault := _item_fault(field, item)) is not None:
                return f"{field.name}: {item_fault}"
    if (parts[3] == "?") == (parts[5] == "?"):
        return "exactly one of day of month and day of week is '?'."
    return None


def _item_fault(field: _Field, item: str) -> str | None:
    if field.special.fullmatch(item):
        return None
    base, slash, step = item.partition("/")
    if slash and not (step.isdigit() and 0 < int(step) <= field.high):
        return f"the step of '{item}' is not between 1 and {field.high}."
    if base == "*":
        return None
    ends = [field.number(end) for end in base.split("-")]
    if len(ends) > 2 or any(end is None or not field.low <= end <= field.high for end in ends):
        return f"'{item}' is not between {field.low} and {field.high}."
    return None
