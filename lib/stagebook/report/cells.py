"""The cells of an executed notebook as HTML; of each output the richest form that can be shown safely."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import Markup, escape

from stagebook.report import clean, words

if TYPE_CHECKING:
    from nbformat import NotebookNode

MAX_TEXT = 100_000
"""Characters shown of one output or one source; the rest is in the .ipynb."""

MAX_HTML = 2_000_000
MAX_OUTPUTS = 200

IMAGES = ("image/png", "image/jpeg", "image/svg+xml")
NEEDS_ITS_STYLES = "sk-top-container"  # scikit-learn's picture of an estimator; its text says the same
SCRAP = "application/scrapbook.scrap."

State = Literal["", "failed", "not run"]

_ANCHOR = re.compile(r'<a class="anchor-link"[^>]*>.*?</a>')
_HEADING = re.compile(r"<h([1-3])[^>]*>(.*?)</h\1>", re.DOTALL)
_COLOUR = re.compile(r"(?<=[\[;])([34])8;(?:5;(\d{1,3})|2;(\d{1,3});(\d{1,3});(\d{1,3}))(?=[;m])")


@dataclass(frozen=True)
class Output:
    """One output: a kind (`text`, `stderr`, `error`, `html`, `image`, `note`) and its clean HTML."""

    kind: str
    html: Markup
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell. `number` counts the code cells that run, from 1, as errors and progress do."""

    anchor: str
    kind: Literal["code", "markdown", "raw"]
    html: Markup
    number: int | None = None
    state: State = ""
    seconds: float | None = None
    tags: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    headings: tuple[tuple[int, str], ...] = ()


def cells(nb: "NotebookNode") -> list[Cell]:
    """Every cell of the notebook, in order."""
    language = _language(nb)
    made: list[Cell] = []
    number = 0
    for place, cell in enumerate(nb.cells, start=1):
        anchor = f"cell-{place}"
        match cell.cell_type:
            case "markdown":
                html = markdown(str(cell.source), cell.get("attachments", {}))
                made.append(Cell(anchor, "markdown", html, headings=_headings(html)))
            case "code":
                runs = bool(str(cell.source).strip())
                number += runs
                made.append(_code_cell(cell, anchor, number if runs else None, language))
            case _:
                text = words.printable(words.cut(cell.source, MAX_TEXT).text)
                made.append(Cell(anchor, "raw", escape(text)))
    return made


def _headings(html: Markup) -> tuple[tuple[int, str], ...]:
    return tuple((int(level), clean.text(text).strip()) for level, text in _HEADING.findall(html))


def _language(nb: "NotebookNode") -> str:
    """The name of the notebook's lexer, where pygments has it."""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    name = str(nb.metadata.get("language_info", {}).get("pygments_lexer") or "ipython3")
    try:
        get_lexer_by_name(name)
    except ClassNotFound:
        return "text"
    return name


def markdown(source: str, attachments: Mapping[str, Any]) -> Markup:
    """Markdown as nbconvert renders it, cleaned. Images that are not in the notebook are left out."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    attached = {name: dict(forms) for name, forms in attachments.items()}
    renderer = IPythonRenderer(escape=False, attachments=attached)
    rendered = MarkdownWithMath(renderer=renderer).render(words.cut(source, MAX_TEXT).text)
    return clean.fragment(_ANCHOR.sub("", rendered))


def terminal(text: str) -> Markup:
    """Text with its terminal colours, reduced to the sixteen that both themes have."""
    from nbconvert.filters.ansi import ansi2html

    # a progress bar writes over its own line
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return clean.terminal(ansi2html(_COLOUR.sub(_basic_colour, "\n".join(lines))))


def _code_cell(cell: "NotebookNode", anchor: str, number: int | None, language: str) -> Cell:
    from nbconvert.filters.highlight import Highlight2HTML

    execution = cell.metadata.get("papermill", {})
    outputs = [_output(output) for output in cell.outputs[:MAX_OUTPUTS]]
    if len(cell.outputs) > MAX_OUTPUTS:
        left_out = words.count(len(cell.outputs) - MAX_OUTPUTS)
        outputs.append(Output("note", Markup(), f"{left_out} more outputs are in the .ipynb"))
    state: State = ""
    if execution.get("exception") or any(output.kind == "error" for output in outputs):
        state = "failed"
    elif number is not None and execution.get("status") in ("pending", "running"):
        state = "not run"
    source = words.cut(cell.source, MAX_TEXT).text
    return Cell(
        anchor=anchor,
        kind="code",
        html=clean.code(Highlight2HTML(pygments_lexer=language)(source)),
        number=number,
        state=state,
        seconds=execution.get("duration"),
        tags=tuple(str(tag) for tag in cell.metadata.get("tags", ())),
        outputs=tuple(outputs),
    )


def _output(output: "NotebookNode") -> Output:
    match output.output_type:
        case "stream":
            seen = words.cut(output.text, MAX_TEXT)
            return Output("stderr" if output.name == "stderr" else "text", terminal(seen.text), seen.note)
        case "error":
            trace = "\n".join(output.traceback) or f"{output.ename}: {output.evalue}"
            seen = words.cut(trace, MAX_TEXT)
            return Output("error", terminal(seen.text), seen.note)
        case _:
            return _display(output.get("data", {}))


def _display(data: Mapping[str, Any]) -> Output:
    """The richest form that can be shown: an image, HTML with something left in it, Markdown, plain text."""
    for media, payload in data.items():
        if media.startswith(SCRAP) and isinstance(payload, Mapping):
            seen = words.shown(payload.get("data"), 400)
            name = words.printable(payload.get("name"))
            line = Markup("<b>{}</b> = {}").format(name, words.printable(seen.text))
            return Output("scrap", line, seen.note)
    for media in IMAGES:
        if media in data and (picture := clean.image(media, _text(data[media]))):
            return Output("image", picture)
    html = _text(data.get("text/html", ""))
    if html and len(html) <= MAX_HTML and NEEDS_ITS_STYLES not in html:
        cleaned = clean.fragment(html)
        if "<img" in cleaned or clean.text(cleaned).strip():
            return Output("html", cleaned)
    if "text/markdown" in data:
        return Output("html", markdown(_text(data["text/markdown"]), {}))
    for media in ("text/plain", "text/latex", "application/json"):
        if media in data:
            seen = words.cut(_text(data[media]), MAX_TEXT)
            return Output("text", terminal(seen.text), seen.note)
    kinds = ", ".join(sorted(str(media) for media in data)) or "nothing"
    return Output("note", Markup(), f"an output that only Jupyter can show: {words.cut(kinds, 200).text}")


def _text(payload: Any) -> str:
    """Notebook text, which may come as a list of lines."""
    if isinstance(payload, list):
        return "".join(map(str, payload))
    return payload if isinstance(payload, str) else words.shown(payload, MAX_TEXT).text


def _basic_colour(found: re.Match[str]) -> str:
    """One of 256 or 16 million colours as the nearest of the sixteen, as an ANSI code."""
    if found[2]:
        index = int(found[2])
        if index < 16:
            return str((30 if index < 8 else 82) + index + (10 if found[1] == "4" else 0))
        red, green, blue = _cube(index)
    else:
        red, green, blue = (int(part) for part in (found[3], found[4], found[5]))
    high, low = max(red, green, blue), min(red, green, blue)
    if high - low < 48:
        return {"3": "90" if high > 64 else "39", "4": "49"}[found[1]]
    middle = (high + low) / 2
    base = sum(bit for bit, part in ((1, red), (2, green), (4, blue)) if part > middle)
    return str((30 if found[1] == "3" else 40) + base)


def _cube(index: int) -> Iterable[int]:
    if index >= 232:
        return ((index - 232) * 10 + 8,) * 3
    steps = (0, 95, 135, 175, 215, 255)
    place = min(index, 231) - 16
    return steps[place // 36], steps[place // 6 % 6], steps[place % 6]
