"""The queue through the real command: every entry runs once, also when a worker is killed."""

import json
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest
from fixtures.processes import HANG_SECONDS, wait_until

from stagebook.executor.kernels import fork_server
from stagebook.user_state import private_folder

QUEUE = ("-m", "stagebook.cli", "queue")

PARAMS = """\
pipeline: queued
defaults: {max_retries: 0}
stages:
  only: {notebook: notebooks/only.ipynb}
"""


@pytest.fixture
def project(notebook, params, tmp_path):
    """A pipeline of one stage, which appends its parameter `text` to the file `texts`, and a sweep over it."""
    notebook("only", append_text(tmp_path), parameters="text: str = 'x'")
    params("p", PARAMS)
    (tmp_path / "params/sweeps").mkdir()
    (tmp_path / "params/sweeps/s.yaml").write_text("grid: {text: [a, b, c]}\n")
    return tmp_path


def append_text(project):
    return f"open({str(project / 'texts')!r}, 'a').write(text)"


@pytest.fixture
def own_state(tmp_path, monkeypatch):
    """A state folder of this test alone, and so a queue of its own; but with the fork servers of the session."""
    fork_servers = private_folder(fork_server.socket_folder())
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / fork_servers.name).symlink_to(fork_servers)
    monkeypatch.setenv("STAGEBOOK_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def queue(own_state, run, call, project):
    """`queue("list")`: a command on this test's queue; those that start nothing run in this process."""

    def queue_command(*words):
        return run(*words, program=QUEUE) if words[0] == "run" else call("queue", *words)

    return queue_command


def entries(queue):
    return json.loads(queue("list", "--all", "--json").out)


def states(queue):
    return [entry["state"] for entry in entries(queue)]


def exit_codes(queue):
    return [entry["exit_code"] for entry in entries(queue)]


def closed_window() -> str:
    """A window that opens in two hours."""
    opens = datetime.now(UTC) + timedelta(hours=2)
    return f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M} UTC"


def test_entries_run_by_priority_and_wait_where_they_may_not_start(queue, project):
    assert queue("add", "--params", "p", "-p", "text=a").code == 0
    assert queue("add", "--params", "p", "-p", "text=b", "--priority", "5").code == 0
    assert queue("add", "--params", "p", "-p", "text=c", "--window", closed_window()).code == 0
    assert queue("add", "--params", "p", "-p", "text=d").code == 0
    assert "cancelled" in queue("cancel", "4").out
    listed = queue("list").out
    assert listed.count("may start") == 2 and "(priority 5)" in listed and "UTC" in listed
    worked = queue("run")
    assert worked.code == 0, worked.err
    assert (project / "texts").read_text() == "ba"
    assert states(queue) == ["ended", "ended", "waiting", "cancelled"]
    assert queue("run").code == 0
    assert (project / "texts").read_text() == "ba"


def test_an_entry_that_could_not_run_is_refused_when_it_is_added(queue):
    for words, message in [
        (("--params", "p", "-p", "txet=a"), "no notebook declares 'txet'. Did you mean 'text'?"),
        (("--params", "p", "--to", "nowhere"), "nowhere"),
        (("--params", "p", "--window", "22-6"), "It is written as 22:00-06:00 Europe/Berlin"),
        (("--params", "p", "--deadline", "2026-01-01"), "has passed"),
        (("--params", "p", "--not-before", "tonight"), "'tonight' is not a time"),
        (("--params", "p", "--sweep", "s", "--to", "only"), "a sweep says in its file"),
    ]:
        ended = queue("add", *words)
        assert (ended.code, message in ended.err) == (2, True), ended.err
    assert entries(queue) == []


def test_a_sweep_in_the_queue_is_one_entry_with_the_configurations_of_when_it_was_added(queue, project):
    assert queue("add", "--params", "p", "--sweep", "s", "-j", "2").code == 0
    (project / "params/sweeps/s.yaml").write_text("grid: {text: [q]}\n")
    worked = queue("run")
    assert worked.code == 0, worked.err
    assert sorted((project / "texts").read_text()) == ["a", "b", "c"]
    (entry,) = entries(queue)
    assert (entry["kind"], entry["state"], entry["exit_code"]) == ("sweep", "ended", 0)
    assert len(list((project / "runs").glob("sweep-*/comparison.html"))) == 1


def test_a_failed_run_is_the_exit_status_of_its_entry(queue, notebook):
    notebook("only", "raise ValueError('no')", parameters="text: str = 'x'")
    queue("add", "--params", "p")
    assert queue("run").code == 1
    assert exit_codes(queue) == [1]


@pytest.mark.parametrize(("run_is_killed", "next_entry"), [(False, 2), (True, 1)])
def test_a_killed_worker_loses_no_entry_and_none_runs_twice(start, queue, project, notebook, run_is_killed, next_entry):
    gate, begun = project / "go", project / "begun"
    notebook(
        "only",
        f"import os, time\nopen({str(begun)!r}, 'a').close()",
        f"while not os.path.exists({str(gate)!r}): time.sleep(0.02)",
        append_text(project),
        parameters="text: str = 'x'",
    )
    queue("add", "--params", "p", "-p", "text=a")
    queue("add", "--params", "p", "-p", "text=b")
    killed = start("run", program=QUEUE)
    wait_until(begun.exists, process=killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    if run_is_killed:
        (owner,) = (project / "runs").glob("*/run.owner")
        os.kill(int(owner.read_text().split()[1]), signal.SIGKILL)
    worker = start("run", "--watch", program=QUEUE)
    assert f"entry {next_entry} starts" in worker.stderr.readline()
    gate.touch()
    wait_until(lambda: states(queue) == ["ended", "ended"], process=worker)
    os.kill(worker.pid, signal.SIGTERM)
    worker.communicate(timeout=HANG_SECONDS)
    assert worker.returncode == 143
    assert sorted((project / "texts").read_text()) == ["a", "b"]
    assert exit_codes(queue) == [0, 0]
    assert len(list((project / "runs").glob("*/events.jsonl"))) == 2


def test_two_workers_share_a_pool_and_never_exceed_it(start, queue, project, notebook, params):
    inside = str(project / "inside")
    notebook(
        "only",
        f"import os, time\nos.mkdir({inside!r})  # fails if another is inside\ntime.sleep(0.5)\nos.rmdir({inside!r})",
        append_text(project),
        parameters="text: str = 'x'",
    )
    params("p", PARAMS.replace("only.ipynb}", "only.ipynb, pools: {door: 1}}") + "pools: {door: 1}\n")
    for text in "abcd":
        queue("add", "--params", "p", "-p", f"text={text}")
    workers = [start("run", "-j", "2", program=QUEUE) for _ in range(2)]
    logs = [worker.communicate(timeout=HANG_SECONDS)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], logs
    assert sorted((project / "texts").read_text()) == ["a", "b", "c", "d"]
    assert exit_codes(queue) == [0, 0, 0, 0]
