"""Runs whose notebooks end early, through the real command."""

import json

import pytest

EARLY = """\
pipeline: early
stages:
  first: {notebook: notebooks/first.ipynb, writes: [rows]}
  second: {notebook: notebooks/next.ipynb, depends_on: [first], parameters: {x: "{{tasks.first.values.x}}"}}
  third: {notebook: notebooks/next.ipynb, depends_on: [second, other]}
  other: {notebook: notebooks/next.ipynb}
  cleanup: {notebook: notebooks/next.ipynb, depends_on: [first], run_if: ALL_DONE}
"""


@pytest.fixture
def early(notebook, params):
    notebook("first", "from stagebook import stage", "stage.end('nothing today')", "1 / 0")
    notebook("next", "x", parameters="x: int = 0")
    params("p", EARLY)


def test_what_needs_the_result_of_a_stage_that_ended_early_is_skipped_and_the_run_has_succeeded(run, early):
    ended = run("--params", "p")
    assert ended.code == 0, ended.err + ended.out
    expected = {
        "first": "succeeded",
        "second": "skipped",
        "third": "skipped",
        "other": "succeeded",
        "cleanup": "succeeded",
    }
    assert ended.statuses == expected
    assert ended.stage("first")["ended_early"] == "nothing today"
    assert {ended.stage(name)["why"] for name in ("second", "third")} == {"first ended early: nothing today"}
    assert "ended early: nothing today" in ended.out
    assert "ended early: nothing today" in (ended.folder / "report.html").read_text()

    resumed = run("--params", "p", "--resume")
    assert (resumed.code, resumed.statuses) == (0, expected)
    again = run("--params", "p")
    assert (again.code, again.statuses) == (
        0,
        {"first": "reused", "second": "skipped", "third": "skipped", "other": "reused", "cleanup": "reused"},
    )
    assert again.stage("second")["why"] == "first ended early: nothing today"


def test_the_same_exit_is_a_failure_or_an_early_end_as_the_stage_says(run, notebook, params):
    notebook("a", "import sys; sys.exit(0)", "1 / 0")
    stage = "notebook: notebooks/a.ipynb, max_retries: 3"
    params("p", f"pipeline: p\nstages: {{bad: {{{stage}}}, good: {{{stage}, early_exit: success}}}}")
    ended = run("--params", "p", "-k", "--json")
    assert ended.code == 1
    record = json.loads(ended.out)
    assert [attempt["error"]["type"] for attempt in record["stages"]["bad"]["attempts"]] == ["EarlyExit"]
    assert record["stages"]["good"]["ended_early"] == "sys.exit() in cell 1"
    assert "stages.bad.early_exit: success" in ended.err


MANY = """
import sys
for n in range(130):
    print(n, flush=True)
    print(n, file=sys.stderr, flush=True)
print('score 0.9')
raise ValueError('\\x1b[2J' + 'x' * 200_000 + 'the end')
"""


def test_what_a_notebook_says_is_bounded_everywhere_but_in_the_notebook(run, notebook, params):
    notebook("a", MANY)
    params("p", "pipeline: p\nstages: {a: {notebook: notebooks/a.ipynb, max_retries: 0}}")
    ended = run("--params", "p", "-v")
    assert ended.code == 1
    assert len(ended.out) < 6_000 and len(ended.err) < 2_000
    assert "the end\n" in ended.out and "\x1b" not in ended.out + ended.err
    assert "characters left out: all of it is in the notebook" in ended.out
    assert (ended.folder / "events.jsonl").stat().st_size < 40_000
    assert (ended.folder / "run.json").stat().st_size < 40_000
    assert (ended.folder / "report.html").stat().st_size < 200_000
    executed, page = (ended.folder / f"stages/a/attempt-1.{suffix}" for suffix in ("ipynb", "html"))
    assert "x" * 200_000 in executed.read_text()
    text = page.read_text()
    assert len(text) < 1_000_000
    assert "score 0.9" in text and "the end" in text and text.count('class="output error"') == 1
