"""The runner on tiny pipelines: order, scraps, failures, retries, resume, signals, parts, locks."""

import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest
from fixtures.waiting import alive_in, wait_until

CHAIN = """\
pipeline: chain
defaults: {min_retry_interval_millis: 100}
stages:
  first: {notebook: notebooks/first.ipynb}
  second:
    notebook: notebooks/second.ipynb
    depends_on: [first]
    parameters: {x: "{{tasks.first.values.x}}", text: "got {{tasks.first.values.x}} of {{tasks.first.values.names}}"}
  third: {notebook: notebooks/third.ipynb, depends_on: [second]}
"""


@pytest.fixture
def chain(notebook, params, tmp_path):
    notebook(
        "first", "import scrapbook as sb\nsb.glue('x', 20 + y)\nsb.glue('names', ['a', 'b'])", parameters="y: int = 1"
    )
    notebook("second", "import scrapbook as sb\nsb.glue('twice', 2 * x)\nsb.glue('text', text)",
             parameters="x: int = 0\ntext: str = ''")  # fmt: skip
    notebook("third", f"open({str(tmp_path / 'third')!r}, 'a').write('x')")
    params("p", CHAIN)
    return tmp_path


def attempts(ended, stage):
    return [attempt["status"] for attempt in ended.stage(stage)["attempts"]]


BUSY = {
    "a child in its session": "subprocess.Popen(['sleep', '600'], start_new_session=True); time.sleep(600)",
    "holding the GIL": "subprocess.Popen(['sleep', '600']); ctypes.PyDLL(None).sleep(600)",
}
KILLS = [(kernel, busy) for kernel in ("cold", "auto") for busy in BUSY]


@pytest.fixture
def busy_chain(chain, notebook, params, request):
    """The chain, its second stage busy for ten minutes, on a kernel that is forked or started afresh."""
    kernel, busy = request.param
    params("p", CHAIN.replace("defaults: {", f"defaults: {{kernel: {kernel}, "))
    notebook("second", f"import ctypes, subprocess, time; {BUSY[busy]}", parameters="x: int = 0\ntext: str = ''")
    return chain


def test_stages_run_in_order_and_hand_scraps_on(run, chain):
    ended = run("--params", "p", "-p", "y=2", "--json")
    assert ended.code == 0, ended.err
    record = json.loads(ended.out)
    assert record["status"] == "succeeded"
    assert record["stages"]["second"]["scraps"] == {"twice": 44, "text": 'got 22 of ["a", "b"]'}
    assert record["stages"]["second"]["parameters"]["x"] == 22
    assert record["mlflow"]["run_id"]
    assert (ended.folder / "report.html").stat().st_size > 2000
    for name in record["stages"]:
        assert (ended.folder / f"stages/{name}/attempt-1.ipynb").exists()
        assert (ended.folder / f"stages/{name}/attempt-1.html").exists()
    assert json.loads((ended.folder / "run.json").read_text()) == record


def test_a_failure_names_what_to_do_and_resume_goes_on_from_there(run, chain, notebook):
    notebook("second", "y = 1", "raise RuntimeError('the disk is on fire')", parameters="x: int = 0\ntext: str = ''")
    ended = run("--params", "p")
    assert ended.code == 1
    assert ended.statuses == {"first": "succeeded", "second": "failed", "third": "upstream_failed"}
    assert "stage 'second' failed in cell 4 (attempt 1):\n  RuntimeError: the disk is on fire" in ended.out
    assert str(ended.folder / "stages/second/attempt-1.ipynb") in ended.out
    assert f"--params p --resume {ended.folder.name}" in ended.out.splitlines()[-1]

    notebook("second", "import scrapbook as sb; sb.glue('twice', 2 * x)", parameters="x: int = 0\ntext: str = ''")
    again = run("--params", "p", "--resume")
    assert again.code == 0, again.err
    assert again.folder == ended.folder
    assert {name: len(stage["attempts"]) for name, stage in again.record["stages"].items()} == {
        "first": 1, "second": 2, "third": 1,
    }  # fmt: skip


def test_a_flaky_stage_is_retried_and_every_attempt_is_kept(run, notebook, params, tmp_path):
    flag = tmp_path / "flag"
    notebook(
        "a",
        f"import os\nif not os.path.exists({str(flag)!r}):\n    open({str(flag)!r}, 'w')\n    raise ConnectionError('again')",
    )
    params(
        "p",
        "pipeline: flaky\nstages: {a: {notebook: notebooks/a.ipynb, max_retries: 2, min_retry_interval_millis: 10}}",
    )
    ended = run("--params", "p")
    assert ended.code == 0
    assert attempts(ended, "a") == ["failed", "succeeded"]
    assert {path.name for path in (ended.folder / "stages/a").glob("*.ipynb")} == {"attempt-1.ipynb", "attempt-2.ipynb"}


def test_an_assertion_is_not_retried(run, notebook, params):
    notebook("a", "assert 1 == 2, 'one is not two'")
    params("p", "pipeline: sure\nstages: {a: {notebook: notebooks/a.ipynb, max_retries: 5}}")
    ended = run("--params", "p")
    assert ended.code == 1
    assert attempts(ended, "a") == ["failed"]


def test_a_missing_scrap_fails_the_stage_that_needs_it(run, chain, notebook):
    notebook("first", "import scrapbook as sb; sb.glue('xx', 1)", parameters="y: int = 1")
    ended = run("--params", "p")
    assert ended.code == 1
    assert "did not glue 'x'. Did you mean 'xx'?" in ended.stage("second")["why"]


@pytest.mark.parametrize("busy_chain", KILLS, indirect=True, ids=" ".join)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_everything_and_the_run_can_be_resumed(start, run, busy_chain, notebook, number, code):
    process = start("--params", "p", "-v")
    wait_until(lambda: any("600" in process.info["cmdline"] for process in alive_in(busy_chain)))
    process.send_signal(number)
    wait_until(lambda: not alive_in(busy_chain / "notebooks"), seconds=5)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert alive_in(busy_chain) == []
    notebook("second", "1", parameters="x: int = 0\ntext: str = ''")
    again = run("--params", "p", "--resume")
    assert again.code == 0, again.err
    assert attempts(again, "second") == ["interrupted", "succeeded"]


def reaped(folder, warehouse):
    command = [sys.executable, "-m", "stagebook.cli", "reap", "--params", "p"]
    env = {**os.environ, "STAGEBOOK_WAREHOUSE": str(warehouse)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("busy_chain", KILLS, indirect=True, ids=" ".join)
def test_a_killed_runner_leaves_no_process_and_is_reaped_and_resumed(
    start, run, busy_chain, notebook, shared_warehouse
):
    process = start("--params", "p")
    wait_until(lambda: any("600" in process.info["cmdline"] for process in alive_in(busy_chain)))
    process.kill()
    process.communicate()
    wait_until(lambda: not alive_in(busy_chain), seconds=10)
    assert reaped(busy_chain, shared_warehouse).count("closed as interrupted") == 1
    assert reaped(busy_chain, shared_warehouse) == "no run was left open\n"
    (folder,) = (path.parent for path in (busy_chain / "runs").glob("*/run.json"))
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["exit_code"]) == ("interrupted", 137)
    assert record["stages"]["second"]["attempts"][0]["error"]["message"] == "the runner was killed"
    assert f"--resume {folder.name}" in (folder / "report.html").read_text()
    with sqlite3.connect(shared_warehouse / "mlflow.db") as database:
        told = database.execute(
            "SELECT status FROM runs JOIN tags USING (run_uuid) WHERE key = 'stagebook.run_id' AND value = ?",
            [folder.name],
        ).fetchall()
    assert ("RUNNING",) not in told and ("KILLED",) in told
    notebook("second", "1", parameters="x: int = 0\ntext: str = ''")
    again = run("--params", "p", "--resume")
    assert again.code == 0, again.err
    assert attempts(again, "first") == ["succeeded"]
    assert attempts(again, "second") == ["interrupted", "succeeded"]


def test_a_typo_ends_with_2_before_anything_is_made(run, chain):
    ended = run("--params", "p", "-p", "yy=3")
    assert ended.code == 2
    assert "-p yy=3: parameters.yy: no notebook declares 'yy'. Did you mean 'y'?" in ended.err
    assert not (chain / "runs").exists()


@pytest.mark.parametrize("words", [["--params", "p", "--jobs", "0"], ["--params", "p", "--engin", "x"], []])
def test_wrong_usage_ends_with_2(run, chain, words):
    ended = run(*words)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert not (chain / "runs").exists()


def test_a_dry_run_starts_and_writes_nothing(run, chain):
    ended = run("--params", "p", "-n", "--json", "--to", "second")
    assert ended.code == 0
    assert [step["action"] for step in json.loads(ended.out).values()] == ["run", "run", "skip"]
    assert not (chain / "runs").exists()


def test_a_part_stands_on_an_earlier_run(run, chain):
    whole = run("--params", "p")
    part = run("--params", "p", "--from", "second", "--to", "second", "--no-reuse")
    assert part.code == 0, part.err
    assert part.folder != whole.folder
    assert part.statuses == {"first": "reused", "second": "succeeded", "third": "skipped"}
    assert part.stage("second")["scraps"]["twice"] == 42


def test_two_branches_run_at_once_and_wait_for_each_other(run, notebook, params, tmp_path):
    for mine, other in (("a", "b"), ("b", "a")):
        notebook(mine, f"import time, pathlib\npathlib.Path({str(tmp_path / mine)!r}).touch()\n"
                       f"end = time.time() + 30\nwhile not pathlib.Path({str(tmp_path / other)!r}).exists():\n"
                       "    assert time.time() < end\n    time.sleep(0.05)")  # fmt: skip
    params("p", "pipeline: two\nstages: {a: {notebook: notebooks/a.ipynb}, b: {notebook: notebooks/b.ipynb}}")
    assert run("--params", "p", "-j", "2").code == 0


def test_what_takes_of_a_full_pool_waits_whatever_run_it_belongs_to(start, notebook, params, tmp_path):
    inside = tmp_path / "inside"
    notebook("a", f"import time, pathlib\ninside = pathlib.Path({str(inside)!r})\n"
             "inside.mkdir()\ntime.sleep(1.5)\ninside.rmdir()")  # fmt: skip
    stage = "{notebook: notebooks/a.ipynb, reuse: never, pools: {licence: 1}}"
    params("p", f"pipeline: pooled\npools: {{licence: 1}}\nstages: {{a: {stage}, b: {stage}}}")
    runs = [start("--params", "p", "-j", "2", STAGEBOOK_STATE_DIR=str(tmp_path / "state")) for _ in range(2)]
    assert [(process.communicate(timeout=120), process.returncode)[1] for process in runs] == [0, 0]
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/run.json")]
    reasons = [stage["why"] for record in records for stage in record["stages"].values()]
    assert sum("for pool licence" in why for why in reasons) == 3


BRANCHES = """\
pipeline: branches
stages:
  bad: {notebook: notebooks/bad.ipynb}
  after_bad: {notebook: notebooks/good.ipynb, depends_on: [bad]}
  cleanup: {notebook: notebooks/good.ipynb, depends_on: [bad], run_if: AT_LEAST_ONE_FAILED}
  good: {notebook: notebooks/good.ipynb}
"""


@pytest.mark.parametrize(("flags", "good"), [([], "skipped"), (["-k"], "succeeded")])
def test_after_a_failure_independent_branches_wait_for_keep_going(run, notebook, params, flags, good):
    notebook("bad", "1 / 0")
    notebook("good", "1")
    params("p", BRANCHES)
    ended = run("--params", "p", *flags)
    assert ended.code == 1
    assert ended.statuses == {"bad": "failed", "after_bad": "upstream_failed", "cleanup": "succeeded", "good": good}


def test_a_refused_gate_skips_what_waits_for_it_and_ends_with_4(run, notebook, params):
    verdict = {
        "passed": False,
        "rules": [
            {
                "rule": "roc_auc ≥ 0.9",
                "metric": "roc_auc",
                "value": 0.7,
                "bound": 0.9,
                "passed": False,
                "why": "0.7 < 0.9",
            }
        ],
    }
    notebook("check", f"import scrapbook as sb\nsb.glue('gate', {verdict!r})\nsb.glue('ok', False)")
    notebook("deploy", "1")
    params("p", "pipeline: gated\nstages:\n  check: {notebook: notebooks/check.ipynb}\n"
                "  deploy: {notebook: notebooks/deploy.ipynb, depends_on: [check], only_if: '{{tasks.check.values.ok}}'}\n")  # fmt: skip
    ended = run("--params", "p")
    assert ended.code == 4
    assert ended.statuses == {"check": "succeeded", "deploy": "skipped"}
    assert "roc_auc ≥ 0.9: 0.7 < 0.9" in ended.out


def test_a_run_that_is_held_ends_with_75_and_names_the_owner(start, run, notebook, params, tmp_path):
    notebook("slow", "import time; time.sleep(600)")
    params("p", "pipeline: slow\nstages: {slow: {notebook: notebooks/slow.ipynb}}")
    holder = start("--params", "p", "--run-id", "mine")
    wait_until(lambda: (tmp_path / "runs/mine/run.owner").exists())
    second = run("--params", "p", "--run-id", "mine")
    assert second.code == 75
    assert f"held by another process (process {holder.pid}" in second.err
    holder.send_signal(signal.SIGTERM)
    holder.communicate(timeout=60)


def test_a_stage_that_declares_a_table_must_write_it(run, notebook, params):
    notebook("a", "1")
    params("p", "pipeline: lazy\nstages: {a: {notebook: notebooks/a.ipynb, writes: [rows], max_retries: 0}}")
    ended = run("--params", "p")
    assert ended.code == 1
    assert "without writing the table 'rows'" in ended.stage("a")["why"]


def test_every_event_of_the_journal_is_whole_and_leads_to_the_record(run, chain):
    from stagebook.storage.runs import RunFolder, to_json

    ended = run("--params", "p")
    folded = RunFolder(ended.folder).load()
    assert folded is not None
    assert json.loads(json.dumps(to_json(folded), default=str)) == ended.record
    assert (ended.folder / "events.jsonl").stat().st_size > 500


def test_an_external_table_is_pinned_when_the_run_starts_and_read_by_its_name(run, notebook, params, tmp_path):
    import pandas as pd
    from deltalake import write_deltalake

    for fares in ([1.5], [1.5, 2.5]):
        write_deltalake(tmp_path / "theirs/fares", pd.DataFrame({"fare": fares}), mode="overwrite")
    append = f"write_deltalake({str(tmp_path / 'theirs/fares')!r}, pd.DataFrame({{'fare': [9.0]}}), mode='append')"
    notebook("a", "from deltalake import write_deltalake", "import pandas as pd", append)
    notebook("b", "import scrapbook as sb\nfrom stagebook import stage", "sb.glue('rows', len(stage.read('fares')))")
    params(
        "p",
        """\
        pipeline: guest
        stages:
          a: {notebook: notebooks/a.ipynb}
          b: {notebook: notebooks/b.ipynb, depends_on: [a], reads: [fares]}
        tables: {engine: pandas, external: {fares: theirs/fares}}
        """,
    )
    ended = run("--params", "p")
    assert (ended.code, ended.record["pins"], ended.stage("b")["inputs"]) == (0, {"fares": 1}, {"fares": 1})
    assert ended.stage("b")["scraps"] == {"rows": 2}, "as of the run's start, whatever its owner writes meanwhile"
