"""An executed notebook as a page: readable without Jupyter, without script, without the network.

nbconvert renders Markdown, highlights code and colours tracebacks; each piece is cleaned by an
allow-list before it enters the page's own frame, and a Content-Security-Policy stands behind that.
"""

from typing import TYPE_CHECKING

from stagebook.report import words
from stagebook.report.page import environment

if TYPE_CHECKING:
    from nbformat import NotebookNode


def notebook_html(nb: "NotebookNode", *, title: str, back: str | None) -> str:
    """The page of one executed notebook. The first failed cell carries the id `failed`.

    Args:
        back: path of the run report relative to this page; None leaves the link out.
    """
    from stagebook.report.cells import cells

    made = cells(nb)
    failed = next((cell for cell in made if cell.state == "failed"), None)
    return (
        environment()
        .get_template("notebook.html.j2")
        .render(
            title=title,
            back=words.href(back) if back else None,
            cells=made,
            failed=failed,
            index=[(cell.anchor, level, text) for cell in made for level, text in cell.headings if text],
            seconds=nb.metadata.get("papermill", {}).get("duration"),
            not_run=sum(cell.state == "not run" for cell in made),
        )
    )
