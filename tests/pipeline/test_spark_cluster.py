"""A real standalone cluster on loopback, a master and two workers: driven by our server, or by somebody else's."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from conftest import SPARK
from deltalake import DeltaTable
from fixtures.processes import HANG_SECONDS, file_contains, wait_until
from fixtures.spark_notebooks import MAKE_ROWS

from stagebook.spark import launch, server
from stagebook.spark.java import home as java_home

SUM = """\
from pyspark.sql import functions as F
from stagebook import stage
from stagebook.model.tables import Column, Kind, TableSchema

SUMS = TableSchema(
    "sums", "numbers by their last digit", (Column("digit", Kind.INT64, "it"), Column("total", Kind.INT64, "their sum")),
    key=("digit",),
)
rows = stage.read("rows").repartition(8)
stage.write(rows.groupBy((F.col("n") % 10).alias("digit")).agg(F.sum("n").alias("total")), SUMS)
"""
TWO = """\
pipeline: two
tables: {{engine: spark}}
spark: {{remote: "{remote}"}}
stages:
  make: {{notebook: notebooks/make.ipynb, writes: [rows]}}
  sum: {{notebook: notebooks/sum.ipynb, depends_on: [make], reads: [rows], writes: [sums]}}
"""


@dataclass(frozen=True)
class Cluster:
    """A master's address, and the folder that its processes write to."""

    master: str
    folder: Path

    def executors(self) -> int:
        """The number of executors that the workers have started so far."""
        return len(list(self.folder.glob("worker-*/app-*/*")))


@pytest.fixture(scope="module")
def cluster(java: None, tmp_path_factory) -> Iterator[Cluster]:
    """A master and two workers with one core and 1 GB each, ended by their process ids."""
    folder = tmp_path_factory.mktemp("cluster")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    started = Cluster(f"spark://127.0.0.1:{port}", folder)
    home = launch.spark_home()
    environment = {**os.environ, "JAVA_HOME": str(java_home()), "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1"}

    with ExitStack() as processes:

        def start_process(name: str, *options: str) -> Path:
            log = folder / f"{name}.log"
            process = subprocess.Popen(
                [str(home / "bin/spark-class"), f"org.apache.spark.deploy.{name.partition('-')[0]}", *options],
                stdout=log.open("wb"), stderr=subprocess.STDOUT, env=environment, cwd=folder,
            )  # fmt: skip
            processes.callback(lambda: (process.terminate(), process.wait(HANG_SECONDS)))
            return log

        log = start_process("master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0")
        wait_until(lambda: file_contains(log, "New state: ALIVE"), details=log.read_text)
        options = ["--host", "127.0.0.1", "--cores", "1", "--memory", "1g", "--webui-port", "0"]
        worker_logs = [
            start_process(f"worker.Worker-{n}", *options, "--work-dir", str(folder / f"worker-{n}"), started.master)
            for n in (1, 2)
        ]
        for log in worker_logs:
            registered = partial(file_contains, log, "Successfully registered with master")
            wait_until(registered, details=log.read_text)
        yield started
        server.stop(replace(SPARK, remote=started.master))


@pytest.mark.parametrize("driver", ["our server", "another server"])
def test_a_pipeline_writes_and_reads_its_tables_on_a_cluster(run, notebook, params, cluster, shared_warehouse, driver):
    notebook("make", MAKE_ROWS)
    notebook("sum", SUM)
    remote, token = cluster.master, {}
    if driver == "another server":
        connect_server = server.ensure(replace(SPARK, remote=cluster.master))
        remote, token = connect_server.remote, {"SPARK_CONNECT_AUTHENTICATE_TOKEN": connect_server.token}
    params("p", TWO.format(remote=remote))
    ended = run("--params", "p", **token)
    assert ended.code == 0, ended.err
    sums = ended.stage("sum")["outputs"]["sums"]
    assert sums["rows"] == 10
    table = DeltaTable(shared_warehouse / "tables/sums", version=sums["version"]).to_pyarrow_table().to_pylist()
    assert {row["digit"]: row["total"] for row in table} == {d: sum(range(d, 1000, 10)) for d in range(10)}
    assert cluster.executors() == 2
