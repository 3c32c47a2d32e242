"""Engines by the name that a parameter file gives them; what is heavy is imported here, when it is chosen."""

from typing import Literal, get_args

from stagebook.engines.base import Engine
from stagebook.model.pipeline import SparkSettings

EngineName = Literal["pandas", "polars", "spark"]
ENGINES: tuple[str, ...] = get_args(EngineName)


def open_engine(name: str, spark: SparkSettings) -> Engine:
    """The engine of this name; `spark` says where Spark computes.

    Raises:
        ValueError: there is none of this name.
    """
    match name:
        case "pandas":
            from stagebook.engines.local import LocalEngine

            return LocalEngine()
        case "polars":
            from stagebook.engines.polars import PolarsEngine

            return PolarsEngine()
        case "spark" if spark.catalog and spark.schema:
            from stagebook.engines.spark.catalog import CatalogEngine

            return CatalogEngine(spark, spark.catalog, spark.schema)
        case "spark":
            from stagebook.engines.spark.engine import SparkEngine

            return SparkEngine(spark)
        case _:
            raise ValueError(f"there is no engine '{name}'; there are {', '.join(ENGINES)}")
