"""Joins on Spark whose keys are uneven: what to do about it, from sizes and the histogram of the key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stagebook.engines.base import JoinHow

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

HEAVY_SHARE = 0.1
"""A key with more than this share of all rows is heavy."""

SALTS = 8
"""Into how many parts the rows of a heavy key are split."""

SALTING_PAYS = 2.0
"""How many times longer one core would work on a heavy key than all cores on everything, before it is split.

Salting took 1.75 times as long as nothing where it could not gain (two cores, half of the rows on one key:
`tests/benchmarks/joins.py`).
"""


@dataclass(frozen=True)
class Sides:
    """A join before it is made: bytes in memory of both sides, and the rows of the left one by heavy key.

    `aqe_bytes` is from how many bytes on Spark splits a skewed part by itself, `broadcast_bytes` up to how
    many it sends the right side to all; `slots` is how many tasks run at once.
    """

    left_bytes: int
    right_bytes: int
    left_rows: int
    heavy: tuple[tuple[Any, int], ...]
    broadcast_bytes: int
    aqe_bytes: int
    aqe_factor: float = 5.0
    partitions: int = 4
    slots: int = 1


@dataclass(frozen=True)
class JoinPlan:
    """How a join is made: `broadcast`, `plain`, `aqe` (Spark splits by itself) or `salt`; and why."""

    how: str
    why: str


def plan(sides: Sides) -> JoinPlan:
    """The cheapest remedy that is enough. Salting copies rows of the right side: only where nothing else helps."""
    if sides.right_bytes <= sides.broadcast_bytes:
        return JoinPlan("broadcast", f"the right side is {_mb(sides.right_bytes)}: it is sent to all")
    if not sides.heavy:
        return JoinPlan("plain", f"no key has more than {HEAVY_SHARE:.0%} of the rows")
    key, rows = max(sides.heavy, key=lambda pair: pair[1])
    share = rows / sides.left_rows
    part = sides.left_bytes * share
    median = sides.left_bytes * (1 - share) / max(1, sides.partitions - 1)
    told = f"key {key!r} has {share:.0%} of the rows, {_mb(part)}"
    if part > sides.aqe_bytes and part > sides.aqe_factor * median:
        return JoinPlan("aqe", f"{told}: above the thresholds of Spark's own skew join")
    if part <= sides.aqe_factor * max(median, 1):
        return JoinPlan("plain", f"{told}: not worth copying rows for")
    if share * sides.slots < SALTING_PAYS:
        return JoinPlan("plain", f"{told}: splitting it over {sides.slots} cores gains less than copying rows costs")
    return JoinPlan("salt", f"{told}: below {_mb(sides.aqe_bytes)}, where Spark would split it by itself")


def salted(
    left: "DataFrame", right: "DataFrame", on: Sequence[str], how: JoinHow, heavy: Sequence[Any], *, salts: int = SALTS
) -> "DataFrame":
    """The join with the rows of heavy keys (values of the first column of `on`) spread over `salts` parts.

    Each heavy row of the left side gets one salt, each heavy row of the right side all of them.
    """
    from pyspark.sql import functions as F

    name, salt = on[0], "__salt"
    is_heavy = F.col(name).isin(list(heavy))
    spread = F.when(is_heavy, F.pmod(F.xxhash64(*left.columns), F.lit(salts))).otherwise(F.lit(0))
    copies = F.when(is_heavy, F.sequence(F.lit(0), F.lit(salts - 1))).otherwise(F.array(F.lit(0)))
    salted_left = left.withColumn(salt, spread.cast("int"))
    salted_right = right.withColumn(salt, F.explode(copies))
    return salted_left.join(salted_right, on=[*on, salt], how=how).drop(salt)


def histogram(frame: "DataFrame", on: Sequence[str], rows: int) -> tuple[tuple[Any, int], ...]:
    """The heavy values of the first key column and their rows; found by counting where the rows are."""
    from pyspark.sql import functions as F

    sizes = frame.filter(F.col(on[0]).isNotNull()).groupBy(on[0]).agg(F.count(F.lit(1)).alias("rows"))
    heavy = sizes.filter(F.col("rows") > F.lit(rows * HEAVY_SHARE)).orderBy(F.desc("rows"))
    return tuple((row[on[0]], row["rows"]) for row in heavy.toArrow().to_pylist())


def slots(session: "SparkSession") -> int:
    """How many tasks run at once: Spark cuts a range into as many parts, and Connect tells it by nothing else."""
    from pyspark.sql import functions as F

    parts = session.range(10_000).select(F.spark_partition_id().alias("part")).distinct()
    return max(1, parts.count())


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"
