"""The run report: what it says, and that whatever it shows is inert."""

import re
import time
import timeit

import pytest
from fixtures import records
from fixtures.bills import Story, rated

from stagebook.cost.trend import trend
from stagebook.model.record import RunRecord
from stagebook.report.page import environment, render
from stagebook.storage.machine import STATE

LINKS = {"train": {1: {"html": "stages/train/attempt-1.html", "ipynb": "stages/train/attempt-1.ipynb"}}}


def page(record, **more):
    return render(record, links=more.pop("links", {}), **more)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (records.succeeded, ["Succeeded", "data_prep", "feature_build", "deploy"]),
        (records.failed, ["Failed"]),
        (records.refused, ["gate refused", "Gate"]),
        (records.interrupted, ["Interrupted"]),
    ],
)
def test_the_verdict_comes_first(make, words):
    html = page(make())
    for word in words:
        assert word.lower() in html.lower()


def test_a_failure_shows_stage_error_and_the_command_that_resumes():
    record = records.failed()
    stage = next(stage for stage in record.stages.values() if stage.status == "failed")
    error = stage.attempts[-1].error
    html = page(record, resume_command="stagebook run --resume r1 -p 'x=<1>'")
    assert error["type"] in html
    assert "--resume r1" in html
    assert "x=<1>" not in html


@pytest.mark.parametrize(
    ("make", "shown"),
    [(records.succeeded, False), (records.refused, False), (records.failed, True), (records.interrupted, True)],
)
def test_the_command_that_resumes_stands_where_resuming_changes_something(make, shown):
    assert ("--resume" in page(make(), resume_command="stagebook run --resume r1")) is shown


def test_nothing_comes_from_the_network_and_no_script_is_there():
    html = page(records.succeeded(), links=LINKS)
    assert "default-src 'none'" in html
    assert not re.search(r"<script|(?:src|href)=.https?:|@import|url\((?!#)", html)
    assert 'href="stages/train/attempt-1.html#failed"' in html
    assert 'href="stages/train/attempt-1.ipynb"' in html


def test_a_link_that_leaves_the_run_is_not_drawn():
    for bad in ("javascript:alert(1)", "http://198.51.100.7/x", "/etc/passwd", "//198.51.100.7/x"):
        assert bad not in page(records.succeeded(), links={"train": {1: {"html": bad}}})


def test_hostile_texts_stay_text():
    html = page(records.hostile())
    assert "<script>window" not in html
    assert not re.search(r"<[^>]+\son\w+\s*=", html)
    assert "{{ 7 * 7 }}" in html
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e]", html)
    assert html.encode("utf-8")


@pytest.mark.parametrize("stages", [1, 6, 40, 300])
def test_any_number_of_stages_is_rendered_fast(stages):
    record = records.wide(stages)
    page(record)
    started = time.perf_counter()
    html = page(record)
    assert time.perf_counter() - started < 2
    assert html.count("<details") >= min(stages, 40)


def test_the_same_record_gives_the_same_page():
    assert page(records.succeeded()) == page(records.succeeded())


def test_a_hostile_record_gives_a_page_of_bearable_size():
    html = page(records.hostile())
    assert len(html) < 600_000
    assert "200 of 10,5" in html  # of the packages and scraps


def test_metrics_are_the_numbers_among_the_scraps_named_as_in_mlflow():
    record = records.succeeded()
    record.stages["validate"].scraps |= {
        "scores": {"brier": 0.1522, "auc": 0.6832},
        "mixed": {"rows": 3, "name": "x"},
        "flag": True,
    }
    names = re.findall(r'<th scope="row" class="name">([^<]*)</th><td class="figure">([^<]*)</td></tr>', page(record))
    assert {("roc_auc", "0.683214"), ("scores.brier", "0.1522"), ("scores.auc", "0.6832")} <= set(names)
    assert not [name for name, _ in names if name.startswith(("mixed", "flag", "gate"))]


def test_what_the_record_holds_is_on_the_page():
    html = page(records.succeeded(), links=LINKS)
    for words in (
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
        assert words in html, words
    assert "s3cr3t" not in html


def test_a_status_is_a_word_and_a_shape_not_only_a_colour():
    html = page(records.failed())
    picture = html[html.index("<svg viewBox") : html.index("</svg>", html.index("<svg viewBox"))]
    assert re.findall(r'<a href="#stage-(\w+)" class="(\w+)">', picture)[2] == ("train", "bad")
    assert picture.count('href="#icon-ban"') == 3
    assert "train: failed · 16.6 s" in picture
    assert "validate: upstream failed, after train" in picture


def test_a_running_record_without_anything_is_rendered():
    html = page(RunRecord(run_id="r", pipeline="p", started_at="2026-11-23T02:00:00+00:00"))
    assert "Not finished" in html
    assert "<svg viewBox" not in html
    assert "<dt>Git commit</dt><dd>none found</dd>" in html


def test_templates_that_cannot_be_kept_compiled_lose_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("where a folder should be")
    monkeypatch.setenv(STATE, str(tmp_path / "file"))
    environment.cache_clear()
    try:
        assert "Not finished" in page(RunRecord(run_id="r", pipeline="p", started_at="2026-11-23T02:00:00+00:00"))
    finally:
        environment.cache_clear()


def test_six_stages_take_less_than_50_ms():
    record = records.succeeded()
    page(record)
    assert min(timeit.repeat(lambda: page(record), number=1, repeat=5)) < 0.05


def test_the_cost_stands_with_its_split_its_assumptions_and_the_date_of_its_prices():
    story = Story({"x": "p", "y": None, "z": "p"}, [rated()]).attempt("x", 0, 60, "failed").attempt("x", 60, 6000)
    html = page(story.reused("z", 0.5).ended(7000).record)
    for words in (
        "4.08 USD",
        "0.0385 USD",
        "0.50 USD",
        "it has no profile",
        "Prices as of 2023-11, 2024-07-11",
        "overwatch",
    ):
        assert words in html
    assert 'id="cost"' not in page(Story({"x": None}, []).ended(1).record)


def test_where_nothing_was_computed_no_prices_are_named():
    html = page(Story({"x": "p"}, [rated()]).reused("x", 0.5).ended(1).record)
    assert 'id="cost"' in html
    assert "Prices as of" not in html


def test_names_in_the_bill_are_only_text():
    story = Story(dict.fromkeys(records.HOSTILE, "<script>"), [rated(name="<script>")])
    for name in records.HOSTILE:
        story.attempt(name, 0, 5)
    html = page(story.ended(9).record)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def ran(number: int, seconds: float, commit: str = "a") -> RunRecord:
    story = Story({"x": "p"}, [rated()], f"run-{number}")
    story.events[0]["git"] = {"commit": commit * 40, "dirty": False}
    return story.attempt("x", 0, seconds).ended(seconds + 1).record


def test_the_trend_has_the_last_runs_and_what_changed_since():
    told = trend([*(ran(n, 3600) for n in range(20)), *(ran(n, 1800, "b") for n in range(20, 24))])
    html = page(ran(23, 1800, "b"), trend=told)
    assert "24 runs that succeeded" in html
    assert re.search(r"since run-20 \(code\): cost -4\d % \(.*time -50 %.*20 runs before, 4 runs since", html)
    assert len(re.findall(r'<th scope="row" class="name">run-', html)) == 15
    assert html.count('width="50.0"') == 4, "half as long as the longest"


@pytest.mark.parametrize("runs", [[], [ran(1, 60)]])
def test_one_run_is_no_trend(runs):
    assert trend(runs) is None
    assert "that succeeded" not in page(ran(1, 60), trend=None)
