"""Joins on Spark: small sides are broadcast, heavy keys are salted, and the rows stay the same."""

import numpy as np
import pyarrow as pa
import pytest

from stagebook.spark import joins
from stagebook.spark.joins import JoinSizes, plan
from stagebook.spark.types import parse_bytes

MB = 1024**2


def sizes(**changes):
    defaults = {
        "left_bytes": 1000 * MB,
        "right_bytes": 500 * MB,
        "left_rows": 1000,
        "heavy_keys": (),
        "partitions": 8,
        "task_slots": 8,
    }
    return JoinSizes(**{**defaults, "broadcast_bytes": 64 * MB, "aqe_bytes": 256 * MB, **changes})


CASES = [
    (
        "a small right side",
        {"right_bytes": 64 * MB, "heavy_keys": (("a", 900),)},
        "broadcast",
        "67 MB: it is broadcast",
    ),
    ("even keys", {}, "plain", "no key has more than 10%"),
    ("a key that Spark splits by itself", {"heavy_keys": (("a", 800),)}, "aqe", "'a' has 80% of the rows, 839 MB"),
    (
        "a heavy key below the thresholds of Spark",
        {"left_bytes": 200 * MB, "heavy_keys": (("a", 800),)},
        "salt",
        "below 268 MB",
    ),
    (
        "a heavy key on two cores",
        {"left_bytes": 200 * MB, "heavy_keys": (("a", 800),), "task_slots": 2},
        "plain",
        "over 2 cores gains",
    ),
    (
        "a key that is not much larger than the others",
        {"heavy_keys": (("a", 200),), "partitions": 4},
        "plain",
        "not worth",
    ),
]


@pytest.mark.parametrize(
    ("changes", "strategy", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_plan_is_the_cheapest_strategy_that_is_enough(changes, strategy, reason):
    planned = plan(sizes(**changes))
    assert planned.strategy == strategy
    assert reason in planned.reason


@pytest.mark.parametrize(
    ("text", "size"), [("10485760", 10 * MB), ("10485760b", 10 * MB), ("256MB", 256 * MB), ("1g", 1024 * MB), ("x", 7)]
)
def test_sizes_are_parsed_as_spark_writes_them(text, size):
    assert parse_bytes(text, 7) == size


@pytest.fixture(scope="module")
def skewed():
    """Half of the rows on one key, and some without one; each key twice on the other side."""
    rng = np.random.default_rng(5)
    keys = np.where(rng.uniform(size=4000) < 0.5, 7, rng.integers(0, 300, 4000))
    left = pa.table({"key": pa.array(keys, mask=rng.uniform(size=4000) < 0.05), "n": np.arange(4000)})
    right = pa.table({"key": np.arange(250).repeat(2), "value": np.arange(500) / 8})
    return left, right


def rows(engine, frame):
    unordered = engine.to_arrow(frame).select(["key", "n", "value"]).to_pylist()
    return sorted(unordered, key=lambda row: (row["n"], row["value"] or 0))


@pytest.mark.parametrize("how", ["inner", "left"])
def test_a_salted_join_has_the_rows_of_a_plain_one(spark, skewed, how):
    left, right = (spark.from_local(side) for side in skewed)
    plain = rows(spark, left.join(right, on=["key"], how=how))
    assert rows(spark, joins.salted_join(left, right, ["key"], how, [7, 8])) == plain


def test_spark_runs_as_many_tasks_at_once_as_the_machine_has_cores(spark):
    assert joins.task_slots(spark.session) == 2


@pytest.mark.parametrize("how", ["inner", "left"])
def test_every_engine_joins_alike(engine, spark, skewed, how):
    left, right = (engine.from_local(side) for side in skewed)
    expected = rows(spark, spark.from_local(skewed[0]).join(spark.from_local(skewed[1]), on=["key"], how=how))
    assert rows(engine, engine.join(left, right, on=["key"], how=how)) == expected


def test_heavy_keys_are_counted_without_the_nulls(spark, skewed):
    (key, count), *other_keys = joins.heavy_keys(spark.from_local(skewed[0]), ["key"], 4000)
    assert (key, other_keys) == (7, [])
    assert 1700 < count < 2100


def plan_of(frame):
    return frame._explain_string(mode="simple") if hasattr(frame, "_explain_string") else ""


def test_a_small_table_is_broadcast_in_a_join_of_the_same_transforms(spark, tmp_path):
    from stagebook.delta.engine import WriteOrder
    from stagebook.model.tables import Column, Kind, TableSchema

    schema = TableSchema("small", "", (Column("key", Kind.INT64, ""), Column("value", Kind.FLOAT64, "")))
    table = pa.table({"key": np.arange(500), "value": np.arange(500) / 8})
    commit = spark.write(tmp_path / "small", spark.conform(table, schema), WriteOrder(schema, "a"))
    small = spark.read(tmp_path / "small", version=commit.version)
    big = spark.session.range(1_000_000).withColumnRenamed("id", "key")
    spark.session.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")  # the hint alone must do
    try:
        assert "BroadcastHashJoin" in plan_of(big.join(small.select("key"), on="key", how="left"))
    finally:
        spark.session.conf.unset("spark.sql.autoBroadcastJoinThreshold")
