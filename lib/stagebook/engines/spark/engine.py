"""Spark frames over Delta, through DataFrame and SQL APIs only: on Connect and on Databricks alike."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.engines import predicates
from stagebook.engines.arrow import arrow_schema, from_local, plain
from stagebook.engines.base import CONTENT, JoinHow, WriteOrder
from stagebook.engines.creation import create_empty
from stagebook.engines.deltalog import DeltaLog, opened, protocol_of
from stagebook.engines.estimate import frame_row_bytes
from stagebook.engines.local import LocalEngine
from stagebook.engines.protocol import SPARK_READER, unreadable
from stagebook.engines.spark import joins, types, writes
from stagebook.errors import SchemaViolation, UnknownColumn, UnreadableTable
from stagebook.model.pipeline import SparkSettings
from stagebook.model.tables import Commit, Predicates, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, DataFrameWriter, SparkSession

    from stagebook.engines.spark.session import Connection

PARTITION_BYTES = 128 * 1024**2
GROWTH = 3
"""What is shuffled, for each byte read: a stage joins columns to its rows before it sorts them."""

MOST_PARTITIONS = 2000

_CONFLICTS = ("CONCURRENT", "METADATA_CHANGED", "PROTOCOL_CHANGED", "ConcurrentModification")


class SparkEngine(DeltaLog):
    """Spark DataFrames. The session is opened with the first frame."""

    name = "spark"

    def __init__(self, settings: SparkSettings) -> None:
        self.settings = settings
        self._connection: Connection | None = None
        self._cached: list[DataFrame] = []
        self._read_bytes = 0

    @property
    def session(self) -> "SparkSession":
        """This process's session; a new one where its server has ended, which ends its frames too."""
        if self._connection is not None and self._connection.is_lost:
            self._connection.forget()
            self._connection = None
            self._cached.clear()
        if self._connection is None:
            from stagebook.engines.spark.session import connect

            self._connection = connect(self.settings)
        return self._connection.session

    def read(
        self, path: Path, *, version: int, columns: Sequence[str] | None = None, where: Predicates = ()
    ) -> "DataFrame":
        """One version as a Spark frame; columns and conditions are pushed down to the files.

        Raises:
            UnreadableTable: the table uses a feature that Spark does not know.
            UnknownColumn, BadPredicate: `columns` or `where` do not fit the table.
        """
        frame = self._load(path, version)
        try:
            schema = types.to_arrow(frame.schema)
        except Exception as fault:
            if unknown := unreadable(protocol_of(path), SPARK_READER):
                raise UnreadableTable.of(str(path), engine=self.name, features=unknown) from fault
            raise
        wanted = list(schema.names if columns is None else columns)
        for column in wanted:
            if column not in schema.names:
                raise UnknownColumn.of(column, known=schema.names)
        selected = predicates.select(frame, wanted, predicates.check(where, schema))
        size = self._memory_bytes(path, version, wanted, where)
        if size is None:
            return selected
        self._spread(size)
        return selected.hint("broadcast") if size <= self._broadcast_bytes else selected

    def _load(self, path: Path, version: int) -> "DataFrame":
        return self.session.read.format("delta").option("versionAsOf", version).load(str(path))

    def _memory_bytes(self, path: Path, version: int, columns: Sequence[str], where: Predicates) -> int | None:
        """What a read takes in memory; None where the log has no counts, or delta-rs does not open the table."""
        try:
            return self.size(path, version, columns, where).memory_bytes
        except UnreadableTable:
            return None

    @cached_property
    def _broadcast_bytes(self) -> int:
        """What Spark itself takes for small; it looks at compressed files, we at the rows in memory."""
        return self._bytes_of("spark.sql.autoBroadcastJoinThreshold", 0)

    def _spread(self, size_bytes: int) -> None:
        """Shuffle into as many parts as the bytes read so far ask for; small ones are put together again by AQE."""
        self._read_bytes += size_bytes
        wanted = ceil(self._read_bytes * GROWTH / PARTITION_BYTES)
        if wanted > int(self.session.conf.get("spark.sql.shuffle.partitions") or "0"):
            self.session.conf.set("spark.sql.shuffle.partitions", min(wanted, MOST_PARTITIONS))

    def frame(self, data: Any) -> "DataFrame":
        """A Spark frame as it is; other data through Arrow."""
        return data if hasattr(data, "sparkSession") else self._frame(from_local(data))

    def _frame(self, table: "pa.Table") -> "DataFrame":
        """An Arrow table as a frame; Spark asks for the types of one without rows."""
        schema = None if table.num_rows else types.from_arrow(table.schema)
        return self.session.createDataFrame(table, schema)

    def cache(self, frame: "DataFrame") -> "DataFrame":
        """The rows kept in the executors' memory, on their disks where that is too small."""
        self._cached.append(frame.persist())
        return frame

    def release(self) -> None:
        """Let go of the frames that `cache` keeps. A server that is gone keeps none, and is not waited for."""
        if self._connection is not None and not self._connection.answers:
            self._connection.forget()
            self._connection = None
            self._cached.clear()
        for frame in self._cached:
            with contextlib.suppress(Exception):
                frame.unpersist()
        self._cached.clear()

    def count(self, frame: "DataFrame") -> int:
        """The number of rows."""
        return frame.count()

    def join(self, left: "DataFrame", right: "DataFrame", *, on: Sequence[str], how: JoinHow) -> "DataFrame":
        """Two frames joined on equal columns: broadcast, left to Spark, or salted, as `joins.plan` decides."""
        sides = self._sides(left, right, on)
        planned = joins.plan(sides)
        match planned.how:
            case "broadcast":
                return left.join(right.hint("broadcast"), on=list(on), how=how)
            case "salt":
                return joins.salted(left, right, on, how, [key for key, _ in sides.heavy])
            case _:
                return left.join(right, on=list(on), how=how)

    def _sides(self, left: "DataFrame", right: "DataFrame", on: Sequence[str]) -> joins.Sides:
        """Sizes by counting; the key's histogram only where the right side is too large to be sent to all."""
        right_bytes = right.count() * frame_row_bytes(right)
        small = right_bytes <= self._broadcast_bytes
        rows = 0 if small else left.count()
        heavy = () if small else joins.histogram(left, on, rows)
        return joins.Sides(
            left_bytes=rows * frame_row_bytes(left),
            right_bytes=right_bytes,
            left_rows=rows,
            heavy=heavy,
            broadcast_bytes=self._broadcast_bytes,
            aqe_bytes=self._bytes_of("spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes", 256 * 1024**2),
            partitions=self._shuffle_partitions(),
            slots=joins.slots(self.session) if heavy else 1,
        )

    def _shuffle_partitions(self) -> int:
        """Spark's own default where a workspace says `auto`."""
        told = self.session.conf.get("spark.sql.shuffle.partitions") or ""
        return int(told) if told.isdecimal() else 200

    def _bytes_of(self, key: str, default: int) -> int:
        """A setting in bytes; Spark tells some as `256MB`."""
        return types.parse_bytes(self.session.conf.get(key) or "", default)

    def to_arrow(self, frame: Any) -> "pa.Table":
        """All rows in this process, by Arrow."""
        return plain(self.frame(frame).toArrow())

    def conform(self, frame: Any, schema: TableSchema) -> "DataFrame":
        """The declared columns, cast; the frame is computed once, since the check and the write both need it.

        Raises:
            SchemaViolation: see `types.conform`.
        """
        native = self.frame(frame)
        return types.conform(native if self._is_cached(native) else self.cache(native), schema)

    def _is_cached(self, frame: "DataFrame") -> bool:
        return frame.storageLevel.useMemory

    def digest(self, data: "DataFrame") -> str:
        """Rows and the sum of their hashes: the same for the same rows in any order."""
        return self.fingerprints(data, None)[None]

    def fingerprints(self, frame: Any, by: str | None) -> dict[Any, str]:
        """For each value of a column a digest of its rows, in one aggregate."""
        from pyspark.sql import functions as F

        native = self.frame(frame)
        counted = native.groupBy() if by is None else native.groupBy(F.col(types.quoted(by)).alias("part"))
        told = counted.agg(F.count(F.lit(1)).alias("rows"), types.total_hash(native.columns)).toArrow().to_pylist()
        name = f"spark-{self.session.version}"
        return {row.get("part"): f"{name}:{row['rows']}:{row['total'] or 0}" for row in told}

    def mark(self, path: Path, order: WriteOrder) -> Commit:
        """Commits the metadata of `order` by appending no rows.

        Raises:
            WriteConflict: another writer was faster.
        """
        self.refuse_later(path, order.after)
        nothing = self._frame(arrow_schema(order.schema).empty_table())
        self._commit(self._writer(nothing, "append", order, self._next(path)), path)
        return self._written(path, order)

    def write(self, path: Path, data: "DataFrame | pa.RecordBatchReader", order: WriteOrder) -> Commit:
        """Commits `data` exactly once; creates the Delta table if need be.

        The transaction is looked up in the log first, because Spark itself skips a repeated one without
        looking at the content, and then written with the commit, numbered by the version that it makes.

        Raises:
            WriteConflict: another writer was faster; the same call may be made again.
            SchemaViolation: `order.replace` does not cover all rows, or the columns differ from the table's.
        """
        if not hasattr(data, "sparkSession"):
            return self._write_stream(path, data, order)
        done = self.committed(path, order.app_id)
        if done is not None and self.metadata(path, done.version).get(CONTENT) == order.metadata.get(CONTENT):
            return done
        self.refuse_later(path, order.after)
        if self.latest(path) is None:
            self._create(path, order.schema)
        schema = types.to_arrow(data.schema)
        conditions = predicates.check(order.replace or (), schema)
        changed = types.changed_columns(self._columns(path), order.schema)
        if changed and order.replace is not None:
            raise SchemaViolation.columns_changed(order.schema.name, self._next(path) - 1, changed)
        writes.refuse_rows_outside(data, conditions, order)
        writer = self._writer(writes.laid_out(data, order.schema), "overwrite", order, self._next(path))
        if order.replace is not None:
            writer = writer.option("replaceWhere", predicates.to_spark_sql(conditions))
        elif changed:
            writer = writer.option("overwriteSchema", "true")
        else:
            writer = self._over_all_rows(writer)
        self._commit(writer, path)
        return self._written(path, order)

    def _write_stream(self, path: Path, data: "pa.RecordBatchReader", order: WriteOrder) -> Commit:
        """A stream of this process: there is nothing to distribute."""
        return LocalEngine().write(path, data, order)

    def _create(self, path: Path, schema: TableSchema) -> None:
        create_empty(path, schema)

    def _columns(self, path: Path) -> "pa.Schema":
        import pyarrow as pa

        return pa.schema(opened(path).schema().to_arrow())

    def _over_all_rows(self, writer: "DataFrameWriter") -> "DataFrameWriter":
        return writer

    def _next(self, path: Path) -> int:
        """The number of the version that the next commit makes."""
        latest = self.latest(path)
        return 0 if latest is None else latest + 1

    def _writer(self, data: "DataFrame", mode: str, order: WriteOrder, version: int) -> "DataFrameWriter":
        """A writer of one commit with its metadata and its transaction, numbered by the version that it makes."""
        writer = data.write.format("delta").mode(mode)
        writer = writer.option("txnAppId", order.app_id).option("txnVersion", version)
        return writer.option("userMetadata", json.dumps(self._told(order)))

    def _told(self, order: WriteOrder) -> Mapping[str, Any]:
        return order.told

    def _save(self, writer: "DataFrameWriter", path: Path) -> None:
        writer.save(str(path))

    def _commit(self, writer: "DataFrameWriter", path: Path) -> None:
        try:
            self._save(writer, path)
        except Exception as fault:
            if any(mark in str(fault) for mark in _CONFLICTS):
                raise self.conflict(path) from fault
            raise

    def _written(self, path: Path, order: WriteOrder) -> Commit:
        written = self.committed(path, order.app_id)
        assert written is not None, "the commit that was just made names its transaction"
        return replace(written, repeated=False)
