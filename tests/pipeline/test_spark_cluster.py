"""A real standalone cluster on loopback, a master and two workers: driven by our server, or through one of others."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from conftest import SPARK, require_java
from deltalake import DeltaTable
from fixtures.spark_notebooks import MAKE

from stagebook.engines.spark import java, launch, server

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
    """A master's address, and where its processes write."""

    master: str
    folder: Path

    def executors(self) -> int:
        """How many executors the workers have started so far."""
        return len(list(self.folder.glob("worker-*/app-*/*")))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """A master and two workers with one core and 1 GB each, ended by their process ids."""
    require_java()
    folder = tmp_path_factory.mktemp("cluster")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    found = Cluster(f"spark://127.0.0.1:{port}", folder)
    home = launch._spark_home()
    environment = {**os.environ, "JAVA_HOME": str(java.home()), "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1"}

    with ExitStack() as processes:

        def begin(name: str, *words: str) -> Path:
            log = folder / f"{name}.log"
            process = subprocess.Popen(
                [str(home / "bin/spark-class"), f"org.apache.spark.deploy.{name.partition('-')[0]}", *words],
                stdout=log.open("wb"), stderr=subprocess.STDOUT, env=environment, cwd=folder,
            )  # fmt: skip
            processes.callback(lambda: (process.terminate(), process.wait(30)))
            return log

        log = begin("master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0")
        await_text(log, "New state: ALIVE")
        for n in (1, 2):
            words = ["--host", "127.0.0.1", "--cores", "1", "--memory", "1g", "--webui-port", "0"]
            begin(f"worker.Worker-{n}", *words, "--work-dir", str(folder / f"worker-{n}"), found.master)
        for n in (1, 2):
            await_text(folder / f"worker.Worker-{n}.log", "Successfully registered with master")
        yield found
        server.stop(replace(SPARK, remote=found.master))


def await_text(log: Path, text: str) -> None:
    deadline = time.monotonic() + 60
    while not log.exists() or text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


@pytest.mark.parametrize("through", ["our server", "a server of others"])
def test_a_pipeline_writes_and_reads_its_tables_on_a_cluster(run, notebook, params, cluster, shared_warehouse, through):
    notebook("make", MAKE)
    notebook("sum", SUM)
    remote, token = cluster.master, {}
    if through == "a server of others":
        driving = server.ensure(replace(SPARK, remote=cluster.master))
        remote, token = driving.remote, {"SPARK_CONNECT_AUTHENTICATE_TOKEN": driving.token}
    params("p", TWO.format(remote=remote))
    ended = run("--params", "p", **token)
    assert ended.code == 0, ended.err
    sums = ended.stage("sum")["outputs"]["sums"]
    assert sums["rows"] == 10
    table = DeltaTable(shared_warehouse / "tables/sums", version=sums["version"]).to_pyarrow_table().to_pylist()
    assert {row["digit"]: row["total"] for row in table} == {d: sum(range(d, 1000, 10)) for d in range(10)}
    assert cluster.executors() == 2
