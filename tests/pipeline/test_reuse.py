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
WRITE_X = "open('out.txt', 'w').write(str(x))"


@pytest.fixture
def line(notebook, params, tmp_path):
    """Two stages; the first reads a file, the second writes one."""
    notebook("first", "import scrapbook as sb\nsb.glue('x', y + int(open('n.txt').read()))", parameters="y: int = 1")
    notebook("second", f"import scrapbook as sb\nsb.glue('twice', 2 * x)\n{WRITE_X}", parameters="x: int = 0")
    (tmp_path / "notebooks" / "n.txt").write_text("20")
    params("p", LINE)
    return tmp_path


@pytest.fixture
def reasons(call):
    """`reasons("-p", "y=2")`: stage → (action, why) of a dry run."""

    def dry_run(*words):
        ended = call("run", "--params", "p", "-n", "--json", *words)
        assert ended.code == 0, ended.err
        return {name: (step["action"], step["why"]) for name, step in json.loads(ended.out).items()}

    return dry_run


def test_a_stage_runs_only_when_something_has_changed_and_the_plan_says_what(run, reasons, notebook, line):
    assert reasons() == {"first": ("run", "no earlier result"), "second": ("run", "no earlier result")}
    first_run = run("--params", "p")
    assert first_run.statuses == {"first": "succeeded", "second": "succeeded"}, first_run.err
    unchanged = ("reuse", f"nothing has changed since run {first_run.folder.name}")

    second_run = run("--params", "p")
    assert (second_run.code, second_run.statuses) == (0, {"first": "reused", "second": "reused"})
    assert second_run.stage("second")["scraps"] == {"twice": 42}
    assert second_run.stage("second")["attempts"] == []
    assert (second_run.folder / "report.html").exists()

    assert reasons("-p", "y=2") == {
        "first": ("run", "parameter `y` 1 → 2"),
        "second": ("run", "first before it runs"),
    }
    assert reasons("--force", "second") == {"first": unchanged, "second": ("run", "forced")}
    assert reasons("--no-reuse")["first"] == ("run", "asked for by --no-reuse")
    (line / "notebooks" / "out.txt").write_text("other")
    assert reasons()["second"] == ("run", "file `out.txt` changed")
    (line / "notebooks" / "out.txt").unlink()
    assert reasons()["second"] == ("run", "file `out.txt` is gone")
    (line / "notebooks" / "out.txt").write_text("21")
    assert reasons() == {"first": unchanged, "second": unchanged}

    notebook("second", f"import scrapbook as sb\nsb.glue('twice', x + x)\n{WRITE_X}", parameters="x: int = 0")
    assert reasons() == {"first": unchanged, "second": ("run", "cell 2 changed")}


def test_a_result_of_an_older_run_is_reused_and_a_failed_attempt_never_is(run, reasons, notebook, line):
    good = run("--params", "p")
    (line / "notebooks" / "n.txt").write_text("19")
    same_scrap = run("--params", "p", "-p", "y=2")
    assert same_scrap.statuses == {"first": "succeeded", "second": "reused"}, "the first stage ran and gave the same"

    notebook("second", "raise ValueError('no')", parameters="x: int = 0")
    assert run("--params", "p", "-p", "y=2").statuses == {"first": "reused", "second": "failed"}
    assert reasons("-p", "y=2")["second"][0] == "run"
    notebook("second", f"import scrapbook as sb\nsb.glue('twice', 2 * x)\n{WRITE_X}", parameters="x: int = 0")
    (action, reason) = reasons("-p", "y=2")["second"]
    assert (action, reason) == ("reuse", f"nothing has changed since run {good.folder.name}")
