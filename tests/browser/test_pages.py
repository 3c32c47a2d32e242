"""Report and notebook pages in Chromium: nothing runs, nothing is fetched, nothing overflows."""

import pytest
from fixtures import hostile_notebooks, records

from stagebook.report.notebook import notebook_html
from stagebook.report.page import render

PAGES = {
    "succeeded": lambda: render(records.succeeded(), links={}),
    "failed": lambda: render(records.failed(), links={}, resume_command="stagebook run --resume r1"),
    "refused": lambda: render(records.refused(), links={}),
    "wide": lambda: render(records.wide(), links={}),
    "hostile": lambda: render(records.hostile(), links={}),
    "hostile notebook": lambda: notebook_html(hostile_notebooks.hostile_notebook(), title="t", back="../report.html"),
    "failed notebook": lambda: notebook_html(hostile_notebooks.failed_notebook(), title="t", back=None),
}


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_inert_and_fits(browser, tmp_path, name, scheme):
    path = tmp_path / "page.html"
    path.write_text(PAGES[name](), encoding="utf-8")
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900})
    try:
        page = context.new_page()
        requests, complaints, dialogs = [], [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true })")
        page.wait_for_timeout(200)
        assert page.evaluate("window.__pwned") is None
        assert dialogs == []
        assert [url for url in requests if not url.startswith(("file://", "data:"))] == []
        assert complaints == []
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 900})
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{wide} px at {width}"
    finally:
        context.close()
