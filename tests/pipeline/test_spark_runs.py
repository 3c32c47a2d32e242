"""Pipelines on Spark: all runs share one running server; errors name a missing Java and a server that ended."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from conftest import SPARK
from filelock import FileLock
from fixtures.processes import HANG_SECONDS, file_contains, wait_until
from fixtures.spark_notebooks import MAKE_ROWS

from stagebook.spark import server
from stagebook.tables.warehouse import Warehouse

USE = """\
from stagebook import stage

rows = stage.cache(stage.read("rows"))
stage.glue("rows", stage.count(rows))
assert rows.storageLevel.useMemory
"""
TWO = """\
pipeline: two
tables: {engine: spark}
stages:
  make: {notebook: notebooks/make.ipynb, writes: [rows]}
  use: {notebook: notebooks/use.ipynb, depends_on: [make], reads: [rows]}
"""


def is_cached(spark, tables: Path, version: int) -> bool:
    """Whether the server, which all sessions share, caches the rows of a table's version."""
    frame = Warehouse(tables, spark).read("rows", version=version)
    return frame.storageLevel.useMemory


def test_a_second_run_uses_the_running_server_and_no_frames_that_the_first_has_cached(
    run, notebook, params, spark, shared_warehouse
):
    notebook("make", MAKE_ROWS)
    notebook("use", USE, "if fail:\n    raise RuntimeError('after it was cached')", parameters="fail: bool = True")
    params("p", TWO)
    assert spark.session
    shared_server = server.running(SPARK)
    assert shared_server is not None
    failed_run = run("--params", "p")
    assert failed_run.code == 1, failed_run.err
    assert failed_run.stage("use")["attempts"][0]["error"]["message"] == "after it was cached"
    version = failed_run.stage("make")["outputs"]["rows"]["version"]
    frame = spark.cache(Warehouse(shared_warehouse / "tables", spark).read("rows", version=version))
    assert is_cached(spark, shared_warehouse / "tables", version), "this test sees what another session has cached"
    frame.unpersist()
    second_run = run("--params", "p", "-p", "fail=false")
    assert second_run.code == 0, second_run.err
    assert server.running(SPARK) == shared_server
    assert second_run.stage("use")["scraps"]["rows"] == 1000
    assert second_run.stage("use")["engine"] == "spark"
    for ended in (failed_run, second_run):
        version = ended.stage("make")["outputs"]["rows"]["version"]
        assert not is_cached(spark, shared_warehouse / "tables", version)


GATED = """\
import pathlib, time

while not pathlib.Path("open").exists():
    time.sleep(0.02)
"""
ENDLESS = """\
import pathlib
import pandas as pd
from stagebook import stage

rows = stage.from_local(pd.DataFrame({"n": range(1000)}))
began = pathlib.Path("began")
if not began.exists():
    began.touch()
    rows.crossJoin(rows).crossJoin(rows).crossJoin(rows).crossJoin(rows).count()
stage.glue("rows", stage.count(rows))
"""
OWN_SERVER = """\
pipeline: p
spark: {conf: {spark.stagebook.test: killed}}
stages:
  gated: {notebook: notebooks/gated.ipynb}
  endless:
    {notebook: notebooks/endless.ipynb, depends_on: [gated], engine: spark, max_retries: 1, min_retry_interval_millis: 10}
"""


def test_a_run_starts_its_server_early_and_one_that_is_killed_fails_the_attempt_and_the_retry_gets_a_new_one(
    java, start, notebook, params, tmp_path
):
    settings = replace(SPARK, conf={"spark.stagebook.test": "killed"})
    notebook("gated", GATED)
    notebook("endless", ENDLESS)
    params("p", OWN_SERVER)
    process = start("--params", "p", "--run-id", "it")
    try:
        # The run starts it, not the stage, which waits for the one before it.
        killed_server = wait_until(lambda: server.running(settings), process=process)
        (tmp_path / "notebooks/open").touch()
        wait_until((tmp_path / "notebooks/began").exists, process=process)
        used_before = cpu_seconds(killed_server.pid)
        wait_until(lambda: cpu_seconds(killed_server.pid) > used_before + 1.0, process=process)  # it computes
        os.kill(killed_server.pid, signal.SIGKILL)
        _, log = process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 0, log
        assert file_contains(tmp_path / "runs/it/events.jsonl", "SparkDied")
        new_server = server.running(settings)
        assert new_server is not None
        assert new_server.pid != killed_server.pid
    finally:
        server.stop(settings)
    assert "failed in cell 1: SparkDied: the Spark server ended while the stage ran: it was killed by SIGKILL" in log
    assert "attempt 2 succeeded" in log


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


@pytest.mark.parametrize(
    ("stage_engine", "remote", "options", "code"),
    [
        ("spark", "null", [], 2),
        ("spark", "null", ["--dry-run"], 2),
        ("spark", "spark://127.0.0.1:1", [], 2),
        ("spark", "sc://127.0.0.1:1", ["--dry-run"], 0),
        ("pandas", "null", ["--dry-run"], 0),
        ("spark", "null", ["--dry-run", "--only", "quick"], 0),
    ],
)
def test_without_java_a_run_that_needs_it_ends_with_2_and_leaves_nothing(
    call, notebook, params, tmp_path, monkeypatch, stage_engine, remote, options, code
):
    notebook("a", "1")
    params("p", f"pipeline: p\nspark: {{remote: {remote}}}\nstages:\n  a: {{notebook: notebooks/a.ipynb, engine: {stage_engine}}}\n"
                "  quick: {notebook: notebooks/a.ipynb, engine: pandas}\n")  # fmt: skip
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "none"))
    ended = call("run", "--params", "p", *options)
    assert ended.code == code, ended.err
    assert ("the engine 'spark' needs Java 17 or 21, and JAVA_HOME is" in ended.err) == (code == 2)
    assert list((tmp_path / "runs").glob("*")) == []


def test_a_notebook_that_is_opened_by_hand_connects_to_the_server(notebook, params, spark, tmp_path):
    import nbformat
    from nbclient import NotebookClient

    notebook("make", MAKE_ROWS)
    notebook("use", USE, "import os\n'STAGEBOOK_CONTEXT' in os.environ")
    params("dev", TWO)
    for name in ("make", "use"):
        opened = nbformat.read(tmp_path / f"notebooks/{name}.ipynb", as_version=4)
        executed = NotebookClient(opened, resources={"metadata": {"path": str(tmp_path / "notebooks")}}).execute()
    assert executed.cells[0].outputs[0].data["application/scrapbook.scrap.json+json"]["data"] == 1000
    assert executed.cells[1].outputs[0].data["text/plain"] == "False"
    assert not is_cached(spark, tmp_path / "warehouse/tables", 1)


def test_ctrl_c_does_not_wait_for_a_server_that_is_being_started(java, start, notebook, params, tmp_path):
    settings = replace(SPARK, conf={"spark.stagebook.test": "interrupted"})
    notebook("a", "from stagebook import stage")
    params("p", "pipeline: p\nspark: {conf: {spark.stagebook.test: interrupted}}\n"
                "stages: {a: {notebook: notebooks/a.ipynb, engine: spark}}")  # fmt: skip
    server_file = server._server_file(settings)
    with FileLock(server_file.with_suffix(".lock")):  # as if another process were starting it for long
        process = start("--params", "p", "--run-id", "it")
        wait_until(lambda: file_contains(tmp_path / "runs/it/events.jsonl", "attempt_started"))
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 130, log
    assert "attempt 1 interrupted" in log
