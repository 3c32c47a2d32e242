"""Re-runs through the real command: what runs again, what does not, and what is said about it."""

import json

import pytest

LINE = """\
pipeline: line
defaults: {max_retries: 0}
stages:
  first: {notebook: notebooks/first.ipynb}
  second: {notebook: notebooks/second.ipynb, depends_on: [first], parameters: {x: "{{tasks.first.values.x}}"}}
"""


@pytest.fixture
def line(notebook, params, tmp_path):
    notebook("first", "import scrapbook as sb\nsb.glue('x', y + int(open('n.txt').read()))", parameters="y: int = 1")
    notebook("second", "import scrapbook as sb\nsb.glue('twice', 2 * x)\nopen('out.txt', 'w').write(str(x))",
             parameters="x: int = 0")  # fmt: skip
    (tmp_path / "notebooks" / "n.txt").write_text("20")
    params("p", LINE)
    return tmp_path


def reasons(run, *words):
    """Stage → (action, why) of a dry run."""
    ended = run("--params", "p", "-n", "--json", *words)
    assert ended.code == 0, ended.err
    return {name: (step["action"], step["why"]) for name, step in json.loads(ended.out).items()}


def test_a_stage_runs_only_when_something_has_changed_and_the_plan_says_what(run, notebook, line):
    assert reasons(run) == {"first": ("run", "no earlier result"), "second": ("run", "no earlier result")}
    made = run("--params", "p")
    assert made.statuses == {"first": "succeeded", "second": "succeeded"}, made.err
    since = ("reuse", f"nothing has changed since run {made.folder.name}")

    again = run("--params", "p")
    assert (again.code, again.statuses) == (0, {"first": "reused", "second": "reused"})
    assert again.stage("second")["scraps"] == {"twice": 42}
    assert again.stage("second")["attempts"] == []
    assert (again.folder / "report.html").exists()

    assert reasons(run, "-p", "y=2") == {
        "first": ("run", "parameter `y` 1 → 2"),
        "second": ("run", "first before it runs"),
    }
    assert reasons(run, "--force", "second") == {"first": since, "second": ("run", "forced")}
    assert reasons(run, "--no-reuse")["first"] == ("run", "asked for by --no-reuse")
    (line / "notebooks" / "out.txt").write_text("other")
    assert reasons(run)["second"] == ("run", "file `out.txt` changed")
    (line / "notebooks" / "out.txt").unlink()
    assert reasons(run)["second"] == ("run", "file `out.txt` is gone")
    (line / "notebooks" / "out.txt").write_text("21")
    assert reasons(run) == {"first": since, "second": since}

    notebook("second", "import scrapbook as sb\nsb.glue('twice', x + x)\nopen('out.txt', 'w').write(str(x))",
             parameters="x: int = 0")  # fmt: skip
    assert reasons(run) == {"first": since, "second": ("run", "cell 2 changed")}


def test_a_stage_is_spared_where_the_stage_before_it_ran_and_gave_the_same(run, notebook, line):
    run("--params", "p")
    (line / "notebooks" / "n.txt").write_text("19")
    again = run("--params", "p", "-p", "y=2")
    assert again.statuses == {"first": "succeeded", "second": "reused"}, again.err


def test_a_result_of_an_older_run_stands_and_a_failed_attempt_never_does(run, notebook, line):
    good = run("--params", "p")
    notebook("second", "raise ValueError('no')", parameters="x: int = 0")
    assert run("--params", "p").statuses == {"first": "reused", "second": "failed"}
    assert reasons(run)["second"][0] == "run"
    notebook("second", "import scrapbook as sb\nsb.glue('twice', 2 * x)\nopen('out.txt', 'w').write(str(x))",
             parameters="x: int = 0")  # fmt: skip
    assert reasons(run)["second"] == ("reuse", f"nothing has changed since run {good.folder.name}")
