"""Pages of executed notebooks: readable, and nothing in them runs."""

import re
import warnings

import pytest
from fixtures import hostile_notebooks as hostile
from nbformat import v4

from stagebook.model.record import Attempt, AttemptStatus
from stagebook.report import sanitize
from stagebook.report.notebook import notebook_html


def page_of(*cells, **end):
    return notebook_html(v4.new_notebook(cells=list(cells)), title="t", back=None, **end)


def text_of(html):
    """What a reader sees of a page."""
    return sanitize.text(html[html.index("<main>") :])


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
            "only Jupyter can show: application/vnd.plotly.v1+json.",
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
    assert "Cell 3 failed; 1 cell did not run after it" in html
    assert html.index('id="failed"') > html.index(">Fit</h2>")
    assert "did not run</span>" in html


def test_a_progress_bar_shows_its_last_state():
    html = page_of(code_cell("", v4.new_output("stream", text="a\r 10%\r100%\nnext\r\n")))
    assert "<pre>100%\nnext\n</pre>" in html


def test_an_image_attached_to_markdown_is_shown():
    cell = v4.new_markdown_cell("![x](attachment:a.png)", attachments={"a.png": {"image/png": hostile.PNG.strip()}})
    assert '<img src="data:image/png;base64,' in page_of(cell)


def stream(text, name="stdout"):
    return v4.new_output("stream", name=name, text=text)


def error(name="ValueError", message="no", traceback=None):
    return v4.new_output("error", ename=name, evalue=message, traceback=traceback or [f"{name}: {message}"])


def display(**data):
    return v4.new_output("display_data", {name.replace("_", "/", 1): value for name, value in data.items()})


def test_of_a_huge_text_both_ends_are_shown_and_what_is_between_is_counted():
    html = page_of(code_cell("", stream("".join(f"line {n}\n" for n in range(30_000)))))
    assert len(html) < 200_000
    seen = text_of(html)
    assert "line 0\n" in seen and "line 29999\n" in seen and "line 10000\n" not in seen
    assert re.search(r"\n… \d\d\d,\d\d\d characters left out: all of it is in the .ipynb …\n", seen)


def test_what_is_printed_in_pieces_is_one_output():
    html = page_of(code_cell("", *(stream(f"{n}\n") for n in range(3)), *(stream("x", "stderr") for _ in range(2))))
    assert "<pre>0\n1\n2\n</pre>" in html and "<pre>xx</pre>" in html


def test_of_many_outputs_errors_scraps_figures_and_the_last_ones_are_shown():
    scrap = v4.new_output("display_data", {"application/scrapbook.scrap.json+json": {"name": "auc", "data": 0.5}})
    figure = v4.new_output("display_data", {"image/png": hostile.PNG})
    many = [stream(f"piece {n}", "stderr" if n % 2 else "stdout") for n in range(400)]
    seen_html = page_of(code_cell("", *many, scrap, figure, *many, stream("score 0.9"), error()))
    seen = text_of(seen_html)
    assert "piece 0" in seen and "score 0.9" in seen and "auc = 0.5" in seen and "ValueError: no" in seen
    assert 'src="data:image/png' in seen_html
    assert "outputs left out here are in the .ipynb." in seen
    assert 'class="output error"' in seen_html


@pytest.mark.parametrize(
    "outputs",
    [
        [stream("<&>" * 1_000_000)],
        [stream("\x1b[31mx\x1b[0m" * 300_000)],
        [error(message="x" * 200_000, traceback=["x" * 3_000_000])] * 5,
        [display(text_html="<table>" + "<tr><td>7</td></tr>" * 200_000 + "</table>")],
        [display(text_html="<p>7</p>" * 60_000, text_plain="7" * 10_000)] * 4,
        [display(text_html="<p>7</p>" * 20_000)] * 20,
        [display(text_plain="y" * 90_000)] * 150,
        [display(text_markdown="**b** " * 300_000)],
        [stream("10%\r" * 500_000)],
        [stream("ab\b" * 300_000 + "x" * 1_000_000 + "\b" * 100_000)],
    ],
)
def test_no_page_is_larger_than_two_megabytes_of_text(outputs):
    assert len(page_of(*(code_cell("x = 1", *outputs) for _ in range(2)))) < 2_000_000


def test_a_notebook_of_huge_sources_has_a_readable_page():
    assert len(page_of(*(code_cell("x = [1, 2, 3]\n" * 20_000) for _ in range(20)))) < 2_000_000
    assert len(page_of(*(v4.new_markdown_cell("- **b** `c`\n" * 20_000) for _ in range(20)))) < 2_000_000


def test_an_html_output_that_is_too_large_is_shown_as_text_and_says_so():
    rows = "".join(f"<tr><td>row {n}</td></tr>" for n in range(60_000))
    seen = text_of(page_of(code_cell("", display(text_html=f"<table>{rows}</table>"))))
    assert "row 0" in seen and "row 59999" in seen
    assert re.search(r"The text of an HTML output of [\d,]+ characters, which is in the .ipynb.", seen)


def test_figures_are_left_out_only_where_they_would_fill_a_disk():
    large = v4.new_output("display_data", {"image/png": "A" * 10_000_000})
    html = page_of(code_cell("", *[large] * 4))
    assert html.count('src="data:image/png') == 2
    assert text_of(html).count("An image of 10.0 MB is in the .ipynb.") == 2


@pytest.mark.parametrize(
    ("html", "sentence"),
    [
        ("<iframe src='map.html'></iframe>", "Not shown here, but in Jupyter: iframe."),
        ("<div>x</div><script>plot()</script><script>y</script>", "Not shown here, but in Jupyter: 2 × script."),
        ("<svg><circle/></svg>", "Not shown here, but in Jupyter: svg."),
        ("<p>see</p><img src='plots/roc.png'>", "Not shown here, but in Jupyter: the image plots/roc.png."),
        ('<IMG alt="x" SRC="https://a.org/x.png">', "Not shown here, but in Jupyter: an image from the network."),
        ("<img src=file:///x.png>", "Not shown here, but in Jupyter: an image."),
        ("<video src='x.mp4'></video>", "Not shown here, but in Jupyter: video."),
        (f"<img src='data:image/png;base64,{hostile.PNG.strip()}'>", ""),
        ("<table><tr><td>7</td></tr></table>", ""),
    ],
)
def test_what_a_page_cannot_show_is_named(html, sentence):
    for page in (page_of(html_cell(html)), page_of(v4.new_markdown_cell(html))):
        assert (sentence or "Not shown here") in text_of(page) if sentence else "Not shown here" not in text_of(page)


def test_an_image_beside_the_notebook_is_named():
    page = page_of(v4.new_markdown_cell("![the curve](plots/roc.png)"))
    assert "Not shown here, but in Jupyter: the image plots/roc.png." in text_of(page)


def executed(*states, error_in=None):
    cells = []
    for n, state in enumerate(states, start=1):
        metadata = {"papermill": {"status": state, "exception": state == "failed"}}
        cells.append(code_cell(f"cell {n}", *([error()] if n == error_in else []), **metadata))
    return cells


def attempt(kind="ValueError", message="no", cell=None, status=AttemptStatus.FAILED):
    return Attempt(1, status, "t", "n", error={"type": kind, "message": message, "cell": cell})


@pytest.mark.parametrize(
    ("cells", "end", "headline", "place"),
    [
        (executed("completed", "failed", "pending"), attempt(cell=2), "Cell 2 failed: ValueError: no; 1 cell did not run after it", "cell-2"),
        (executed("completed", "failed", error_in=2), attempt(cell=2), "Cell 2 failed: ValueError: no", "cell-2"),
        (executed("pending", "pending"), attempt("NoSuchKernel", "No such kernel named R"), "NoSuchKernel: No such kernel named R; 2 cells did not run", None),
        (executed("completed", "running"), attempt("WorkerDied", "killed by SIGKILL", status=AttemptStatus.KERNEL_DIED), "WorkerDied: killed by SIGKILL", None),
        (executed("completed", "completed"), attempt("MissingTable", "without writing 't'"), "MissingTable: without writing 't'", None),
        (executed("completed", "failed", "pending"), attempt("Interrupted", "the run was stopped", 2, AttemptStatus.INTERRUPTED), "Cell 2 was interrupted; 1 cell did not run after it", "cell-2"),
    ],
)  # fmt: skip
def test_a_page_says_why_the_attempt_failed_where_it_did(cells, end, headline, place):
    html = page_of(*cells, attempt=end)
    assert headline in text_of(html)
    assert html.count('id="failed"') == 1
    if place is None:
        assert html.index('id="failed"') < html.index('id="cell-1"')
    else:
        assert html.index('id="failed"') > html.index(f'id="{place}"')
    if end.status is not AttemptStatus.INTERRUPTED:
        assert f"<pre>{end.error['type']}: {end.error['message'].split(chr(39))[0]}" in html


def test_a_cell_that_has_shown_an_error_and_gone_on_did_not_fail():
    html = page_of(*executed("completed", "completed", error_in=1))
    assert 'id="failed"' not in html and "failed" not in text_of(html)


def test_a_stage_that_ended_early_says_why_on_its_page():
    done = Attempt(1, AttemptStatus.SUCCEEDED, "t", "n")
    html = page_of(*executed("completed", "pending", "pending"), attempt=done, ended_early="nothing today")
    assert "The stage ended early: nothing today; 2 cells did not run" in text_of(html)


def test_cells_have_the_numbers_that_their_author_sees():
    injected = code_cell("x = 2", tags=["injected-parameters"])
    html = page_of(code_cell("x = 1"), injected, code_cell(" "), code_cell("x"))
    assert re.findall('class="number">([0-9]+)<', html) == ["1", "2"]


@pytest.mark.parametrize("lexer", ["no such lexer", None, 7, "ipython3"])
def test_any_language_is_shown_without_a_warning(lexer):
    nb = v4.new_notebook(cells=[code_cell("x = 1")])
    nb.metadata["language_info"] = {"pygments_lexer": lexer}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "x" in notebook_html(nb, title="t", back=None)


def test_an_empty_notebook_has_a_page():
    assert "0 cells" in page_of()
