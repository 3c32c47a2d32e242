"""Pages of executed notebooks: readable, and nothing in them runs."""

import re
import warnings

import pytest
from fixtures import hostile_notebooks as hostile
from nbformat import v4

from stagebook.report import sanitize
from stagebook.report.notebook import notebook_html


def page_of(*cells):
    return notebook_html(v4.new_notebook(cells=list(cells)), title="t", back=None)


def html_cell(payload):
    return v4.new_code_cell("x", outputs=[v4.new_output("display_data", data={"text/html": payload})])


ACTIVE_HTML = re.compile(r"<script|<iframe|<object|<embed|<form|<base|<meta http-equiv=.refresh|<[^>]+\son\w+\s*=|(href|src)=.javascript:|(href|src)=.data:text", re.IGNORECASE)  # fmt: skip


@pytest.mark.parametrize("payload", hostile.HTML_PAYLOADS.values(), ids=hostile.HTML_PAYLOADS.keys())
def test_a_hostile_output_runs_nothing(payload):
    html = page_of(html_cell(payload))
    assert not ACTIVE_HTML.search(html)
    assert hostile.REMOTE not in re.sub(r"<pre.*?</pre>", "", html, flags=re.DOTALL)


@pytest.mark.parametrize("payload", hostile.MARKDOWN_PAYLOADS.values(), ids=hostile.MARKDOWN_PAYLOADS.keys())
def test_hostile_markdown_runs_nothing(payload):
    assert not ACTIVE_HTML.search(page_of(v4.new_markdown_cell(payload)))


def test_a_hostile_notebook_runs_nothing():
    html = notebook_html(hostile.hostile_notebook(), title="<script>", back="../../report.html")
    assert not ACTIVE_HTML.search(re.sub(r"<pre.*?</pre>", "", html, flags=re.DOTALL))


def test_text_tables_and_images_of_a_notebook_are_on_the_page():
    html = page_of(
        v4.new_markdown_cell("# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n**bold**"),
        html_cell("<table><thead><tr><th>x</th></tr></thead><tbody><tr><td>7</td></tr></tbody></table>"),
        v4.new_code_cell("y", outputs=[v4.new_output("display_data", data={"image/png": hostile.PNG})]),
        v4.new_code_cell("z", outputs=[v4.new_output("stream", name="stdout", text="printed & <kept>")]),
    )
    for fragment in (
        "<h1",
        "<table",
        "<strong>bold</strong>",
        ">7<",
        "data:image/png;base64,",
        "printed &amp; &lt;kept&gt;",
    ):
        assert fragment in html
    assert "default-src 'none'" in html


def test_a_failed_cell_has_an_id_and_the_page_links_back_to_the_report():
    html = notebook_html(hostile.failed_notebook(), title="train", back="../../report.html")
    assert 'id="failed"' in html
    assert 'href="../../report.html"' in html


def code_cell(source, *outputs, **metadata):
    return v4.new_code_cell(source, outputs=list(outputs), metadata=metadata)


@pytest.mark.parametrize(
    ("data", "expected_html", "left_out"),
    [
        ({"text/vnd.mermaid": "graph TD", "text/plain": "a graph"}, "<pre>a graph</pre>", "graph TD"),
        (
            {"application/vnd.plotly.v1+json": {"data": []}},
            "only Jupyter can show: application/vnd.plotly.v1+json",
            "data",
        ),
        ({"text/html": "<script>x()</script>", "text/plain": "plain"}, "<pre>plain</pre>", "x()"),
        (
            {"text/html": "<div id='sk-container-id-1' class='sk-top-container'>GB</div>", "text/plain": "Model()"},
            "<pre>Model()</pre>",
            "GB",
        ),
        ({"image/svg+xml": "<svg onload='x()'/>"}, '<img src="data:image/svg+xml;base64,', "onload"),
        ({"image/png": "not base64!"}, "only Jupyter can show: image/png", "not base64"),
        ({"application/scrapbook.scrap.json+json": {"name": "auc", "data": 0.5}}, "<b>auc</b> = 0.5", "scrapbook"),
        ({"text/markdown": "**bold**"}, "<strong>bold</strong>", "**"),
        ({"text/latex": "$x^2$"}, "$x^2$", "script"),
    ],
)
def test_the_richest_safe_format_of_an_output_is_shown(data, expected_html, left_out):
    html = page_of(code_cell("", v4.new_output("display_data", data)))
    body = html[html.index("<main>") :]
    assert expected_html in body
    assert left_out not in body.replace(expected_html, "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<p id="cell-1">x</p>', '<p id="nb-cell-1">x</p>'),
        ('<a href="#Split">x</a>', '<a href="#nb-Split" rel="noopener noreferrer">x</a>'),
        ('<a href="https://a.org/?q=1">x</a>', '<a href="https://a.org/?q=1" rel="noopener noreferrer">x</a>'),
        ('<a href="data/x.csv">x</a>', '<a href="data/x.csv" rel="noopener noreferrer">x</a>'),
        ('<a href="file:///etc/passwd">x</a>', '<a rel="noopener noreferrer">x</a>'),
        ('<a href="//198.51.100.7">x</a>', '<a rel="noopener noreferrer">x</a>'),
        ('<a href="vbscript:x">x</a>', '<a rel="noopener noreferrer">x</a>'),
        ('<td style="text-align: RIGHT;">', ""),
        (
            '<table><tbody><tr><td style="text-align: RIGHT;">1</td></tr></tbody></table>',
            '<table><tbody><tr><td style="text-align: right">1</td></tr></tbody></table>',
        ),
        ('<p style="text-align: right; position: fixed">x</p>', "<p>x</p>"),
        ('<div class="dataframe top verdict">x</div>', '<div class="dataframe">x</div>'),
        ("<math><mi>x</mi></math><svg><text>y</text></svg>z", "z"),
        ("<section><h2>x</h2></section>", "<h2>x</h2>"),
        ("a\ud800b", "a?b"),
    ],
)
def test_cleaning_keeps_content_and_drops_active_parts(before, after):
    assert sanitize.fragment(before) == after


def test_the_index_and_links_in_the_text_lead_to_headings():
    html = page_of(*(v4.new_markdown_cell(f"## Part {n} & <i>more</i>\n\n[back](#Part-0)") for n in range(4)))
    assert '<li class="level-2"><a href="#cell-3">Part 2 &amp; more</a></li>' in html
    assert 'href="#nb-Part-0"' in html


def test_tracebacks_are_coloured_in_the_colours_of_the_theme():
    html = notebook_html(hostile.failed_notebook(), title="t", back=None)
    assert '<span class="ansi-red-fg">ValueError</span>: no rows &lt;yet&gt;' in html
    assert '<span class="ansi-green-intense-fg ansi-bold">if</span>' in html
    assert "style=" not in html[html.index("<main>") :].replace('style="text-align: right"', "")


def test_a_failed_notebook_names_the_failed_cell_and_counts_those_that_did_not_run():
    html = notebook_html(hostile.failed_notebook(), title="t", back=None)
    assert "Cell 3 failed; 1 after it did not run." in html
    assert html.index('id="failed"') > html.index(">Fit</h2>")
    assert "did not run</span>" in html


def test_a_progress_bar_shows_its_last_state():
    html = page_of(code_cell("", v4.new_output("stream", text="a\r 10%\r100%\nnext\r\n")))
    assert "<pre>100%\nnext\n</pre>" in html


def test_an_image_attached_to_markdown_is_shown():
    cell = v4.new_markdown_cell("![x](attachment:a.png)", attachments={"a.png": {"image/png": hostile.PNG.strip()}})
    assert '<img src="data:image/png;base64,' in page_of(cell)


def test_huge_outputs_are_cut_with_a_note():
    outputs = [v4.new_output("stream", text="x" * 300_000), *(v4.new_output("stream", text="y") for _ in range(500))]
    html = page_of(code_cell("", *outputs))
    assert len(html) < 200_000
    assert "100,000 of 300,000 characters; the rest is in the .ipynb" in html
    assert "301 more outputs are in the .ipynb" in html


@pytest.mark.parametrize("lexer", ["no such lexer", None, 7, "ipython3"])
def test_any_language_is_shown_without_a_warning(lexer):
    nb = v4.new_notebook(cells=[code_cell("x = 1")])
    nb.metadata["language_info"] = {"pygments_lexer": lexer}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "x" in notebook_html(nb, title="t", back=None)


def test_an_empty_notebook_has_a_page():
    assert "0 cells" in page_of()
