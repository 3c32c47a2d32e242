"""Every end of a run that can be caught is recorded as what it was, whenever the signal comes."""

import json
import os
import pty
import signal
import socket
import sys

import pytest
from fixtures.processes import wait_until

SIGNALS = [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
PIPELINE = """\
pipeline: stopped
stages:
  a: {notebook: notebooks/a.ipynb, max_retries: 1, min_retry_interval_millis: 300000}
  b: {notebook: notebooks/b.ipynb, depends_on: [a]}
"""


@pytest.fixture
def project(notebook, params, tmp_path):
    notebook("a", "1", "open('here', 'w').close(); import time; time.sleep(600)")
    notebook("b", "1")
    params("p", PIPELINE)
    return tmp_path


def journal(project):
    return "".join(path.read_text() for path in (project / "runs").glob("*/events.jsonl"))


def recorded(project):
    (path,) = (project / "runs").glob("*/run.json")
    return json.loads(path.read_text()), path.parent


def check_interrupted_in_cell(project, code):
    record, folder = recorded(project)
    assert (record["status"], record["exit_code"]) == ("interrupted", code)
    (attempt,) = record["stages"]["a"]["attempts"]
    assert attempt["status"] == "interrupted"
    assert attempt["error"] == {"type": "Interrupted", "message": "the run was stopped", "cell": 2}
    assert record["stages"]["b"]["status"] == "pending"
    assert "Interrupted in stage a" in (folder / "report.html").read_text()
    assert "Cell 2 was interrupted" in (folder / attempt["notebook"]).with_suffix(".html").read_text()


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_run_that_is_stopped_in_a_cell_is_interrupted_there(start, project, number, code):
    process = start("--params", "p", "-v")
    wait_until((project / "notebooks/here").exists, process=process)
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == code
    assert "KeyboardInterrupt" not in out + err
    assert "attempt 1 interrupted in cell 2: Interrupted: the run was stopped" in err
    assert "the run was interrupted; finished stages are kept." in out and "--resume" in out
    check_interrupted_in_cell(project, code)


def test_a_run_whose_terminal_is_closed_is_interrupted_and_has_its_report(project, shared_warehouse):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project)
        env = {**os.environ, "STAGEBOOK_WAREHOUSE": str(shared_warehouse), "TERM": "xterm"}
        os.execve(sys.executable, [sys.executable, "-m", "stagebook.cli", "run", "--params", "p"], env)
    wait_until(lambda: (os.read(terminal, 65536), (project / "notebooks/here").exists())[1])
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    check_interrupted_in_cell(project, 129)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_run_that_is_stopped_between_two_attempts_keeps_what_ended(start, run, project, notebook, number, code):
    notebook("a", "raise ConnectionError('again')")
    process = start("--params", "p")
    wait_until(lambda: '"attempt_finished"' in journal(project), process=process)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == code
    record, _ = recorded(project)
    assert (record["status"], record["exit_code"]) == ("interrupted", code)
    assert [attempt["error"]["type"] for attempt in record["stages"]["a"]["attempts"]] == ["ConnectionError"]
    notebook("a", "1")
    again = run("--params", "p", "--resume")
    assert (again.code, again.statuses) == (0, {"a": "succeeded", "b": "succeeded"}), again.err


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_while_a_run_is_being_finished_hurries_it_and_changes_nothing(
    start, project, notebook, params, number, code
):
    notebook("a", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        params("p", f"{PIPELINE}tracking: {{uri: '{uri}'}}\n")
        process = start("--params", "p")
        wait_until(lambda: '"stage": "b", "status": "succeeded"' in journal(project), process=process)
        process.send_signal(number)
        _, err = process.communicate()
        assert process.returncode == 0, err
        record, folder = recorded(project)
        assert (record["status"], record["exit_code"]) == ("succeeded", 0)
        assert "Succeeded" in (folder / "report.html").read_text()
