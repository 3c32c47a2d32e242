"""Text of a notebook as a terminal shows it: overwritten lines, sixteen colours, and of a long one its two ends."""

import re
from collections.abc import Iterable, Sequence

from markupsafe import Markup

from stagebook import formatting
from stagebook.report import sanitize

REWRITABLE = 1_000_000
"""Characters of a text whose progress bars are followed: of a longer one its two ends."""

_MOVES = re.compile(r"(\r|\n|\x08|\x1b\[\d*A|\x1b\[[012]?K)")
_CELLS = re.compile(r"(?:\x1b\[[\d;]*m)*[^\x1b]|(?:\x1b\[[\d;]*m)+|\x1b")
"""What takes one place in a line: a character with the colours that begin before it."""

_ESCAPE = "\x1b"
_NO_COLOUR = "\x1b[0m"
_EXTENDED_COLOUR = re.compile(r"(?<=[\[;])([34])8;(?:5;(\d{1,3})|2;(\d{1,3});(\d{1,3});(\d{1,3}))(?=[;m])")


def render_terminal(text: str) -> Markup:
    """Text with its terminal colours, reduced to the sixteen for which both themes have a style."""
    from nbconvert.filters.ansi import ansi2html

    return sanitize.terminal(ansi2html(_EXTENDED_COLOUR.sub(_basic_colour, text)))


def overwritten(text: str) -> str:
    """The text after its carriage returns, backspaces and moves upwards, by which a progress bar writes over itself."""
    text = text.replace("\r\n", "\n")
    if not any(mark in text for mark in ("\r", "\x08", "\x1b[")):
        return text
    lines, row, column = [list[str]()], 0, 0
    for piece in _MOVES.split(bounded(text, REWRITABLE)):
        line = lines[row]
        if not _MOVES.fullmatch(piece):
            cells, column = _CELLS.findall(piece), min(column, len(line))
            line[column : column + len(cells)] = cells
            column += len(cells)
        elif piece == "\r":
            column = 0
        elif piece == "\n":
            row, column = row + 1, 0
            if row == len(lines):
                lines.append([])
        elif piece == "\x08":
            column = max(0, column - 1)
        elif piece.endswith("A"):
            row = max(0, row - int(piece[2:-1] or 1))
        else:
            del line[0 if piece == "\x1b[2K" else column :]
    return "\n".join(map("".join, lines))


def size_on_page(text: str) -> int:
    """About how many characters of HTML a text becomes."""
    return len(text) + 4 * sum(map(text.count, "<>&\"'")) + 45 * text.count("\x1b[")


def fair_limit(sizes: Sequence[int], total: int) -> int:
    """The most that each may have, so that all have `total` together and only the largest are cut."""
    remaining = total
    for done, size in enumerate(sorted(sizes)):
        share = remaining // (len(sizes) - done)
        if size > share:
            return share
        remaining -= size
    return total


def bounded(text: str, limit: int) -> str:
    """The beginning and, three times as long, the end of a text whose size on the page exceeds the limit."""
    size = size_on_page(text)
    if size <= limit:
        return text
    kept = limit * len(text) // size
    while True:
        head, tail = text[: kept // 4], text[len(text) - (kept - kept // 4) :]
        size = size_on_page(head) + size_on_page(tail)
        if size <= limit or kept == 0:
            break
        kept = min(kept - 1, kept * limit // size)
    head = head[: head.rfind("\n") + 1] or head
    tail = tail[tail.find("\n") + 1 :] or tail
    left_out = formatting.count(len(text) - len(head) - len(tail))
    note = f"… {left_out} characters left out: all of it is in the .ipynb …"
    if head and not head.endswith("\n"):
        head += "\n"
    return f"{head}{_NO_COLOUR if _ESCAPE in head else ''}{note}\n{tail}"


def _basic_colour(match: re.Match[str]) -> str:
    """The ANSI code of the basic colour that is nearest to one of 256 or of 16 million colours."""
    if match[2]:
        index = int(match[2])
        if index < 16:
            return str((30 if index < 8 else 82) + index + (10 if match[1] == "4" else 0))
        red, green, blue = _palette_colour(index)
    else:
        red, green, blue = (int(channel) for channel in (match[3], match[4], match[5]))
    high, low = max(red, green, blue), min(red, green, blue)
    if high - low < 48:
        return {"3": "90" if high > 64 else "39", "4": "49"}[match[1]]
    middle = (high + low) / 2
    base = sum(bit for bit, channel in ((1, red), (2, green), (4, blue)) if channel > middle)
    return str((30 if match[1] == "3" else 40) + base)


def _palette_colour(index: int) -> Iterable[int]:
    """Red, green and blue of a colour of the 256-colour palette, from index 16 on."""
    if index >= 232:
        return ((index - 232) * 10 + 8,) * 3
    steps = (0, 95, 135, 175, 215, 255)
    offset = min(index, 231) - 16
    return steps[offset // 36], steps[offset // 6 % 6], steps[offset % 6]
