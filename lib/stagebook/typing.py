"""Types of the public interface: frames of any engine, and what a condition on a table is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from pyspark.sql import DataFrame as SparkFrame

    Frame: TypeAlias = pd.DataFrame | pl.LazyFrame | SparkFrame
    """A frame of a stage's engine."""
    LocalFrame: TypeAlias = pd.DataFrame | pl.DataFrame | pl.LazyFrame | pa.Table
    """Data of this process."""

Condition: TypeAlias = tuple[str, str, Any]
"""One condition `(column, op, value)` with op one of `= != < <= > >= in`; a list of them means *and*."""

Conditions: TypeAlias = Sequence[Condition]
