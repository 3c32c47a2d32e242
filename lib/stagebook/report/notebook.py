"""The page of an executed notebook: readable without Jupyter, without scripts and without the network.

nbconvert renders Markdown, highlights code and colours tracebacks. Each fragment is cleaned with an allow-list before
it is put on the page, and a Content-Security-Policy is the second barrier.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import Markup, escape

from stagebook import formatting
from stagebook.report import sanitize
from stagebook.report.page_templates import template_environment

if TYPE_CHECKING:
    from nbformat import NotebookNode

MAX_TEXT = 100_000
"""Characters shown of one output or one source; the remaining text is in the .ipynb."""

MAX_HTML = 2_000_000
MAX_OUTPUTS = 200

IMAGES = ("image/png", "image/jpeg", "image/svg+xml")
SKLEARN_DIAGRAM = "sk-top-container"
"""scikit-learn's diagram of an estimator, which is unreadable without its own styles; its text is shown instead."""

SCRAP_MIME_PREFIX = "application/scrapbook.scrap."

State = Literal["", "failed", "not run"]

_ANCHOR = re.compile(r'<a class="anchor-link"[^>]*>.*?</a>')
_HEADING = re.compile(r"<h([1-3])[^>]*>(.*?)</h\1>", re.DOTALL)
_EXTENDED_COLOUR = re.compile(r"(?<=[\[;])([34])8;(?:5;(\d{1,3})|2;(\d{1,3});(\d{1,3});(\d{1,3}))(?=[;m])")


@dataclass(frozen=True)
class RenderedOutput:
    """One output: a kind (`text`, `stderr`, `error`, `html`, `image`, `scrap`, `note`) and its clean HTML."""

    kind: str
    html: Markup
    note: str = ""


@dataclass(frozen=True)
class RenderedCell:
    """One cell. `number` counts the code cells that run, from 1, as errors and progress do."""

    anchor: str
    kind: Literal["code", "markdown", "raw"]
    html: Markup
    number: int | None = None
    state: State = ""
    seconds: float | None = None
    tags: tuple[str, ...] = ()
    outputs: tuple[RenderedOutput, ...] = ()
    headings: tuple[tuple[int, str], ...] = ()


def notebook_html(notebook: "NotebookNode", *, title: str, back: str | None) -> str:
    """The page of one executed notebook. The first failed cell has the id `failed`.

    Args:
        back: path of the run report relative to this page; None leaves the link out.
    """
    cells = render_cells(notebook)
    failed = next((cell for cell in cells if cell.state == "failed"), None)
    return (
        template_environment()
        .get_template("notebook.html.j2")
        .render(
            title=title,
            back=formatting.href(back) if back else None,
            cells=cells,
            failed=failed,
            index=[(cell.anchor, level, text) for cell in cells for level, text in cell.headings if text],
            seconds=notebook.metadata.get("papermill", {}).get("duration"),
            not_run=sum(cell.state == "not run" for cell in cells),
        )
    )


def render_cells(notebook: "NotebookNode") -> list[RenderedCell]:
    """Every cell of the notebook, in order."""
    lexer = _lexer_name(notebook)
    rendered: list[RenderedCell] = []
    code_cells = 0
    for position, cell in enumerate(notebook.cells, start=1):
        anchor = f"cell-{position}"
        match cell.cell_type:
            case "markdown":
                html = render_markdown(str(cell.source), cell.get("attachments", {}))
                rendered.append(RenderedCell(anchor, "markdown", html, headings=_headings(html)))
            case "code":
                runs = bool(str(cell.source).strip())
                code_cells += runs
                rendered.append(_code_cell(cell, anchor, code_cells if runs else None, lexer))
            case _:
                text = formatting.printable(formatting.shorten(cell.source, MAX_TEXT).text)
                rendered.append(RenderedCell(anchor, "raw", escape(text)))
    return rendered


def _headings(html: Markup) -> tuple[tuple[int, str], ...]:
    return tuple((int(level), sanitize.text(text).strip()) for level, text in _HEADING.findall(html))


def _lexer_name(notebook: "NotebookNode") -> str:
    """The notebook's pygments lexer; `text` if pygments does not have it."""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    name = str(notebook.metadata.get("language_info", {}).get("pygments_lexer") or "ipython3")
    try:
        get_lexer_by_name(name)
    except ClassNotFound:
        return "text"
    return name


def render_markdown(source: str, attachments: Mapping[str, Any]) -> Markup:
    """Markdown as nbconvert renders it, cleaned. Images that are not in the notebook are left out."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    attached = {name: dict(formats) for name, formats in attachments.items()}
    renderer = IPythonRenderer(escape=False, attachments=attached)
    html = MarkdownWithMath(renderer=renderer).render(formatting.shorten(source, MAX_TEXT).text)
    return sanitize.fragment(_ANCHOR.sub("", html))


def render_terminal(text: str) -> Markup:
    """Text with its terminal colours, reduced to the sixteen for which both themes have a style."""
    from nbconvert.filters.ansi import ansi2html

    # a progress bar writes over its own line
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return sanitize.terminal(ansi2html(_EXTENDED_COLOUR.sub(_basic_colour, "\n".join(lines))))


def _code_cell(cell: "NotebookNode", anchor: str, number: int | None, lexer: str) -> RenderedCell:
    from nbconvert.filters.highlight import Highlight2HTML

    execution = cell.metadata.get("papermill", {})
    outputs = [_output(output) for output in cell.outputs[:MAX_OUTPUTS]]
    if len(cell.outputs) > MAX_OUTPUTS:
        left_out = formatting.count(len(cell.outputs) - MAX_OUTPUTS)
        outputs.append(RenderedOutput("note", Markup(), f"{left_out} more outputs are in the .ipynb"))
    state: State = ""
    if execution.get("exception") or any(output.kind == "error" for output in outputs):
        state = "failed"
    elif number is not None and execution.get("status") in ("pending", "running"):
        state = "not run"
    source = formatting.shorten(cell.source, MAX_TEXT).text
    return RenderedCell(
        anchor=anchor,
        kind="code",
        html=sanitize.code(Highlight2HTML(pygments_lexer=lexer)(source)),
        number=number,
        state=state,
        seconds=execution.get("duration"),
        tags=tuple(str(tag) for tag in cell.metadata.get("tags", ())),
        outputs=tuple(outputs),
    )


def _output(output: "NotebookNode") -> RenderedOutput:
    match output.output_type:
        case "stream":
            short = formatting.shorten(output.text, MAX_TEXT)
            return RenderedOutput(
                "stderr" if output.name == "stderr" else "text", render_terminal(short.text), short.note
            )
        case "error":
            traceback = "\n".join(output.traceback) or f"{output.ename}: {output.evalue}"
            short = formatting.shorten(traceback, MAX_TEXT)
            return RenderedOutput("error", render_terminal(short.text), short.note)
        case _:
            return _display(output.get("data", {}))


def _display(data: Mapping[str, Any]) -> RenderedOutput:
    """The richest format that is safe to show: an image, HTML that is not empty once cleaned, Markdown, plain text."""
    for media, payload in data.items():
        if media.startswith(SCRAP_MIME_PREFIX) and isinstance(payload, Mapping):
            value = formatting.format_value(payload.get("data"), 400)
            name = formatting.printable(payload.get("name"))
            line = Markup("<b>{}</b> = {}").format(name, formatting.printable(value.text))
            return RenderedOutput("scrap", line, value.note)
    for media in IMAGES:
        if media in data and (image := sanitize.image(media, _text(data[media]))):
            return RenderedOutput("image", image)
    html = _text(data.get("text/html", ""))
    if html and len(html) <= MAX_HTML and SKLEARN_DIAGRAM not in html:
        cleaned = sanitize.fragment(html)
        if "<img" in cleaned or sanitize.text(cleaned).strip():
            return RenderedOutput("html", cleaned)
    if "text/markdown" in data:
        return RenderedOutput("html", render_markdown(_text(data["text/markdown"]), {}))
    for media in ("text/plain", "text/latex", "application/json"):
        if media in data:
            short = formatting.shorten(_text(data[media]), MAX_TEXT)
            return RenderedOutput("text", render_terminal(short.text), short.note)
    formats = ", ".join(sorted(str(media) for media in data)) or "nothing"
    note = f"an output that only Jupyter can show: {formatting.shorten(formats, 200).text}"
    return RenderedOutput("note", Markup(), note)


def _text(payload: Any) -> str:
    """Notebook text, which may come as a list of lines."""
    if isinstance(payload, list):
        return "".join(map(str, payload))
    return payload if isinstance(payload, str) else formatting.format_value(payload, MAX_TEXT).text


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
