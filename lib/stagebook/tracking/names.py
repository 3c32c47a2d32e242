"""Names and texts as MLflow accepts them: each name of a user has exactly one name there, and it can be read back.

What MLflow refuses is written as `:hex:`, the character's number between two colons: `x%` is `x:25:`, `a//b` is
`a/:2f:b`. A name that differs from an earlier one only in case, or that the kit uses itself, ends in `::`. A name that
would be too long is cut and ends in `:h`, 20 digits of its SHA-256 and `:`.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

_CUT_AT, _LONGEST = 190, 220  # leaves room for the hash, for `::`, and for a prefix
_ACCEPTED = re.compile(r"[\w. /-]")


def encoded(name: str) -> str:
    """The name as MLflow accepts it; different names give different results.

    Example:
        >>> encoded("loss@50%"), encoded("../up"), encoded("roc_auc")
        ('loss:40:50:25:', ':2e:./up', 'roc_auc')
    """
    text = "".join(_character(name, index) for index in range(len(name))) or "::"
    if len(text) <= _LONGEST:
        return text
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:20]
    return f"{text[:_CUT_AT].rstrip(' /.')}:h{digest}:"


def _character(name: str, index: int) -> str:
    character = name[index]
    if _ACCEPTED.fullmatch(character) and not _changes_the_path(name, index):
        return character
    return f":{ord(character):x}:"


def _changes_the_path(name: str, index: int) -> bool:
    """Whether a name with this character here is another one when it is read as a path, or begins outside of it."""
    is_end = index in (0, len(name) - 1)
    match name[index]:
        case "/":
            return is_end or name[index - 1] == "/"
        case ".":
            start, end = name.rfind("/", 0, index) + 1, name.find("/", index)
            segment = name[start:] if end < 0 else name[start:end]
            return index == start and (segment in (".", "..") or (start == 0 and name.startswith("..")))
        case character:
            return is_end and character == " "


class NameTable:
    """The names of one kind in one MLflow run. The first of two names that differ only in case keeps its own.

    Args:
        own: the names that the kit uses itself.
    """

    def __init__(self, own: Iterable[str] = ()) -> None:
        self._taken = {name.casefold() for name in own}
        self._names: dict[str, str] = {}

    def add(self, name: str) -> str:
        """A name of its own in MLflow; a name may be added twice, since `a.b` and `b` in `a` are written alike."""
        unique = encoded(name)
        while unique.casefold() in self._taken:
            unique += "::"
        self._taken.add(unique.casefold())
        self._names[unique] = name
        return unique

    @property
    def renamed(self) -> Mapping[str, str]:
        """Name in MLflow → the name, where they differ."""
        return {unique: name for unique, name in self._names.items() if unique != name}


def accepted_text(text: str, limit: int) -> str:
    """The text without what databases refuse (NUL, halves of characters), and cut with a note if it is too long."""
    text = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    if len(text) <= limit:
        return text
    marker = f"… (cut, {len(text):,} characters)"
    return text[: limit - len(marker)] + marker
