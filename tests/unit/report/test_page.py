"""The run report: its content, and that nothing on the page is active."""

import re
import time
import timeit

import pytest
from fixtures import run_records
from fixtures.run_builder import RunBuilder, rate_of

from stagebook.costs.trend import trend
from stagebook.model.record import RunRecord
from stagebook.report.page import render
from stagebook.report.page_templates import template_environment
from stagebook.user_state import STATE_VARIABLE

LINKS = {"train": {1: {"html": "stages/train/attempt-1.html", "ipynb": "stages/train/attempt-1.ipynb"}}}


def page(record, **options):
    return render(record, links=options.pop("links", {}), **options)


@pytest.mark.parametrize(
    ("make_record", "texts"),
    [
        (run_records.succeeded, ["Succeeded", "data_prep", "feature_build", "deploy"]),
        (run_records.failed, ["Failed"]),
        (run_records.refused, ["gate refused", "Gate"]),
        (run_records.interrupted, ["Interrupted"]),
    ],
)
def test_the_report_says_how_the_run_ended(make_record, texts):
    html = page(make_record())
    for text in texts:
        assert text.lower() in html.lower()


def test_a_failed_run_shows_the_error_and_the_command_that_resumes():
    record = run_records.failed()
    stage = next(stage for stage in record.stages.values() if stage.status == "failed")
    error = stage.attempts[-1].error
    html = page(record, resume_command="stagebook run --resume r1 -p 'x=<1>'")
    assert error["type"] in html
    assert "--resume r1" in html
    assert "x=<1>" not in html


@pytest.mark.parametrize(
    ("make_record", "visible"),
    [
        (run_records.succeeded, False),
        (run_records.refused, False),
        (run_records.failed, True),
        (run_records.interrupted, True),
    ],
)
def test_the_resume_command_is_shown_only_if_resuming_changes_something(make_record, visible):
    assert ("--resume" in page(make_record(), resume_command="stagebook run --resume r1")) is visible


def test_the_page_uses_no_network_and_no_script():
    html = page(run_records.succeeded(), links=LINKS)
    assert "default-src 'none'" in html
    assert not re.search(r"<script|(?:src|href)=.https?:|@import|url\((?!#)", html)
    assert 'href="stages/train/attempt-1.html#failed"' in html
    assert 'href="stages/train/attempt-1.ipynb"' in html


def test_a_link_out_of_the_run_folder_is_left_out():
    for bad in ("javascript:alert(1)", "http://198.51.100.7/x", "/etc/passwd", "//198.51.100.7/x"):
        assert bad not in page(run_records.succeeded(), links={"train": {1: {"html": bad}}})


def test_hostile_texts_stay_text():
    html = page(run_records.hostile())
    assert "<script>window" not in html
    assert not re.search(r"<[^>]+\son\w+\s*=", html)
    assert "{{ 7 * 7 }}" in html
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e]", html)
    assert html.encode("utf-8")


@pytest.mark.parametrize("stages", [1, 6, 40, 300])
def test_any_number_of_stages_is_rendered_fast(stages):
    record = run_records.wide(stages)
    page(record)
    started = time.perf_counter()
    html = page(record)
    assert time.perf_counter() - started < 2
    assert html.count("<details") >= min(stages, 40)


def test_the_same_record_gives_the_same_page():
    assert page(run_records.succeeded()) == page(run_records.succeeded())


def test_the_page_of_a_hostile_record_has_a_limited_size():
    html = page(run_records.hostile())
    assert len(html) < 600_000
    assert "200 of 10,5" in html  # of the packages and scraps


def test_metrics_are_the_numeric_scraps_with_their_names_in_mlflow():
    record = run_records.succeeded()
    record.stages["validate"].scraps |= {
        "scores": {"brier": 0.1522, "auc": 0.6832},
        "mixed": {"rows": 3, "name": "x"},
        "flag": True,
    }
    names = re.findall(r'<th scope="row" class="name">([^<]*)</th><td class="figure">([^<]*)</td></tr>', page(record))
    assert {("roc_auc", "0.683214"), ("scores.brier", "0.1522"), ("scores.auc", "0.6832")} <= set(names)
    assert not [name for name, _ in names if name.startswith(("mixed", "flag", "gate"))]


def test_the_content_of_the_record_is_on_the_page():
    html = page(run_records.succeeded(), links=LINKS)
    for text in (
        "20261123-020000-7f3a",
        "2026-11-23 02:00:00 UTC",
        "1 min 11 s",
        "9f1c2ab34de5</span> with uncommitted changes",
        "params/base.yaml, params/prod.yaml",
        "roc_auc of at least 0.62",
        "features@4",
        "31.1 MB",
        "2.17 GB",
        "kernel died",
        "the kernel was killed by SIGKILL",
        'shown under <a href="#gate">Gate</a>',
        "https://***@mlflow.example.org",
        "4 packages",
    ):
        assert text in html, text
    assert "s3cr3t" not in html


def test_a_status_has_a_word_and_an_icon_not_only_a_colour():
    html = page(run_records.failed())
    picture = html[html.index("<svg viewBox") : html.index("</svg>", html.index("<svg viewBox"))]
    assert re.findall(r'<a href="#stage-(\w+)" class="(\w+)">', picture)[2] == ("train", "bad")
    assert picture.count('href="#icon-ban"') == 3
    assert "train: failed · 16.6 s" in picture
    assert "validate: upstream failed, after train" in picture


def test_the_record_of_a_run_that_has_just_started_is_rendered():
    html = page(RunRecord(run_id="r", pipeline="p", started_at="2026-11-23T02:00:00+00:00"))
    assert "Not finished" in html
    assert "<svg viewBox" not in html
    assert "<dt>Git commit</dt><dd>none found</dd>" in html


def test_the_page_is_rendered_if_compiled_templates_cannot_be_saved(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("where a folder should be")
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "file"))
    template_environment.cache_clear()
    try:
        assert "Not finished" in page(RunRecord(run_id="r", pipeline="p", started_at="2026-11-23T02:00:00+00:00"))
    finally:
        template_environment.cache_clear()


def test_six_stages_take_less_than_50_ms():
    record = run_records.succeeded()
    page(record)
    assert min(timeit.repeat(lambda: page(record), number=1, repeat=5)) < 0.05


def test_the_cost_is_shown_with_its_parts_its_assumptions_and_the_date_of_its_prices():
    builder = (
        RunBuilder({"x": "p", "y": None, "z": "p"}, [rate_of()]).attempt("x", 0, 60, "failed").attempt("x", 60, 6000)
    )
    html = page(builder.reused("z", 0.5).ended(7000).record)
    for text in (
        "4.08 USD",
        "0.0385 USD",
        "0.50 USD",
        "it has no profile",
        "Prices as of 2023-11, 2024-07-11",
        "overwatch",
    ):
        assert text in html
    assert 'id="cost"' not in page(RunBuilder({"x": None}, []).ended(1).record)


def test_no_price_date_is_named_if_nothing_was_computed():
    html = page(RunBuilder({"x": "p"}, [rate_of()]).reused("x", 0.5).ended(1).record)
    assert 'id="cost"' in html
    assert "Prices as of" not in html


def test_names_in_the_bill_are_escaped():
    builder = RunBuilder(dict.fromkeys(run_records.HOSTILE, "<script>"), [rate_of(name="<script>")])
    for name in run_records.HOSTILE:
        builder.attempt(name, 0, 5)
    html = page(builder.ended(9).record)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def run_of(number: int, seconds: float, commit: str = "a") -> RunRecord:
    builder = RunBuilder({"x": "p"}, [rate_of()], f"run-{number}")
    builder.events[0]["git"] = {"commit": commit * 40, "dirty": False}
    return builder.attempt("x", 0, seconds).ended(seconds + 1).record


def test_the_trend_shows_the_latest_runs_and_the_last_change():
    recent = trend([*(run_of(n, 3600) for n in range(20)), *(run_of(n, 1800, "b") for n in range(20, 24))])
    html = page(run_of(23, 1800, "b"), trend=recent)
    assert "24 runs that succeeded" in html
    assert re.search(r"since run-20 \(code\): cost -4\d % \(.*time -50 %.*20 runs before, 4 runs since", html)
    assert len(re.findall(r'<th scope="row" class="name">run-', html)) == 15
    assert html.count('width="50.0"') == 4, "half as long as the longest"


@pytest.mark.parametrize("runs", [[], [run_of(1, 60)]])
def test_one_run_is_no_trend(runs):
    assert trend(runs) is None
    assert "that succeeded" not in page(run_of(1, 60), trend=None)
