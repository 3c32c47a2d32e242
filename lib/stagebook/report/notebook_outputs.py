"""Outputs of a notebook on its page: the richest form of each that is safe, and of very many what matters.

What is printed in pieces is one output again. Errors, scraps and figures come before text, and of text its end before
its middle; whatever is left out is counted in its place.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import Markup

from stagebook import formatting
from stagebook.report import sanitize
from stagebook.report.terminal_text import bounded, overwritten, render_terminal, size_on_page

if TYPE_CHECKING:
    from nbformat import NotebookNode

MAX_TEXT = 100_000
"""Size on the page of one text: an output, a source, or a Markdown cell."""

MAX_HTML = 250_000
"""Characters of one HTML output; of a longer one its text is shown."""

HTML_ENDS = 100_000, 300_000
"""Of a longer HTML output so much of its beginning and its end is looked at."""

FIRST_OUTPUTS, LAST_OUTPUTS = 50, 150
"""Of a cell's very many outputs so many are shown; errors, scraps and figures are counted by themselves."""

IMAGES = ("image/png", "image/jpeg", "image/svg+xml")
SKLEARN_DIAGRAM = "sk-top-container"
"""scikit-learn's diagram of an estimator, which is unreadable without its own styles; its text is shown instead."""

SCRAP_MIME_PREFIX = "application/scrapbook.scrap."
FIRST_CLASS = ("error", "scrap", "image")

Kind = Literal["text", "stderr", "error", "html", "image", "scrap", "note"]


@dataclass(frozen=True)
class RenderedOutput:
    """One output with its clean HTML; the note says what of it is not on the page."""

    kind: Kind
    html: Markup
    note: str = ""


@dataclass(frozen=True)
class PreparedOutput:
    """One output before it is bounded. Of text, `text` is shown, of all others the `html`."""

    kind: Kind
    text: str = ""
    html: Markup = field(default_factory=Markup)
    note: str = ""

    @property
    def size(self) -> int:
        """Its size on the page, but for images."""
        return 0 if self.kind == "image" else size_on_page(self.text) if self.text else len(self.html)

    def rendered(self, limit: int) -> RenderedOutput:
        """The output, as far as its size is within the limit."""
        if self.text:
            return RenderedOutput(self.kind, render_terminal(bounded(self.text, min(limit, MAX_TEXT))), self.note)
        if self.kind == "html" and len(self.html) > limit:
            return _as_text(self.html, len(self.html)).rendered(limit)
        return RenderedOutput(self.kind, self.html, self.note)


def prepare_outputs(outputs: "Iterable[NotebookNode]") -> list[PreparedOutput]:
    """The outputs of a cell that are on its page."""
    prepared = [_prepared(output) for output in joined_streams(outputs)]
    important = [index for index, output in enumerate(prepared) if output.kind in FIRST_CLASS]
    others = [index for index, output in enumerate(prepared) if output.kind not in FIRST_CLASS]
    return list(_with_gaps(prepared, {*_both_ends(important), *_both_ends(others)}))


def joined_streams(outputs: "Iterable[NotebookNode]") -> "Iterator[NotebookNode]":
    """The outputs, with adjacent text of the same stream as one."""
    name, pieces = "", list[str]()
    for output in outputs:
        is_stream = output.output_type == "stream"
        if pieces and not (is_stream and output.get("name", "stdout") == name):
            yield _stream(name, pieces)
            pieces = []
        if is_stream:
            name = output.get("name", "stdout")
            pieces.append(_text(output.text))
        else:
            yield output
    if pieces:
        yield _stream(name, pieces)


def _stream(name: str, pieces: Sequence[str]) -> "NotebookNode":
    from nbformat.v4 import new_output

    return new_output("stream", name=name, text="".join(pieces))


def _both_ends(indices: list[int]) -> list[int]:
    return (
        indices if len(indices) <= FIRST_OUTPUTS + LAST_OUTPUTS else indices[:FIRST_OUTPUTS] + indices[-LAST_OUTPUTS:]
    )


def _with_gaps(prepared: Sequence[PreparedOutput], chosen: set[int]) -> Iterator[PreparedOutput]:
    """The chosen outputs, and in place of each run of others a note that counts them."""
    left_out = 0
    for index, output in enumerate(prepared):
        if index not in chosen:
            left_out += 1
            continue
        if left_out:
            yield _gap(left_out)
            left_out = 0
        yield output
    if left_out:
        yield _gap(left_out)


def _gap(number: int) -> PreparedOutput:
    verb = "is" if number == 1 else "are"
    return PreparedOutput("note", note=f"{formatting.counted(number, 'output')} left out here {verb} in the .ipynb.")


def _prepared(output: "NotebookNode") -> PreparedOutput:
    match output.output_type:
        case "stream":
            return PreparedOutput("stderr" if output.name == "stderr" else "text", overwritten(output.text) or "\n")
        case "error":
            return PreparedOutput("error", "\n".join(output.traceback) or f"{output.ename}: {output.evalue}")
        case _:
            return _display(output.get("data", {}))


def _display(data: Mapping[str, Any]) -> PreparedOutput:
    """The richest format that is safe to show: an image, HTML that is not empty once cleaned, Markdown, plain text."""
    for media, payload in data.items():
        if media.startswith(SCRAP_MIME_PREFIX) and isinstance(payload, Mapping):
            value = formatting.format_value(payload.get("data"), 400)
            name = formatting.printable(formatting.shorten(payload.get("name"), 200).text)
            line = Markup("<b>{}</b> = {}").format(name, formatting.printable(value.text))
            return PreparedOutput(
                "scrap", html=line, note=f"{value.note}; the rest is in the .ipynb." if value.note else ""
            )
    for media in IMAGES:
        if media in data and (image := sanitize.image(media, _text(data[media]))):
            return PreparedOutput("image", html=image)
    html, note = _text(data.get("text/html", "")), ""
    if html and SKLEARN_DIAGRAM not in html:
        note = not_shown(html)
        cleaned = sanitize.fragment(html if len(html) <= MAX_HTML else _both_ends_of(html))
        if "<img src" in cleaned or cleaned.striptags():
            is_whole = len(html) <= MAX_HTML
            return PreparedOutput("html", html=cleaned, note=note) if is_whole else _as_text(cleaned, len(html))
    if markdown := _text(data.get("text/markdown", "")):
        return PreparedOutput("html", html=render_markdown(bounded(markdown, MAX_TEXT // 2), {}), note=note)
    for media in ("text/plain", "text/latex", "application/json"):
        if text := _text(data.get(media, "")):
            return PreparedOutput("text", overwritten(text), note=note)
    if note:
        return PreparedOutput("note", note=note)
    formats = formatting.shorten(", ".join(sorted(map(str, data))) or "nothing", 200).text
    return PreparedOutput("note", note=f"An output that only Jupyter can show: {formats}.")


def not_shown(html: str) -> str:
    """A sentence that names what of an author's HTML the page cannot show; empty if it shows all."""
    names = sanitize.removed(html)
    return f"Not shown here, but in Jupyter: {', '.join(names)}." if names else ""


def _as_text(html: Markup, size: int) -> PreparedOutput:
    """The text of clean HTML, in place of an output of `size` characters that is too large for the page."""
    note = f"The text of an HTML output of {formatting.count(size)} characters, which is in the .ipynb."
    return PreparedOutput("text", sanitize.text(html) or "\n", note=note)


def _both_ends_of(html: str) -> str:
    first, last = HTML_ENDS
    return f"{html[:first].rpartition('<')[0]}<p>…</p><{html[-last:].partition('<')[2]}"


def render_markdown(source: str, attachments: Mapping[str, Any]) -> Markup:
    """Markdown as nbconvert renders it, cleaned. Images that are not in the notebook are left out."""
    return sanitize.fragment(markdown_html(source, attachments))


def markdown_html(source: str, attachments: Mapping[str, Any]) -> str:
    """Markdown as nbconvert renders it: HTML of its author, which nobody has cleaned."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    attached = {name: dict(formats) for name, formats in attachments.items()}
    renderer = IPythonRenderer(escape=False, attachments=attached)
    return MarkdownWithMath(renderer=renderer).render(source)


def _text(payload: Any) -> str:
    """Notebook text, which may come as a list of lines."""
    if isinstance(payload, list):
        return "".join(map(str, payload))
    return payload if isinstance(payload, str) else formatting.format_value(payload, MAX_TEXT).text
