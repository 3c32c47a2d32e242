"""The report and notebook pages in a real browser: colours, links, folding and print."""

from pathlib import Path

import pytest
from fixtures import hostile_notebooks, run_records

from stagebook.report.notebook import notebook_html
from stagebook.report.page import render

pytestmark = pytest.mark.browser

TONE = {"reused": "info", "succeeded": "good", "failed": "bad", "upstream_failed": "warn"}


@pytest.fixture
def opened(browser, tmp_path: Path):
    """`opened(html, "dark", 400)` is a page that shows the HTML. Requests, console messages and dialogs fail the test."""
    contexts, problems = [], []

    def show(html: str, scheme: str = "light", width: int = 1280):
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or problems.append(request.url))
        page.on("console", lambda message: problems.append(message.text))
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri())
        return page

    yield show
    for context in contexts:
        context.close()
    assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_status_has_its_own_colour_in_the_picture(opened, scheme):
    record = run_records.failed()
    page = opened(render(record, links={}), scheme)
    expected = page.evaluate(
        """names => { const probe = document.createElement('i'); document.body.append(probe);
        return Object.fromEntries(names.map(name => { probe.className = name; return [name, getComputedStyle(probe).color] })) }""",
        list(TONE.values()),
    )
    assert len(set(expected.values())) == 4
    for name, stage in record.stages.items():
        colour = page.locator(f'.graph a[href="#stage-{name}"] rect').evaluate("rect => getComputedStyle(rect).stroke")
        assert colour == expected[TONE[stage.status]], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "make_record", [run_records.succeeded, run_records.failed, run_records.refused, run_records.interrupted]
)
def test_every_text_of_the_report_can_be_read(opened, make_record, scheme):
    page = opened(render(make_record(), links={}, resume_command="stagebook run --resume r1"), scheme)
    assert poorly_readable(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_of_a_notebook_can_be_read(opened, scheme):
    page = opened(notebook_html(hostile_notebooks.failed_notebook(), title="t", back="x.html"), scheme)
    assert poorly_readable(page) == []


def test_clicking_every_link_of_a_hostile_notebook_runs_nothing(opened):
    page = opened(notebook_html(hostile_notebooks.hostile_notebook(), title="t", back=None))
    address_of_page = page.url.partition("#")[0]
    for link in page.locator(".cell a, .cell summary").all():
        address = link.get_attribute("href")
        if address is None or address.startswith("#"):
            link.click(force=True)
            assert page.url.partition("#")[0] == address_of_page
    assert page.evaluate("window.__pwned") is None


def test_a_failed_stage_is_open_and_its_link_leads_to_the_failed_cell(opened):
    links = {"train": {2: {"html": "page.html"}}}
    page = opened(render(run_records.failed(), links=links))
    assert page.locator("details.stage[open]").count() == 1
    assert page.locator("details.stage[open] a", has_text="read").get_attribute("href") == "page.html#failed"
    page = opened(notebook_html(hostile_notebooks.failed_notebook(), title="t", back=None), width=400)
    page.get_by_text("Go to the error").click()
    assert 0 <= page.locator("#failed").bounding_box()["y"] < 900


def test_in_print_all_stages_are_open(opened):
    page = opened(render(run_records.succeeded(), links={}))
    hidden = page.get_by_text("the kernel was killed by SIGKILL")
    assert not hidden.is_visible()
    page.emulate_media(media="print")
    assert hidden.is_visible()


def test_a_graph_of_forty_stages_scrolls_within_its_panel(opened):
    page = opened(render(run_records.wide(), links={}), width=400)
    panel = page.locator(".graph")
    assert panel.evaluate("panel => panel.scrollWidth > panel.clientWidth")
    texts = panel.locator("a").evaluate_all(
        """nodes => nodes.filter(node => { const box = node.querySelector('rect').getBoundingClientRect();
        return [...node.querySelectorAll('text')].some(text => text.getBoundingClientRect().right > box.right) }).map(node => node.textContent)"""
    )
    assert texts == []


def poorly_readable(page) -> list[str]:
    """Visible texts whose contrast to their background is below 4.5 to 1 (WCAG AA)."""
    return page.evaluate(
        """() => {
        const rgb = colour => (colour.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
        const light = ([r, g, b]) => { const part = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
            return .2126 * part(r) + .7152 * part(g) + .0722 * part(b) };
        const ground = node => { for (; node; node = node.parentElement) {
            const fill = node.tagName === 'A' && node.querySelector(':scope > rect');
            const colour = rgb(fill ? getComputedStyle(fill).fill : getComputedStyle(node).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour } return rgb(getComputedStyle(document.body).backgroundColor) };
        const bad = [];
        const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walk.nextNode()) {
            const node = walk.currentNode.parentElement;
            if (!walk.currentNode.data.trim() || !node.checkVisibility() || !node.getBoundingClientRect().width) continue;
            if (['TITLE', 'title', 'desc', 'STYLE'].includes(node.tagName)) continue;
            const style = getComputedStyle(node);
            const [lighter, darker] = [light(rgb(node.tagName === 'text' ? style.fill : style.color)), light(ground(node))].sort((a, b) => b - a);
            const contrast = (lighter + .05) / (darker + .05);
            if (contrast < 4.5) bad.push(`${contrast.toFixed(2)} ${walk.currentNode.data.trim().slice(0, 40)}`);
        }
        return [...new Set(bad)] }"""
    )
