"""The polars engine: lazy polars frames over delta-rs, on one machine, for more data than pandas handles; no Java.

It is faster than DuckDB in this project's feature build, measured from Delta to Delta (lib/README.md).
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.delta import predicates
from stagebook.delta.arrow import arrow_table, plain, without_dictionaries
from stagebook.delta.digests import fingerprints
from stagebook.delta.pandas_engine import LocalEngine, query_rows, selected_columns
from stagebook.model.tables import Predicates

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from deltalake import DeltaTable


class PolarsEngine(LocalEngine):
    """Lazy polars frames: polars plans the whole query, including which columns it reads from the files."""

    name = "polars"

    def read(
        self, path: Path, *, version: int, columns: Sequence[str] | None = None, where: Predicates = ()
    ) -> "pl.LazyFrame":
        """One version as a lazy frame; columns and conditions are pushed down to the files.

        Raises:
            UnreadableTable: the table uses a feature that delta-rs would read wrongly.
            UnknownColumn, BadPredicate: `columns` or `where` do not fit the table.
        """
        import polars as pl
        import pyarrow as pa

        table = self.readable(path, version)
        if not _is_plain(table):
            rows = pl.from_arrow(without_dictionaries(query_rows(table, columns, where)))
            assert isinstance(rows, pl.DataFrame), "an Arrow table becomes a frame"
            return rows.lazy()
        schema = pa.schema(table.schema().to_arrow())
        names = selected_columns(columns, schema)
        conditions = predicates.check(where, schema)
        files = table.file_uris()
        frame = _scan(files, _polars_schema(schema)) if files else pl.LazyFrame(schema=_polars_schema(schema))
        return predicates.select(frame, names, conditions)

    def from_local(self, data: Any) -> "pl.LazyFrame":
        """A lazy frame unchanged; other data as a lazy frame."""
        import polars as pl

        if isinstance(data, pl.LazyFrame):
            return data
        frame = data if isinstance(data, pl.DataFrame) else pl.from_arrow(arrow_table(data))
        assert isinstance(frame, pl.DataFrame), "an Arrow table becomes a frame"
        return frame.lazy()

    def cache(self, frame: "pl.LazyFrame") -> "pl.LazyFrame":
        """A lazy frame over the computed rows in memory."""
        return frame.collect(engine="streaming").lazy()

    def count(self, frame: Any) -> int:
        """The number of rows."""
        import polars as pl

        return self.from_local(frame).select(pl.len()).collect(engine="streaming").item()

    def digest(self, data: "pa.Table") -> str:
        """A digest of names, types and rows in any order, since polars guarantees no order."""
        kinds = hashlib.sha256(str(data.schema.remove_metadata()).encode()).hexdigest()
        return f"{kinds[:12]}:{fingerprints(data, None)[None]}"

    def fingerprints(self, frame: Any, by: str | None) -> dict[Any, str]:
        """For each value of a column a digest of its rows, computed while the files are read."""
        return fingerprints(self.from_local(frame), by)

    def to_arrow(self, frame: Any, subject: str = "the data") -> "pa.Table":
        """A polars frame, or other data of this process, as an Arrow table; errors begin with `subject`."""
        import polars as pl

        if isinstance(frame, pl.LazyFrame):
            return plain(frame.collect(engine="streaming").to_arrow())
        return arrow_table(frame, subject)

    def arrow_schema_of(self, frame: Any, subject: str) -> "pa.Schema":
        """The columns of a frame and their Arrow types; a lazy frame is not computed for it."""
        import polars as pl

        if isinstance(frame, pl.LazyFrame):
            return plain(pl.DataFrame(schema=frame.collect_schema()).to_arrow()).schema
        return super().arrow_schema_of(frame, subject)


def _is_plain(table: "DeltaTable") -> bool:
    """Whether the files are the table as it is: no column mapping, deletion vectors or partitions."""
    features = set(table.protocol().reader_features or ())
    mapped = table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none"
    return not (mapped or "deletionVectors" in features or table.metadata().partition_columns)


def _scan(files: Sequence[str], schema: "pl.Schema") -> "pl.LazyFrame":
    """The files as one lazy frame; columns added later are null in older files."""
    import polars as pl

    return pl.scan_parquet(
        list(files),
        schema=schema,
        missing_columns="insert",
        hive_partitioning=False,
        cast_options=pl.ScanCastOptions(datetime_cast=["nanosecond-downcast", "convert-timezone"]),
    )


def _polars_schema(schema: "pa.Schema") -> "pl.Schema":
    import polars as pl

    empty = pl.from_arrow(schema.empty_table())
    assert isinstance(empty, pl.DataFrame), "an Arrow table becomes a frame"
    return empty.schema
