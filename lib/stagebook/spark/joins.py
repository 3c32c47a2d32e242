"""Skewed joins on Spark: choose how to join from the sizes of both sides and the rows of heavy keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stagebook.delta.engine import JoinHow

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

HEAVY_SHARE = 0.1
"""A key with more than this share of all rows is heavy."""

SALTS = 8
"""Into how many partitions the rows of a heavy key are split."""

MIN_SALTING_GAIN = 2.0
"""How many times longer one core must work on a heavy key than all cores on all rows, for salting to pay.

Where it could not gain, a salted join took 1.75 times as long as a plain one (two cores, half of the rows on one
key: `tests/benchmarks/joins.py`).
"""


@dataclass(frozen=True)
class JoinSizes:
    """The sizes that decide how to join: bytes in memory of both sides, and the left side's rows for each heavy key.

    Spark itself broadcasts the right side up to `broadcast_bytes`, and splits a skewed partition above `aqe_bytes`.
    `task_slots` is how many tasks run at once.
    """

    left_bytes: int
    right_bytes: int
    left_rows: int
    heavy_keys: tuple[tuple[Any, int], ...]
    broadcast_bytes: int
    aqe_bytes: int
    aqe_factor: float = 5.0
    partitions: int = 4
    task_slots: int = 1


@dataclass(frozen=True)
class JoinPlan:
    """How to join: `broadcast`, `plain`, `aqe` (Spark splits by itself) or `salt`; and the reason."""

    strategy: str
    reason: str


def plan(sizes: JoinSizes) -> JoinPlan:
    """The cheapest strategy that is enough. Salting copies rows of the right side: only where nothing else helps."""
    if sizes.right_bytes <= sizes.broadcast_bytes:
        return JoinPlan("broadcast", f"the right side is {_mb(sizes.right_bytes)}: it is broadcast")
    if not sizes.heavy_keys:
        return JoinPlan("plain", f"no key has more than {HEAVY_SHARE:.0%} of the rows")
    key, rows = max(sizes.heavy_keys, key=lambda pair: pair[1])
    share = rows / sizes.left_rows
    key_bytes = sizes.left_bytes * share
    median_bytes = sizes.left_bytes * (1 - share) / max(1, sizes.partitions - 1)
    skew = f"key {key!r} has {share:.0%} of the rows, {_mb(key_bytes)}"
    if key_bytes > sizes.aqe_bytes and key_bytes > sizes.aqe_factor * median_bytes:
        return JoinPlan("aqe", f"{skew}: above the thresholds of Spark's own skew join")
    if key_bytes <= sizes.aqe_factor * max(median_bytes, 1):
        return JoinPlan("plain", f"{skew}: not worth copying rows for")
    if share * sizes.task_slots < MIN_SALTING_GAIN:
        cores = f"{sizes.task_slots} cores"
        return JoinPlan("plain", f"{skew}: splitting it over {cores} gains less than copying rows costs")
    return JoinPlan("salt", f"{skew}: below {_mb(sizes.aqe_bytes)}, where Spark would split it by itself")


def salted_join(
    left: "DataFrame",
    right: "DataFrame",
    on: Sequence[str],
    how: JoinHow,
    heavy_values: Sequence[Any],
    *,
    salts: int = SALTS,
) -> "DataFrame":
    """Join with the rows of heavy keys (values of the first column of `on`) spread over `salts` partitions.

    Each heavy row of the left side gets one salt, each heavy row of the right side all of them.
    """
    from pyspark.sql import functions as F

    name, salt = on[0], "__salt"
    is_heavy = F.col(name).isin(list(heavy_values))
    spread = F.when(is_heavy, F.pmod(F.xxhash64(*left.columns), F.lit(salts))).otherwise(F.lit(0))
    copies = F.when(is_heavy, F.sequence(F.lit(0), F.lit(salts - 1))).otherwise(F.array(F.lit(0)))
    salted_left = left.withColumn(salt, spread.cast("int"))
    salted_right = right.withColumn(salt, F.explode(copies))
    return salted_left.join(salted_right, on=[*on, salt], how=how).drop(salt)


def heavy_keys(frame: "DataFrame", on: Sequence[str], rows: int) -> tuple[tuple[Any, int], ...]:
    """The heavy values of the first key column, with their number of rows; Spark counts them."""
    from pyspark.sql import functions as F

    sizes = frame.filter(F.col(on[0]).isNotNull()).groupBy(on[0]).agg(F.count(F.lit(1)).alias("rows"))
    heavy = sizes.filter(F.col("rows") > F.lit(rows * HEAVY_SHARE)).orderBy(F.desc("rows"))
    return tuple((row[on[0]], row["rows"]) for row in heavy.toArrow().to_pylist())


def task_slots(session: "SparkSession") -> int:
    """How many tasks run at once: as many as the partitions of a range. Connect has no other way to ask."""
    from pyspark.sql import functions as F

    partitions = session.range(10_000).select(F.spark_partition_id().alias("partition")).distinct()
    return max(1, partitions.count())


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"
