"""The page of an executed notebook: readable without Jupyter, without scripts and without the network.

nbconvert renders Markdown, highlights code and colours tracebacks. Each fragment is cleaned with an allow-list before
it is put on the page, and a Content-Security-Policy is the second barrier.
"""

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from markupsafe import Markup, escape

from stagebook import formatting
from stagebook.model.record import Attempt, AttemptStatus
from stagebook.notebooks.cells import cell_numbers
from stagebook.report import sanitize
from stagebook.report.headline import error_line, message_of
from stagebook.report.notebook_outputs import (
    MAX_TEXT,
    PreparedOutput,
    RenderedOutput,
    markdown_html,
    not_shown,
    prepare_outputs,
)
from stagebook.report.page_templates import template_environment
from stagebook.report.terminal_text import bounded, fair_limit

if TYPE_CHECKING:
    from nbformat import NotebookNode

CELL_SIZE = 400_000
PAGE_SIZE = 1_600_000
"""Characters of text and HTML for the outputs of a cell, and of all cells; images are not counted."""

SOURCES_SIZE = 60_000
"""Characters of sources and Markdown on a page; highlighting makes about seven of one."""

IMAGES_SIZE = 24_000_000

State = Literal["", "failed", "interrupted", "not run", "not finished"]

_ANCHOR = re.compile(r'<a class="anchor-link"[^>]*>.*?</a>')
_HEADING = re.compile(r"<h([1-3])[^>]*>(.*?)</h\1>", re.DOTALL)


@dataclass(frozen=True)
class RenderedCell:
    """One cell. `number` is as its author sees it, in errors and progress; `note` names what is not on the page."""

    anchor: str
    kind: Literal["code", "markdown", "raw"]
    html: Markup
    number: int | None = None
    state: State = ""
    seconds: float | None = None
    tags: tuple[str, ...] = ()
    outputs: tuple[RenderedOutput, ...] = ()
    headings: tuple[tuple[int, str], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class PageEnd:
    """How the notebook ended, at the top of its page; `message` is all of an error that is below no cell."""

    tone: Literal["bad", "warn"]
    icon: str
    text: str
    message: str = ""
    has_cell: bool = False


@dataclass
class _ImageBudget:
    """What images may still be on the page."""

    remaining: int = field(default=IMAGES_SIZE)

    def admitted(self, output: RenderedOutput) -> RenderedOutput:
        if output.kind != "image":
            return output
        self.remaining -= len(output.html)
        if self.remaining >= 0:
            return output
        return RenderedOutput("note", Markup(), f"An image of {formatting.size(len(output.html))} is in the .ipynb.")


def notebook_html(
    notebook: "NotebookNode",
    *,
    title: str,
    back: str | None,
    attempt: Attempt | None = None,
    ended_early: str | None = None,
) -> str:
    """The page of one executed notebook. What failed has the id `failed`.

    Args:
        back: path of the run report relative to this page; None leaves the link out.
        attempt: how the attempt ended that executed it, where that is known.
        ended_early: why the notebook ended before its last cell, where it did so on purpose.
    """
    cells = render_cells(notebook, attempt)
    failed = next((cell for cell in cells if cell.state in ("failed", "interrupted")), None)
    return (
        template_environment()
        .get_template("notebook.html.j2")
        .render(
            title=title,
            back=formatting.href(back) if back else None,
            cells=cells,
            failed=failed,
            end=_page_end(cells, failed, attempt, ended_early),
            index=[(cell.anchor, level, text) for cell in cells for level, text in cell.headings if text],
            seconds=notebook.metadata.get("papermill", {}).get("duration"),
        )
    )


def _page_end(
    cells: list[RenderedCell], failed: RenderedCell | None, attempt: Attempt | None, ended_early: str | None
) -> PageEnd | None:
    """The words at the top; None where all cells ran and none failed."""
    not_run = sum(cell.state == "not run" for cell in cells)
    after = f"{formatting.counted(not_run, 'cell')} did not run" if not_run else ""
    error = attempt.error or {} if attempt is not None and attempt.status is not AttemptStatus.SUCCEEDED else {}
    if ended_early is not None:
        text = "; ".join(filter(None, [f"The stage ended early: {ended_early}", after]))
        return PageEnd("warn", "pause", text)
    if failed is None and not error:
        return PageEnd("warn", "pause", f"{after}.") if after else None
    is_stopped = attempt is not None and attempt.status is AttemptStatus.INTERRUPTED
    words = "Interrupted" if is_stopped else f"{error_line(error)}" if error else "Failed"
    if failed is not None:
        place = f"Cell {failed.number}" if failed.number else "A cell"
        words = (
            f"{place} {'was interrupted' if is_stopped else 'failed'}{f': {words}' if error and not is_stopped else ''}"
        )
    text = "; ".join(filter(None, [words, f"{after} after it" if after and failed is not None else after]))
    message = "" if failed is not None else f"{error.get('type')}: {message_of(error)}"
    return PageEnd(
        "warn" if is_stopped else "bad", "pause" if is_stopped else "cross", text, message, failed is not None
    )


def render_cells(notebook: "NotebookNode", attempt: Attempt | None = None) -> list[RenderedCell]:
    """Every cell of the notebook, in order; long outputs are cut so that the page stays readable."""
    lexer, images = _lexer_name(notebook), _ImageBudget()
    prepared = [prepare_outputs(cell.outputs) if cell.cell_type == "code" else [] for cell in notebook.cells]
    output_limits = [fair_limit([output.size for output in outputs], CELL_SIZE) for outputs in prepared]
    sizes = [
        min(output.size, limit) for outputs, limit in zip(prepared, output_limits, strict=True) for output in outputs
    ]
    page_limit = fair_limit(sizes, PAGE_SIZE)
    source_limit = min(MAX_TEXT, fair_limit([len(cell.source) for cell in notebook.cells], SOURCES_SIZE))
    rendered: list[RenderedCell] = []
    for index, (cell, number) in enumerate(zip(notebook.cells, cell_numbers(notebook), strict=True)):
        source, anchor = bounded(str(cell.source), source_limit), f"cell-{index + 1}"
        match cell.cell_type:
            case "markdown":
                html = _ANCHOR.sub("", markdown_html(source, cell.get("attachments", {})))
                cleaned = sanitize.fragment(html)
                note = not_shown(html)
                rendered.append(RenderedCell(anchor, "markdown", cleaned, headings=_headings(cleaned), note=note))
            case "code":
                limit = min(page_limit, output_limits[index])
                outputs = [images.admitted(output.rendered(limit)) for output in prepared[index]]
                code = RenderedCell(anchor, "code", _highlighted(source, lexer), number)
                rendered.append(_with_end(code, cell, outputs, attempt))
            case _:
                rendered.append(RenderedCell(anchor, "raw", escape(formatting.printable(source))))
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


def _highlighted(source: str, lexer: str) -> Markup:
    from nbconvert.filters.highlight import Highlight2HTML

    return sanitize.code(Highlight2HTML(pygments_lexer=lexer)(source))


def _with_end(
    code: RenderedCell, cell: "NotebookNode", outputs: list[RenderedOutput], attempt: Attempt | None
) -> RenderedCell:
    """A code cell with how it ended, and with why where it failed without showing an error."""
    execution = cell.metadata.get("papermill", {})
    error = attempt.error or {} if attempt is not None and attempt.status is not AttemptStatus.SUCCEEDED else {}
    state: State = ""
    if execution.get("exception") or (code.number is not None and code.number == error.get("cell")):
        state = "interrupted" if error and attempt and attempt.status is AttemptStatus.INTERRUPTED else "failed"
    elif execution.get("status") == "running":
        state = "not finished"
    elif execution.get("status") == "pending" and code.number is not None:
        state = "not run"
    elif "status" not in execution and any(output.kind == "error" for output in outputs):
        state = "failed"
    if state == "failed" and error and not any(output.kind == "error" for output in outputs):
        outputs = [*outputs, PreparedOutput("error", f"{error.get('type')}: {message_of(error)}").rendered(MAX_TEXT)]
    return replace(
        code,
        state=state,
        seconds=execution.get("duration"),
        tags=tuple(str(tag) for tag in cell.metadata.get("tags", ())),
        outputs=tuple(outputs),
    )
