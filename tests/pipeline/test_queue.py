"""The queue through the real command: what is added runs once, also when whoever works on it is killed."""

import json
import os
import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from fixtures.waiting import wait_until

from stagebook.cli import main

QUEUE = ("-m", "stagebook.cli", "queue")

PARAMS = """\
pipeline: queued
defaults: {max_retries: 0, kernel: cold}
stages:
  only: {notebook: notebooks/only.ipynb}
"""


@pytest.fixture
def queued(notebook, params, tmp_path):
    notebook("only", f"open({str(tmp_path / 'said')!r}, 'a').write(text)", parameters="text: str = 'x'")
    params("p", PARAMS)
    (tmp_path / "params/sweeps").mkdir()
    (tmp_path / "params/sweeps/s.yaml").write_text("grid: {text: [a, b, c]}\n")
    return tmp_path


@pytest.fixture
def queue(run, queued, shared_warehouse, monkeypatch, capsys):
    """`queue("list")`: a command on a queue of this test's own; those that start nothing run in this process."""
    monkeypatch.chdir(queued)
    monkeypatch.setenv("STAGEBOOK_STATE_DIR", str(queued / "state"))
    monkeypatch.setenv("STAGEBOOK_WAREHOUSE", str(shared_warehouse))

    def call(*words):
        if words[0] == "run":
            return run(*words, program=QUEUE)
        with pytest.raises(SystemExit) as ended:
            main(["queue", *words])
        told = capsys.readouterr()
        return Ended(int(ended.value.code or 0), told.out, told.err)

    return call


@dataclass(frozen=True)
class Ended:
    """What a command left."""

    code: int
    out: str
    err: str


def entries(queue):
    return json.loads(queue("list", "--all", "--json").out)


def closed_now() -> str:
    """A window that opens in two hours."""
    opens = datetime.now(UTC) + timedelta(hours=2)
    return f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M} UTC"


def test_entries_run_by_priority_and_those_that_may_not_start_wait(queue, queued):
    assert queue("add", "--params", "p", "-p", "text=a").code == 0
    assert queue("add", "--params", "p", "-p", "text=b", "--priority", "5").code == 0
    assert queue("add", "--params", "p", "-p", "text=c", "--window", closed_now()).code == 0
    assert queue("add", "--params", "p", "-p", "text=d").code == 0
    assert "cancelled" in queue("cancel", "4").out
    listed = queue("list").out
    assert listed.count("may start") == 2 and "(priority 5)" in listed and "UTC" in listed
    worked = queue("run")
    assert worked.code == 0, worked.err
    assert (queued / "said").read_text() == "ba"
    assert [one["state"] for one in entries(queue)] == ["ended", "ended", "waiting", "cancelled"]
    assert queue("run").code == 0
    assert (queued / "said").read_text() == "ba"


def test_what_could_not_run_is_refused_when_it_is_added(queue, queued):
    for words, why in [
        (("--params", "p", "-p", "txet=a"), "no notebook declares 'txet'. Did you mean 'text'?"),
        (("--params", "p", "--to", "nowhere"), "nowhere"),
        (("--params", "p", "--window", "22-6"), "It is written as 22:00-06:00 Europe/Berlin"),
        (("--params", "p", "--deadline", "2026-01-01"), "has passed"),
        (("--params", "p", "--not-before", "tonight"), "'tonight' is not a time"),
        (("--params", "p", "--sweep", "s", "--to", "only"), "a sweep says in its file"),
    ]:
        ended = queue("add", *words)
        assert (ended.code, why in ended.err) == (2, True), ended.err
    assert entries(queue) == []


def test_a_sweep_in_the_queue_is_one_entry_as_it_was_when_added(queue, queued):
    assert queue("add", "--params", "p", "--sweep", "s", "-j", "2").code == 0
    (queued / "params/sweeps/s.yaml").write_text("grid: {text: [q]}\n")
    worked = queue("run")
    assert worked.code == 0, worked.err
    assert sorted((queued / "said").read_text()) == ["a", "b", "c"]
    (entry,) = entries(queue)
    assert (entry["state"], entry["exit_code"]) == ("ended", 0)
    assert len(list((queued / "runs").glob("batch-*/comparison.html"))) == 1


def test_a_failure_is_the_exit_status_of_its_entry(queue, queued, notebook):
    notebook("only", "raise ValueError('no')", parameters="text: str = 'x'")
    queue("add", "--params", "p")
    assert queue("run").code == 1
    assert entries(queue)[0]["exit_code"] == 1


@pytest.mark.parametrize("also_the_run", [False, True])
def test_a_killed_worker_loses_no_entry_and_none_runs_twice(start, queue, queued, notebook, also_the_run):
    go, begun = queued / "go", queued / "begun"
    notebook(
        "only",
        f"import os, time\nopen({str(begun)!r}, 'a').write(str(os.getppid()) + '\\n')",
        f"while not os.path.exists({str(go)!r}): time.sleep(0.05)",
        f"open({str(queued / 'said')!r}, 'a').write(text)",
        parameters="text: str = 'x'",
    )
    queue("add", "--params", "p", "-p", "text=a")
    queue("add", "--params", "p", "-p", "text=b")
    worker = start("run", program=QUEUE)
    wait_until(begun.exists)
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate()
    if also_the_run:
        (owner,) = (queued / "runs").glob("*/run.owner")
        os.kill(int(owner.read_text().split()[1]), signal.SIGKILL)
    second = start("run", "--watch", program=QUEUE)
    time.sleep(2)
    go.touch()
    wait_until(lambda: [one["state"] for one in entries(queue)] == ["ended", "ended"], 120)
    os.kill(second.pid, signal.SIGTERM)
    second.communicate(timeout=60)
    assert second.returncode == 143
    assert sorted((queued / "said").read_text()) == ["a", "b"]
    assert [one["exit_code"] for one in entries(queue)] == [0, 0]
    assert len(list((queued / "runs").glob("*/events.jsonl"))) == 2


def test_two_workers_share_a_pool_and_never_exceed_it(start, queue, queued, notebook, params):
    inside = queued / "inside"
    notebook(
        "only",
        f"import os, time\nos.mkdir({str(inside)!r})  # fails if another is inside\ntime.sleep(1)\nos.rmdir({str(inside)!r})",
        f"open({str(queued / 'said')!r}, 'a').write(text)",
        parameters="text: str = 'x'",
    )
    params("p", PARAMS.replace("only.ipynb}", "only.ipynb, pools: {door: 1}}") + "pools: {door: 1}\n")
    for text in "abcd":
        queue("add", "--params", "p", "-p", f"text={text}")
    workers = [start("run", "-j", "2", program=QUEUE) for _ in range(2)]
    assert [worker.wait(timeout=200) for worker in workers] == [0, 0]
    assert sorted((queued / "said").read_text()) == ["a", "b", "c", "d"]
    assert [one["exit_code"] for one in entries(queue)] == [0, 0, 0, 0]
