"""The runner on tiny pipelines: order, scraps, failures, retries, resume, signals, parts of a pipeline, locks."""

import json
import signal
import sqlite3
import time
from contextlib import closing

import pandas as pd
import pytest
from deltalake import write_deltalake
from fixtures.processes import HANG_SECONDS, live_processes, wait_until

from stagebook.runs.folders import RunFolder, to_json
from stagebook.user_state import state_folder

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
SECOND_PARAMETERS = "x: int = 0\ntext: str = ''"


def write_chain(project):
    """Three stages; a scrap of the first is a parameter of the second."""
    glue_scraps = "import scrapbook as sb\nsb.glue('x', 20 + y)\nsb.glue('names', ['a', 'b'])"
    project.notebook("first", glue_scraps, parameters="y: int = 1")
    glue_results = "import scrapbook as sb\nsb.glue('twice', 2 * x)\nsb.glue('text', text)"
    project.notebook("second", glue_results, parameters=SECOND_PARAMETERS)
    project.notebook("third", "1")
    project.params("p", CHAIN)


@pytest.fixture
def chain(project_of_test):
    write_chain(project_of_test)
    return project_of_test


# One run in which every stage succeeds.

SUCCEEDING = (
    CHAIN
    + """\
  flaky: {notebook: notebooks/flaky.ipynb, max_retries: 2, min_retry_interval_millis: 10}
  left: {notebook: notebooks/left.ipynb}
  right: {notebook: notebooks/right.ipynb}
  append: {notebook: notebooks/append.ipynb}
  read: {notebook: notebooks/read.ipynb, depends_on: [append], reads: [fares]}
tables: {engine: pandas, external: {fares: theirs/fares}}
"""
)


@pytest.fixture(scope="module")
def succeeded(module_project):
    """The finished run of a pipeline that has the chain, a flaky stage, two that wait for each other, and a foreign table."""
    project, folder = module_project, module_project.folder
    write_chain(project)
    project.params("p", SUCCEEDING)
    flag = folder / "flag"
    fail_once = f"import pathlib\nflag = pathlib.Path({str(flag)!r})\nif not flag.exists():\n    flag.touch()\n"
    project.notebook("flaky", f"{fail_once}    raise ConnectionError('again')")
    for name, neighbour in (("left", "right"), ("right", "left")):
        project.notebook(name, f"import time, pathlib\npathlib.Path({str(folder / name)!r}).touch()\n"
                         f"while not pathlib.Path({str(folder / neighbour)!r}).exists():\n    time.sleep(0.02)")  # fmt: skip
    fares = str(folder / "theirs/fares")
    for rows in ([1.5], [1.5, 2.5]):
        write_deltalake(fares, pd.DataFrame({"fare": rows}), mode="overwrite")
    append = f"write_deltalake({fares!r}, pd.DataFrame({{'fare': [9.0]}}), mode='append')"
    project.notebook("append", "from deltalake import write_deltalake", "import pandas as pd", append)
    project.notebook(
        "read", "import scrapbook as sb\nfrom stagebook import stage", "sb.glue('rows', len(stage.read('fares')))"
    )
    ended = project.run("--params", "p", "-p", "y=2", "-j", "2", "--json")
    assert ended.code == 0, ended.err
    return ended


def test_stages_run_in_order_and_hand_scraps_on(succeeded):
    record = json.loads(succeeded.out)
    assert record["status"] == "succeeded"
    assert record["stages"]["second"]["scraps"] == {"twice": 44, "text": 'got 22 of ["a", "b"]'}
    assert record["stages"]["second"]["parameters"]["x"] == 22
    assert record["mlflow"]["run_id"]
    assert (succeeded.folder / "report.html").stat().st_size > 2000
    for name in record["stages"]:
        assert (succeeded.folder / f"stages/{name}/attempt-1.ipynb").exists()
        assert (succeeded.folder / f"stages/{name}/attempt-1.html").exists()
    assert succeeded.record == record


def test_a_flaky_stage_is_retried_and_every_attempt_is_kept(succeeded):
    assert succeeded.attempts("flaky") == ["failed", "succeeded"]
    notebooks = {path.name for path in (succeeded.folder / "stages/flaky").glob("*.ipynb")}
    assert notebooks == {"attempt-1.ipynb", "attempt-2.ipynb"}


def test_two_branches_run_at_once(succeeded):
    """Each of them waits until it sees the other."""
    assert (succeeded.attempts("left"), succeeded.attempts("right")) == (["succeeded"], ["succeeded"])


def test_an_external_table_is_pinned_when_the_run_starts_and_read_by_its_name(succeeded):
    assert (succeeded.record["pins"], succeeded.stage("read")["inputs"]) == ({"fares": 1}, {"fares": 1})
    assert succeeded.stage("read")["scraps"] == {"rows": 2}, (
        "as of the run's start, whatever its owner writes meanwhile"
    )


def test_every_event_of_the_journal_is_complete_and_leads_to_the_record(succeeded):
    folded = RunFolder(succeeded.folder).load()
    assert folded is not None
    assert json.loads(json.dumps(to_json(folded), default=str)) == succeeded.record
    assert (succeeded.folder / "events.jsonl").stat().st_size > 500


def test_a_part_of_the_pipeline_takes_the_other_stages_from_an_earlier_run(succeeded, module_project):
    part = module_project.run("--params", "p", "-p", "y=2", "--from", "second", "--to", "second", "--no-reuse")
    assert part.code == 0, part.err
    assert part.folder != succeeded.folder
    in_part = {"first": "reused", "second": "succeeded"}
    assert part.statuses == dict.fromkeys(succeeded.statuses, "skipped") | in_part
    assert part.stage("second")["scraps"]["twice"] == 44


# One run in which most stages fail, with --keep-going.

FAILING = """\
pipeline: failing
defaults: {max_retries: 0, min_retry_interval_millis: 10}
stages:
  bad: {notebook: notebooks/bad.ipynb}
  after_bad: {notebook: notebooks/good.ipynb, depends_on: [bad]}
  cleanup: {notebook: notebooks/good.ipynb, depends_on: [bad], run_if: AT_LEAST_ONE_FAILED}
  good: {notebook: notebooks/good.ipynb}
"""
FAILING_MORE = (
    FAILING
    + """\
  unequal: {notebook: notebooks/unequal.ipynb, max_retries: 5}
  misspelt: {notebook: notebooks/misspelt.ipynb}
  needs_scrap: {notebook: notebooks/needs_scrap.ipynb, depends_on: [misspelt], parameters: {x: "{{tasks.misspelt.values.x}}"}}
  writes_nothing: {notebook: notebooks/good.ipynb, writes: [rows]}
"""
)


def write_failing(project):
    project.notebook("bad", "1 / 0")
    project.notebook("good", "1")


@pytest.fixture(scope="module")
def failed(module_project):
    """A run with several kinds of failures."""
    write_failing(module_project)
    module_project.notebook("unequal", "assert 1 == 2, 'one is not two'")
    module_project.notebook("misspelt", "import scrapbook as sb; sb.glue('xx', 1)")
    module_project.notebook("needs_scrap", "x", parameters="x: int = 0")
    module_project.params("failing", FAILING_MORE)
    ended = module_project.run("--params", "failing", "-k", "-j", "2")
    assert ended.code == 1, ended.err
    return ended


def test_with_keep_going_independent_branches_run_after_a_failure(failed):
    expected = {"bad": "failed", "after_bad": "upstream_failed", "cleanup": "succeeded", "good": "succeeded"}
    assert {name: failed.statuses[name] for name in expected} == expected


def test_without_keep_going_only_stages_that_follow_the_failure_start(run, project_of_test):
    write_failing(project_of_test)
    project_of_test.params("p", FAILING)
    ended = run("--params", "p")
    assert ended.code == 1
    assert ended.statuses == {
        "bad": "failed",
        "after_bad": "upstream_failed",
        "cleanup": "succeeded",
        "good": "skipped",
    }


def test_an_assertion_is_not_retried(failed):
    assert failed.attempts("unequal") == ["failed"]


def test_a_missing_scrap_fails_the_stage_that_needs_it(failed):
    assert (failed.statuses["misspelt"], failed.statuses["needs_scrap"]) == ("succeeded", "failed")
    assert "did not glue 'x'. Did you mean 'xx'?" in failed.stage("needs_scrap")["why"]


def test_a_stage_that_declares_a_table_must_write_it(failed):
    assert failed.statuses["writes_nothing"] == "failed"
    assert "without writing the table 'rows'" in failed.stage("writes_nothing")["why"]


def test_a_failure_names_what_to_do_and_resume_continues_there(run, chain):
    chain.notebook("second", "y = 1", "raise RuntimeError('the disk is on fire')", parameters=SECOND_PARAMETERS)
    ended = run("--params", "p")
    assert ended.code == 1
    assert ended.statuses == {"first": "succeeded", "second": "failed", "third": "upstream_failed"}
    assert "stage 'second' failed in cell 3 (attempt 1):\n  RuntimeError: the disk is on fire" in ended.out
    assert str(ended.folder / "stages/second/attempt-1.ipynb") in ended.out
    assert f"--params p --resume {ended.folder.name}" in ended.out.splitlines()[-1]

    chain.notebook("second", "import scrapbook as sb; sb.glue('twice', 2 * x)", parameters=SECOND_PARAMETERS)
    resumed = run("--params", "p", "--resume")
    assert resumed.code == 0, resumed.err
    assert resumed.folder == ended.folder
    assert {name: len(stage["attempts"]) for name, stage in resumed.record["stages"].items()} == {
        "first": 1, "second": 2, "third": 1,
    }  # fmt: skip


def test_a_refused_gate_skips_what_waits_for_it_and_ends_with_4(run, notebook, params):
    rule = {
        "rule": "roc_auc ≥ 0.9",
        "metric": "roc_auc",
        "value": 0.7,
        "bound": 0.9,
        "passed": False,
        "why": "0.7 < 0.9",
    }
    verdict = {"passed": False, "rules": [rule]}
    notebook("check", f"import scrapbook as sb\nsb.glue('gate', {verdict!r})\nsb.glue('ok', False)")
    notebook("deploy", "1")
    params("p", "pipeline: gated\nstages:\n  check: {notebook: notebooks/check.ipynb}\n"
                "  deploy: {notebook: notebooks/deploy.ipynb, depends_on: [check], only_if: '{{tasks.check.values.ok}}'}\n")  # fmt: skip
    ended = run("--params", "p")
    assert ended.code == 4
    assert ended.statuses == {"check": "succeeded", "deploy": "skipped"}
    assert "roc_auc ≥ 0.9: 0.7 < 0.9" in ended.out


# Signals and kills, while four stages are under way: on forked and on fresh kernels, in two states.

BUSY = {
    "a_child_in_its_session": "subprocess.Popen(['sleep', {seconds!r}], start_new_session=True); time.sleep(600)",
    "holding_the_gil": "subprocess.Popen(['sleep', {seconds!r}]); ctypes.PyDLL(None).sleep(600)",
}
BUSY_STAGES = {f"{kernel}_{state}": (kernel, cell) for kernel in ("cold", "auto") for state, cell in BUSY.items()}


@pytest.fixture
def busy(project_of_test):
    """A finished first stage, four that are busy for ten minutes, each with a child process, and a last one."""
    lines = ["pipeline: busy", "stages:", "  first: {notebook: notebooks/first.ipynb}"]
    project_of_test.notebook("first", "1")
    project_of_test.notebook("last", "1")
    for number, (name, (kernel, cell)) in enumerate(BUSY_STAGES.items()):
        project_of_test.notebook(name, f"import ctypes, subprocess, time; {cell.format(seconds=str(600 + number))}")
        lines.append(f"  {name}: {{notebook: notebooks/{name}.ipynb, kernel: {kernel}, depends_on: [first]}}")
    lines.append(f"  last: {{notebook: notebooks/last.ipynb, depends_on: [{', '.join(BUSY_STAGES)}]}}")
    project_of_test.params("p", "\n".join(lines) + "\n")
    return project_of_test


def start_until_all_are_busy(busy):
    """The runner's process, once every busy stage has started its child."""
    process = busy.start("--params", "p", "-v", "-j", "4", "--run-id", busy.folder.name)
    children = {("sleep", str(600 + number)) for number in range(len(BUSY_STAGES))}
    wait_until(
        lambda: children <= {tuple(process.info["cmdline"] or ()) for process in live_processes(busy.folder)},
        process=process,
    )
    return process


def assert_resume_succeeds(busy):
    for name in BUSY_STAGES:
        busy.notebook(name, "1")
    resumed = busy.run("--params", "p", "-j", "4", "--resume")
    assert resumed.code == 0, resumed.err
    for name in resumed.statuses:
        assert resumed.attempts(name) == (["interrupted", "succeeded"] if name in BUSY_STAGES else ["succeeded"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_everything_and_the_run_can_be_resumed(busy, call, number, code):
    process = start_until_all_are_busy(busy)
    refused = call("run", "--params", "p", "--run-id", busy.folder.name)
    assert refused.code == 75, "the run is held"
    assert f"held by another process (process {process.pid}" in refused.err
    process.send_signal(number)
    wait_until(lambda: not live_processes(busy.folder / "notebooks"))
    process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == code
    assert live_processes(busy.folder) == []
    assert_resume_succeeds(busy)


def test_a_killed_runner_leaves_no_process_and_is_reaped_and_resumed(busy, call, shared_warehouse):
    process = start_until_all_are_busy(busy)
    process.kill()
    process.communicate()
    wait_until(lambda: not live_processes(busy.folder))
    assert call("runs", "reap", "--params", "p").out.count("closed as interrupted") == 1
    assert call("runs", "reap", "--params", "p").out == "no run was left open\n"
    folder = busy.folder / "runs" / busy.folder.name
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["exit_code"]) == ("interrupted", 137)
    for name in BUSY_STAGES:
        assert record["stages"][name]["attempts"][0]["error"]["message"] == "the runner was killed"
    assert f"--resume {folder.name}" in (folder / "report.html").read_text()
    with closing(sqlite3.connect(shared_warehouse / "mlflow.db")) as database:
        statuses = database.execute(
            "SELECT status FROM runs JOIN tags USING (run_uuid) WHERE key = 'stagebook.run_id' AND value = ?",
            [folder.name],
        ).fetchall()
    assert ("RUNNING",) not in statuses and ("KILLED",) in statuses
    assert_resume_succeeds(busy)


# What starts nothing runs in this process.


def test_a_typo_ends_with_2_before_anything_is_made(call, chain):
    ended = call("run", "--params", "p", "-p", "yy=3")
    assert ended.code == 2
    assert "-p yy=3: parameters.yy: no notebook declares 'yy'. Did you mean 'y'?" in ended.err
    assert not (chain.folder / "runs").exists()


@pytest.mark.parametrize("words", [["--params", "p", "--jobs", "0"], ["--params", "p", "--engin", "x"], []])
def test_wrong_usage_ends_with_2(call, chain, words):
    ended = call("run", *words)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert not (chain.folder / "runs").exists()


def test_the_exit_status_of_wrong_usage_is_that_of_the_process(run, chain):
    assert run("--params", "p", "--engin", "x").code == 2


def test_a_dry_run_starts_and_writes_nothing(call, chain):
    ended = call("run", "--params", "p", "-n", "--json", "--to", "second")
    assert ended.code == 0
    assert [step["action"] for step in json.loads(ended.out).values()] == ["run", "run", "skip"]
    assert not (chain.folder / "runs").exists()


def claims_of_licence():
    with closing(sqlite3.connect(state_folder() / "pools.sqlite")) as database:
        return database.execute("SELECT count(*) FROM claims WHERE wants LIKE '%licence%'").fetchone()[0]


def test_a_stage_waits_for_a_full_pool_whichever_run_it_belongs_to(start, notebook, params, tmp_path):
    door, inside = tmp_path / "door is open", tmp_path / "inside"
    notebook("a", f"import time, pathlib\ninside = pathlib.Path({str(inside)!r})\n"
             f"inside.mkdir()\nwhile not pathlib.Path({str(door)!r}).exists():\n    time.sleep(0.02)\ninside.rmdir()")  # fmt: skip
    stage = "{notebook: notebooks/a.ipynb, reuse: never, pools: {licence: 1}}"
    params("p", f"pipeline: pooled\npools: {{licence: 1}}\nstages: {{a: {stage}, b: {stage}}}")
    runs = [start("--params", "p", "-j", "2") for _ in range(2)]
    wait_until(lambda: inside.exists() and claims_of_licence() == 4)
    time.sleep(1.0)  # a shorter wait is not worth a word
    door.touch()
    assert [(process.communicate(timeout=HANG_SECONDS), process.returncode)[1] for process in runs] == [0, 0]
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/run.json")]
    reasons = [stage["why"] for record in records for stage in record["stages"].values()]
    assert sum("for pool licence" in reason for reason in reasons) == 3
