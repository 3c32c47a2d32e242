"""Digests of rows in any order, by polars, for the engines of one machine."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def fingerprints(rows: "pa.Table | pl.LazyFrame", by: str | None) -> dict[Any, str]:
    """For each value of `by` the number of its rows and the sum of their hashes; None: one for all rows.

    Sums, so that the order of the rows does not count, but how often each comes does. The upper and the lower
    halves of the hashes are summed apart: a sum of whole ones would go beyond 64 bits. The hash of polars is
    the same on every machine, for one version of polars.
    """
    import polars as pl

    found = rows if isinstance(rows, pl.LazyFrame) else pl.from_arrow(rows)
    assert not isinstance(found, pl.Series), "a table becomes a frame"
    row = pl.struct(pl.all()).hash(seed=0)
    hashed = found.lazy().select(part=pl.lit(None) if by is None else pl.col(by), row=row)
    upper, lower = (pl.col("row") // 2**32).sum(), (pl.col("row") % 2**32).sum()
    told = hashed.group_by("part").agg(pl.len().alias("rows"), upper=upper, lower=lower).collect(engine="streaming")
    digests = {part: _digest(rows, upper, lower) for part, rows, upper, lower in told.rows()}
    return digests or ({None: _digest(0, 0, 0)} if by is None else {})


def _digest(rows: int, upper: int, lower: int) -> str:
    import polars as pl

    return f"polars-{pl.__version__}:{rows}:{(upper << 32) + lower:x}"
