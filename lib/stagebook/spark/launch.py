"""How to start a Spark Connect server: its command and its settings, sized for this machine."""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from stagebook.machine import memory
from stagebook.model.pipeline import SparkSettings
from stagebook.spark import class_archive, java

SCALA = "2.13"
GIB = 1024**3


@dataclass(frozen=True)
class Launch:
    """What a supervisor needs to start its server. `environment` adds to the supervisor's own.

    `server_file` is where the supervisor describes the running server. `archive` is the file of its class archive;
    None where an archive does not help.
    """

    command: list[str]
    environment: dict[str, str]
    port: int
    token: str
    idle_seconds: float
    server_file: str
    log: str
    facts: dict[str, Any]
    archive: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        return cls(**value)


def delta_package() -> str:
    """The Maven coordinates of Delta for the installed pyspark."""
    spark = ".".join(version("pyspark").split(".")[:2])
    return f"io.delta:delta-spark_{spark}_{SCALA}:{version('delta-spark')}"


def master(settings: SparkSettings) -> str:
    """The master URL: this machine, or a standalone cluster."""
    return settings.remote if settings.remote and settings.remote.startswith("spark://") else "local[*]"


def plan(settings: SparkSettings, folder: Path, *, port: int, token: str, server_file: Path, log: Path) -> Launch:
    """Plan the launch of a server that keeps its files below `folder`.

    Raises:
        JavaMissing: see `java.home`.
    """
    home, heap_bytes, java_home = spark_home(), driver_memory_bytes(settings), java.home()
    jars = _delta_jars(folder)
    command = [str(home / "bin" / "spark-submit"), "--master", master(settings), "--name", "stagebook"]
    command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer"]
    command += ["--driver-memory", f"{heap_bytes // 1024**2}m", *_delta_options(settings, folder, jars)]
    for key, value in (_configuration(settings, folder, port, heap_bytes) | dict(settings.conf)).items():
        command += ["--conf", f"{key}={value}"]
    environment = {
        "JAVA_HOME": str(java_home),
        "SPARK_HOME": str(home),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": token,
    }
    if _on_loopback(settings):
        environment["SPARK_LOCAL_IP"] = "127.0.0.1"
    facts = {"master": master(settings), "python": sys.executable, "driver_memory_bytes": heap_bytes}
    classes = class_archive.archive_file(folder, java_home, [*(home / "jars").glob("*.jar"), *jars])
    return Launch(
        [*command, "spark-internal"],
        environment,
        port,
        token,
        settings.idle_minutes * 60,
        str(server_file),
        str(log),
        facts,
        # Only jars on the class path itself can be archived, not those that are fetched or shipped to a cluster.
        archive=str(classes) if jars and _is_local(settings) else None,
    )


def driver_memory_bytes(settings: SparkSettings) -> int:
    """The heap: what the profiles ask for, else a third of the memory, 1 to 16 GiB."""
    if settings.driver_memory_gb is not None:
        return int(settings.driver_memory_gb * GIB)
    return max(GIB, min(16 * GIB, memory().total // 3))


def broadcast_bytes(heap_bytes: int) -> int:
    """Bytes in memory up to which one side of a join is broadcast: 1/64 of the heap, 16 to 256 MiB."""
    return max(16 * 1024**2, min(256 * 1024**2, heap_bytes // 64))


def _configuration(settings: SparkSettings, folder: Path, port: int, heap_bytes: int) -> dict[str, str]:
    configuration = {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.warehouse.dir": str(folder / "spark-warehouse"),
        "spark.sql.session.timeZone": "UTC",
        # Spark's old default, INT96, has no statistics: filters on instants would read every row group.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        # What a killed kernel was computing ends soon after it, instead of five minutes later.
        "spark.connect.execute.manager.detachedTimeout": "60s",
        # Never the next free port: a client would then talk to somebody else's server.
        "spark.port.maxRetries": "0",
        "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 1)),
        "spark.databricks.delta.snapshotPartitions": "2",
        # Small sides are broadcast: the default of 10 MB was made for other machines.
        "spark.sql.autoBroadcastJoinThreshold": str(broadcast_bytes(heap_bytes)),
        "spark.driver.maxResultSize": f"{heap_bytes // 2 // 1024**2}m",
        "spark.scheduler.mode": "FAIR",
        "spark.ui.enabled": "false",
        "spark.log.level": "WARN",
    }
    if _on_loopback(settings):
        configuration |= {"spark.driver.host": "localhost", "spark.driver.bindAddress": "127.0.0.1"}
    return configuration


def _is_local(settings: SparkSettings) -> bool:
    return master(settings).startswith("local")


def _on_loopback(settings: SparkSettings) -> bool:
    return _is_local(settings) or master(settings).startswith(("spark://127.", "spark://localhost"))


def _delta_options(settings: SparkSettings, folder: Path, jars: Sequence[Path]) -> list[str]:
    """The options that load Delta: its jars where Spark's resolver has fetched them, else the package to resolve.

    From the class path they load faster than through the resolver, which uses the network each time.
    """
    if not jars:
        return ["--packages", delta_package(), "--conf", f"spark.jars.ivy={folder / 'ivy'}"]
    if _is_local(settings):
        return ["--driver-class-path", os.pathsep.join(map(str, jars))]
    return ["--jars", ",".join(map(str, jars))]


def _delta_jars(folder: Path) -> list[Path]:
    """The jars that the resolver has fetched; none where this version of Delta is not among them."""
    jars = sorted((folder / "ivy" / "jars").glob("*.jar"))
    group, artifact, delta_version = delta_package().split(":")
    if not any(jar.name == f"{group}_{artifact}-{delta_version}.jar" for jar in jars):
        return []
    spark_artifacts = {_artifact(jar.name) for jar in (spark_home() / "jars").glob("*.jar")}
    # Spark's own jars win: the resolver also fetched older versions of some.
    return [jar for jar in jars if _artifact(jar.name.partition("_")[2]) not in spark_artifacts]


def _artifact(jar: str) -> str:
    """The name of a jar without its version: `delta-storage` of `delta-storage-4.4.0.jar`."""
    return re.split(r"-\d", jar, maxsplit=1)[0]


def spark_home() -> Path:
    """The folder of the installed Spark."""
    spec = find_spec("pyspark")
    assert spec is not None and spec.origin is not None, "pyspark is a dependency"
    return Path(spec.origin).parent
