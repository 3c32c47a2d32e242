"""Joins on Spark: small sides are sent to all, heavy keys are spread, and the rows stay the same."""

import numpy as np
import pyarrow as pa
import pytest

from stagebook.engines.spark import joins
from stagebook.engines.spark.joins import Sides, plan
from stagebook.engines.spark.types import parse_bytes

MB = 1024**2


def sides(**changes):
    usual = {
        "left_bytes": 1000 * MB,
        "right_bytes": 500 * MB,
        "left_rows": 1000,
        "heavy": (),
        "partitions": 8,
        "slots": 8,
    }
    return Sides(**{**usual, "broadcast_bytes": 64 * MB, "aqe_bytes": 256 * MB, **changes})


CASES = [
    ("a small right side", {"right_bytes": 64 * MB, "heavy": (("a", 900),)}, "broadcast", "67 MB: it is sent to all"),
    ("even keys", {}, "plain", "no key has more than 10%"),
    ("a key that Spark splits by itself", {"heavy": (("a", 800),)}, "aqe", "'a' has 80% of the rows, 839 MB"),
    ("one below its thresholds", {"left_bytes": 200 * MB, "heavy": (("a", 800),)}, "salt", "below 268 MB"),
    (
        "the same on two cores",
        {"left_bytes": 200 * MB, "heavy": (("a", 800),), "slots": 2},
        "plain",
        "over 2 cores gains",
    ),
    ("one that is not much larger than others", {"heavy": (("a", 200),), "partitions": 4}, "plain", "not worth"),
]


@pytest.mark.parametrize(("changes", "how", "why"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_cheapest_remedy_that_is_enough_is_taken(changes, how, why):
    planned = plan(sides(**changes))
    assert planned.how == how
    assert why in planned.why


@pytest.mark.parametrize(
    ("text", "size"), [("10485760", 10 * MB), ("10485760b", 10 * MB), ("256MB", 256 * MB), ("1g", 1024 * MB), ("x", 7)]
)
def test_sizes_are_read_as_spark_writes_them(text, size):
    assert parse_bytes(text, 7) == size


@pytest.fixture(scope="module")
def skewed():
    """Half of the rows on one key, and some without one; each key twice on the other side."""
    chance = np.random.default_rng(5)
    keys = np.where(chance.uniform(size=4000) < 0.5, 7, chance.integers(0, 300, 4000))
    left = pa.table({"key": pa.array(keys, mask=chance.uniform(size=4000) < 0.05), "n": np.arange(4000)})
    right = pa.table({"key": np.arange(250).repeat(2), "value": np.arange(500) / 8})
    return left, right


def rows(engine, frame):
    found = engine.to_arrow(frame).select(["key", "n", "value"]).to_pylist()
    return sorted(found, key=lambda row: (row["n"], row["value"] or 0))


@pytest.mark.parametrize("how", ["inner", "left"])
def test_a_salted_join_has_the_rows_of_a_plain_one(spark, skewed, how):
    left, right = (spark.frame(side) for side in skewed)
    plain = rows(spark, left.join(right, on=["key"], how=how))
    assert rows(spark, joins.salted(left, right, ["key"], how, [7, 8])) == plain


def test_spark_tells_how_many_tasks_run_at_once(spark):
    assert joins.slots(spark.session) == 2


@pytest.mark.parametrize("how", ["inner", "left"])
def test_every_engine_joins_alike(engine, spark, skewed, how):
    left, right = (engine.frame(side) for side in skewed)
    expected = rows(spark, spark.frame(skewed[0]).join(spark.frame(skewed[1]), on=["key"], how=how))
    assert rows(engine, engine.join(left, right, on=["key"], how=how)) == expected


def test_the_heavy_keys_are_found_without_the_nulls(spark, skewed):
    (key, count), *others = joins.histogram(spark.frame(skewed[0]), ["key"], 4000)
    assert (key, others) == (7, [])
    assert 1700 < count < 2100


def plan_of(frame):
    return frame._explain_string(mode="simple") if hasattr(frame, "_explain_string") else ""


def test_a_small_table_is_broadcast_in_a_join_of_the_same_transforms(spark, tmp_path):
    from stagebook.engines.base import WriteOrder
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
