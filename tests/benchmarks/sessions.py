"""What Spark costs six stages before they compute: one shared server against a session for each notebook."""

from collections.abc import Iterator
from pathlib import Path

from side_by_side import Line, in_a_process, lines

from stagebook.engines.spark import server
from stagebook.model.pipeline import SparkSettings

STAGES = 6
SHARED = """
import time
started = time.perf_counter()
from stagebook.engines.spark.engine import SparkEngine
from stagebook.model.pipeline import SparkSettings
engine = SparkEngine(SparkSettings())
assert engine.session.range(1000).selectExpr("sum(id)").toArrow().num_rows == 1
print(json.dumps({"seconds": time.perf_counter() - started}))
"""
OWN = """
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
    own = [in_a_process(OWN, ivy=ivy)["seconds"] for _ in range(stages)]
    shared = [in_a_process(SHARED)["seconds"] for _ in range(stages)]
    warm = [in_a_process(SHARED)["seconds"] for _ in range(stages)]
    seconds = {"a session for each": sum(own), "shared, cold": sum(shared), "shared, warm": sum(warm)}
    told = {
        "a session for each": _spread(own),
        "shared, cold": _spread(shared),
        "shared, warm": _spread(warm),
    }
    yield from lines("session cost", f"{stages} stages", seconds, told)


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"first": round(seconds[0], 2), "largest_of_others": round(max(seconds[1:]), 2)}
