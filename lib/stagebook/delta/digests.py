"""Digests of rows for the engines of one machine: in their order by Arrow, in any order by polars."""

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def digest(table: "pa.Table") -> str:
    """A digest of names, types and values in the order of the rows; values hidden by a null do not count."""
    import pyarrow as pa

    sha = hashlib.sha256(str(table.schema.remove_metadata()).encode())
    for column in table.columns:
        for chunks in (column.is_null(), column.drop_null()):
            sha.update(pa.record_batch([chunks.combine_chunks()], names=["values"]).serialize())
    return sha.hexdigest()


def fingerprints(data: "pa.Table | pl.LazyFrame", by: str | None) -> dict[Any, str]:
    """For each value of `by` the number of its rows and the sum of their hashes; `by` None: one for all rows.

    Sums, so that the order of the rows does not count, but the number of equal rows does. The upper and the lower
    halves of the hashes are summed apart: a sum of full hashes would exceed 64 bits. The hash of polars is
    the same on every machine, for one version of polars.
    """
    import polars as pl

    frame = data if isinstance(data, pl.LazyFrame) else pl.from_arrow(data)
    assert not isinstance(frame, pl.Series), "a table becomes a frame"
    row_hash = pl.struct(pl.all()).hash(seed=0)
    hashed = frame.lazy().select(value=pl.lit(None) if by is None else pl.col(by), row=row_hash)
    upper, lower = (pl.col("row") // 2**32).sum(), (pl.col("row") % 2**32).sum()
    sums = hashed.group_by("value").agg(pl.len().alias("rows"), upper=upper, lower=lower).collect(engine="streaming")
    digests = {value: _fingerprint(rows, upper, lower) for value, rows, upper, lower in sums.rows()}
    return digests or ({None: _fingerprint(0, 0, 0)} if by is None else {})


def _fingerprint(rows: int, upper: int, lower: int) -> str:
    import polars as pl

    return f"polars-{pl.__version__}:{rows}:{(upper << 32) + lower:x}"
