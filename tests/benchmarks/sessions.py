"""What Spark costs six stages before they compute: one shared server against a session for each notebook."""

from collections.abc import Iterator
from pathlib import Path

from side_by_side import Line, in_a_process, lines

from stagebook.model.pipeline import SparkSettings
from stagebook.spark import server

STAGES = 6
SHARED = """
import time
started = time.perf_counter()
from stagebook.spark.engine import SparkEngine
from stagebook.model.pipeline import SparkSettings
engine = SparkEngine(SparkSettings())
assert engine.session.range(1000).selectExpr("sum(id)").toArrow().num_rows == 1
print(json.dumps({"seconds": time.perf_counter() - started}))
"""
SEPARATE = """
import time
started = time.perf_counter()
from delta import configure_spark_with_delta_pip
from pyspark.sql import SparkSession
builder = SparkSession.builder.master("local[*]").config("spark.ui.enabled", "false")
builder = builder.config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
builder = builder.config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
spark = configure_spark_with_delta_pip(builder).config("spark.jars.ivy", values["ivy"]).getOrCreate()
assert spark.range(1000).selectExpr("sum(id)").toArrow().num_rows == 1
seconds = time.perf_counter() - started
spark.stop()
print(json.dumps({"seconds": seconds}))
"""


def run(folder: Path, *, quick: bool) -> Iterator[Line]:
    """Seconds until the first answer, summed over the stages; the shared server is started by the first one."""
    stages = 2 if quick else STAGES
    ivy = server.folder() / "ivy"
    settings = SparkSettings()
    server.ensure(settings)  # fetches Delta where it is not there yet
    server.stop(settings)
    separate = [in_a_process(SEPARATE, ivy=ivy)["seconds"] for _ in range(stages)]
    shared = [in_a_process(SHARED)["seconds"] for _ in range(stages)]
    later = [in_a_process(SHARED)["seconds"] for _ in range(stages)]
    seconds = {
        "a session for each": sum(separate),
        "shared, at first": sum(shared),
        "shared, already running": sum(later),
    }
    details = {
        "a session for each": _spread(separate),
        "shared, at first": _spread(shared),
        "shared, already running": _spread(later),
    }
    yield from lines("session cost", f"{stages} stages", seconds, details)


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"first": round(seconds[0], 2), "largest_of_others": round(max(seconds[1:]), 2)}
