"""Joins on Spark: a small side sent to all against sort-merge; half of the rows on one key, with each remedy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from side_by_side import Line, compare

from stagebook.model.pipeline import SparkSettings
from stagebook.spark import joins
from stagebook.spark.engine import SparkEngine


def run(folder: Path, *, quick: bool) -> Iterator[Line]:
    """Lines for the broadcast join and for the skewed one."""
    engine = SparkEngine(SparkSettings())
    rows = 1_000_000 if quick else 10_000_000
    yield from compare("broadcast", f"{rows:,} x 1,000 rows", _small_side(engine, rows), rounds=3)
    yield from compare("skewed join", f"{rows:,} x 1,000,000 rows, half on one key", _skewed(engine, rows), rounds=3)
    engine.session.stop()


def _small_side(engine: SparkEngine, rows: int) -> dict[str, Any]:
    spark = engine.session
    facts = spark.range(rows).selectExpr("id", "id % 1000 AS key", "rand(1) AS amount")
    people = spark.range(1000).selectExpr("id AS key", "rand(2) AS weight")
    return {
        "sort-merge": lambda: _total(facts.join(people.hint("merge"), on="key")),
        "engine.join": lambda: _total(engine.join(facts, people, on=["key"], how="inner")),
    }


def _skewed(engine: SparkEngine, rows: int) -> dict[str, Any]:
    spark = engine.session
    facts = spark.range(rows).selectExpr(
        "id", "CASE WHEN rand(1) < 0.5 THEN 7 ELSE CAST(rand(2) * 1000000 AS BIGINT) END AS key", "rand(3) AS amount"
    )
    wide = ", ".join(f"rand({n}) AS w{n}" for n in range(20))
    people = spark.sql(f"SELECT id AS key, rand(0) AS weight, {wide} FROM range(1000000)").hint("merge")

    def plain(adaptive: str) -> Any:
        spark.conf.set("spark.sql.adaptive.skewJoin.enabled", adaptive)
        spark.conf.set("spark.sql.adaptive.enabled", adaptive)
        return _total(facts.join(people, on="key"))

    def chosen() -> Any:
        spark.conf.set("spark.sql.adaptive.enabled", "true")
        spark.conf.set("spark.sql.adaptive.skewJoin.enabled", "true")
        return _total(engine.join(facts, people, on=["key"], how="inner"))

    return {
        "sort-merge, nothing done": lambda: plain("false"),
        "adaptive execution": lambda: plain("true"),
        "salted": lambda: _total(joins.salted_join(facts, people, ["key"], "inner", [7])),
        "engine.join": chosen,
    }


def _total(frame: Any) -> Any:
    return frame.selectExpr("sum(amount * weight) AS total").toArrow()["total"][0].as_py()
