"""Opens an engine by its name in a parameter file, and imports it only then."""

from typing import Literal, get_args

from stagebook.delta.engine import Engine
from stagebook.model.pipeline import SparkSettings

EngineName = Literal["pandas", "polars", "spark"]
ENGINES: tuple[str, ...] = get_args(EngineName)


def open_engine(name: str, spark: SparkSettings) -> Engine:
    """The engine of this name; `spark` says where Spark computes.

    Raises:
        ValueError: there is no engine of this name.
    """
    match name:
        case "pandas":
            from stagebook.delta.pandas_engine import LocalEngine

            return LocalEngine()
        case "polars":
            from stagebook.delta.polars_engine import PolarsEngine

            return PolarsEngine()
        case "spark" if spark.catalog and spark.schema:
            from stagebook.spark.catalog import CatalogEngine

            return CatalogEngine(spark, spark.catalog, spark.schema)
        case "spark":
            from stagebook.spark.engine import SparkEngine

            return SparkEngine(spark)
        case _:
            raise ValueError(f"there is no engine '{name}'; there are {', '.join(ENGINES)}")
