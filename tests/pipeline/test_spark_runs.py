"""Pipelines on Spark: one warm server for all runs, honest about Java and about a server that dies."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SPARK, require_java
from fixtures.spark_notebooks import MAKE

from stagebook.engines.spark import server
from stagebook.tables.warehouse import Warehouse

USE = """\
import time
import pandas
from stagebook import stage

began = time.perf_counter()
stage.count(stage.frame(pandas.DataFrame({"n": [1]})))
stage.glue("seconds", time.perf_counter() - began)
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


def cached(spark, tables: Path, version: int) -> bool:
    """Whether the server, which all sessions share, keeps the rows of a table's version."""
    frame = Warehouse(tables, spark).read("rows", version=version)
    return frame.storageLevel.useMemory


def test_a_second_run_finds_the_warm_server_and_no_frames_that_the_first_has_cached(
    run, notebook, params, spark, shared_warehouse
):
    notebook("make", MAKE)
    notebook("use", USE, "if fail:\n    raise RuntimeError('after it was cached')", parameters="fail: bool = True")
    params("p", TWO)
    assert spark.session
    before = server.running(SPARK)
    assert before is not None
    first = run("--params", "p")
    assert first.code == 1, first.err
    assert first.stage("use")["attempts"][0]["error"]["message"] == "after it was cached"
    version = first.stage("make")["outputs"]["rows"]["version"]
    mine = spark.cache(Warehouse(shared_warehouse / "tables", spark).read("rows", version=version))
    assert cached(spark, shared_warehouse / "tables", version), "what is cached can be seen from here"
    mine.unpersist()
    again = run("--params", "p", "-p", "fail=false")
    assert again.code == 0, again.err
    assert server.running(SPARK) == before
    assert again.stage("use")["scraps"]["rows"] == 1000
    assert again.stage("use")["scraps"]["seconds"] < 3, "session and first answer of a warm server"
    assert again.stage("use")["engine"] == "spark"
    for ended in (first, again):
        version = ended.stage("make")["outputs"]["rows"]["version"]
        assert not cached(spark, shared_warehouse / "tables", version)


ENDLESS = """\
import pathlib
import pandas as pd
from stagebook import stage

few = stage.frame(pd.DataFrame({"n": range(1000)}))
began = pathlib.Path("began")
if not began.exists():
    began.touch()
    few.crossJoin(few).crossJoin(few).crossJoin(few).crossJoin(few).count()
stage.glue("rows", stage.count(few))
"""


def test_a_server_that_is_killed_fails_the_attempt_with_the_reason_and_the_retry_gets_a_new_one(
    start, notebook, params, tmp_path
):
    require_java()
    own = replace(SPARK, conf={"spark.stagebook.test": "killed"})
    notebook("a", ENDLESS)
    params("p", "pipeline: p\nspark: {conf: {spark.stagebook.test: killed}}\ntables: {engine: spark}\n"
                "stages: {a: {notebook: notebooks/a.ipynb, max_retries: 1, min_retry_interval_millis: 10}}")  # fmt: skip
    process = start("--params", "p", "--run-id", "it")
    try:
        began = tmp_path / "notebooks/began"
        deadline = time.monotonic() + 90
        while not began.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(2)
        first = server.running(own)
        assert first is not None
        killed = time.monotonic()
        os.kill(first.pid, signal.SIGKILL)
        events = tmp_path / "runs/it/events.jsonl"
        while "SparkDied" not in events.read_text():
            assert time.monotonic() - killed < 20
            time.sleep(0.1)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        second = server.running(own)
        assert second is not None
        assert second.pid != first.pid
    finally:
        server.stop(own)
    assert "failed in cell 1: SparkDied: the Spark server ended while the stage ran: it was killed by SIGKILL" in said
    assert "attempt 2 succeeded" in said


@pytest.mark.parametrize(
    ("engine", "remote", "words", "code"),
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
    run, notebook, params, tmp_path, engine, remote, words, code
):
    notebook("a", "1")
    params("p", f"pipeline: p\nspark: {{remote: {remote}}}\nstages:\n  a: {{notebook: notebooks/a.ipynb, engine: {engine}}}\n"
                "  quick: {notebook: notebooks/a.ipynb, engine: pandas}\n")  # fmt: skip
    ended = run("--params", "p", *words, PATH=str(tmp_path), JAVA_HOME=str(tmp_path / "none"))
    assert ended.code == code, ended.err
    assert ("the engine 'spark' needs Java 17 or 21, and JAVA_HOME is" in ended.err) == (code == 2)
    assert list((tmp_path / "runs").glob("*")) == []


def test_a_notebook_that_is_opened_by_hand_finds_the_server_by_itself(notebook, params, spark, tmp_path):
    import nbformat
    from nbclient import NotebookClient

    notebook("make", MAKE)
    notebook("use", USE, "import os\n'STAGEBOOK_CONTEXT' in os.environ")
    params("dev", TWO)
    for name in ("make", "use"):
        opened = nbformat.read(tmp_path / f"notebooks/{name}.ipynb", as_version=4)
        done = NotebookClient(opened, resources={"metadata": {"path": str(tmp_path / "notebooks")}}).execute()
    assert done.cells[0].outputs[1].data["application/scrapbook.scrap.json+json"]["data"] == 1000
    assert done.cells[1].outputs[0].data["text/plain"] == "False"
    assert not cached(spark, tmp_path / "warehouse/tables", 1)


def test_ctrl_c_does_not_wait_for_a_server_that_is_being_started(start, notebook, params, tmp_path):
    require_java()
    own = replace(SPARK, conf={"spark.stagebook.test": "interrupted"})
    notebook("a", "from stagebook import stage")
    params("p", "pipeline: p\nspark: {conf: {spark.stagebook.test: interrupted}}\n"
                "stages: {a: {notebook: notebooks/a.ipynb, engine: spark}}")  # fmt: skip
    from filelock import FileLock

    told = server._told(own)
    with FileLock(told.with_suffix(".lock")):  # as if another process were at it for long
        process = start("--params", "p", "--run-id", "it")
        events = tmp_path / "runs/it/events.jsonl"
        deadline = time.monotonic() + 60
        while not events.exists() or "attempt_started" not in events.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "attempt 1 interrupted" in said


def test_the_server_is_started_beside_the_runs_own_start(start, notebook, params, tmp_path):
    """…and not by the stage: here no stage ever gets as far."""
    require_java()
    own = replace(SPARK, conf={"spark.stagebook.test": "early"})
    notebook("slow", "import time; time.sleep(600)")
    params("p", "pipeline: p\nspark: {conf: {spark.stagebook.test: early}}\nstages:\n"
                "  slow: {notebook: notebooks/slow.ipynb}\n"
                "  late: {notebook: notebooks/slow.ipynb, engine: spark, depends_on: [slow]}\n")  # fmt: skip
    process = start("--params", "p")
    try:
        deadline = time.monotonic() + 60
        while not server.running(own):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        server.stop(own)
    assert process.returncode == 143
