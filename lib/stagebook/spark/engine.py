"""The Spark engine: Delta tables as Spark frames, by DataFrame and SQL calls that Connect and Databricks have."""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.delta import predicates
from stagebook.delta.arrow import arrow_schema, arrow_table, plain, signed
from stagebook.delta.casting import cast
from stagebook.delta.changes import compare_columns, refuse_changes_in_part
from stagebook.delta.creation import create_empty, name_invariants
from stagebook.delta.engine import CONTENT, JoinHow, WriteOrder
from stagebook.delta.estimate import frame_row_bytes
from stagebook.delta.log import DeltaLog, protocol_of
from stagebook.delta.pandas_engine import LocalEngine, selected_columns
from stagebook.delta.protocol import SPARK_READER, readers, unreadable
from stagebook.errors import DamagedTable, UnreadableTable, UnwritableTable
from stagebook.model.pipeline import SparkSettings
from stagebook.model.tables import Coercion, Commit, Predicates, TableSchema
from stagebook.spark import joins, types, writes
from stagebook.spark.names import is_of_delta, quoted, reason

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, DataFrameWriter, SparkSession

    from stagebook.spark.session import Connection

PARTITION_BYTES = 128 * 1024**2
SHUFFLE_GROWTH = 3
"""Bytes to shuffle for each byte read: a stage joins columns to its rows before it sorts them."""

MAX_SHUFFLE_PARTITIONS = 2000

_CONFLICTS = ("CONCURRENT", "METADATA_CHANGED", "PROTOCOL_CHANGED", "ConcurrentModification")

_NO_ZONE = re.compile(r"timestamp\[\w+\]")
"""The type of times without a zone in the text of an Arrow type, also in lists and structs."""


class SparkEngine(DeltaLog):
    """Spark DataFrames. The first frame opens the session."""

    name = "spark"

    def __init__(self, settings: SparkSettings) -> None:
        self.settings = settings
        self._connection: Connection | None = None
        self._cached: list[DataFrame] = []
        self._read_bytes = 0

    @property
    def session(self) -> "SparkSession":
        """This process's session; a new one where its server has ended. Frames of the old one are lost."""
        if self._connection is not None and self._connection.is_lost:
            self._connection.discard()
            self._connection = None
            self._cached.clear()
        if self._connection is None:
            from stagebook.spark.session import connect

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
        frame, schema = self._opened(path, version)
        column_names = selected_columns(columns, schema)
        conditions = predicates.check(where, schema)
        if conditions:
            frame = frame.where(predicates.to_spark_sql(conditions))
        selected = frame.select([quoted(column) for column in column_names])
        memory_bytes = self._memory_bytes(path, version, column_names, where)
        if memory_bytes is None:
            return selected
        self._raise_shuffle_partitions(memory_bytes)
        return selected.hint("broadcast") if memory_bytes <= self._broadcast_bytes else selected

    def _opened(self, path: Path, version: int) -> "tuple[DataFrame, pa.Schema]":
        """One version and its columns: Spark reads the log only when it is asked for these."""
        try:
            frame = self._load(path, version)
            return frame, types.to_arrow(frame.schema)
        except Exception as fault:
            protocol = protocol_of(path, lenient=True)
            if unknown := unreadable(protocol, SPARK_READER):
                by = readers(protocol)
                raise UnreadableTable.of(str(path), engine=self.name, features=unknown, readers=by) from None
            if is_of_delta(fault):
                raise DamagedTable.log(str(path), path.name, version, reason(fault)) from None
            raise

    def _load(self, path: Path, version: int) -> "DataFrame":
        return self.session.read.format("delta").option("versionAsOf", version).load(str(path))

    def _memory_bytes(self, path: Path, version: int, columns: Sequence[str], where: Predicates) -> int | None:
        """Bytes in memory of a read; None where the log has no counts, or delta-rs does not open the table."""
        try:
            return self.size(path, version, columns, where).memory_bytes
        except (UnreadableTable, DamagedTable):
            return None

    @cached_property
    def _broadcast_bytes(self) -> int:
        """Spark's own threshold for a broadcast; Spark compares compressed files to it, we compare rows in memory."""
        return self._bytes_of("spark.sql.autoBroadcastJoinThreshold", 0)

    def _raise_shuffle_partitions(self, size_bytes: int) -> None:
        """Shuffle into as many partitions as the bytes read so far need; AQE merges small ones again."""
        self._read_bytes += size_bytes
        needed = ceil(self._read_bytes * SHUFFLE_GROWTH / PARTITION_BYTES)
        if needed > int(self.session.conf.get("spark.sql.shuffle.partitions") or "0"):
            self.session.conf.set("spark.sql.shuffle.partitions", min(needed, MAX_SHUFFLE_PARTITIONS))

    def from_local(self, data: Any) -> "DataFrame":
        """A Spark frame unchanged; other data through Arrow."""
        return data if hasattr(data, "sparkSession") else self._frame(arrow_table(data))

    def _frame(self, table: "pa.Table") -> "DataFrame":
        """An Arrow table as a frame. Spark needs to be given the types of one without rows, and takes times without a
        zone for instants otherwise."""
        table = signed(table)
        needs_types = not table.num_rows or any(_NO_ZONE.search(str(kind)) for kind in table.schema.types)
        return self.session.createDataFrame(table, types.from_arrow(table.schema) if needs_types else None)

    def cache(self, frame: "DataFrame") -> "DataFrame":
        """Keep the rows in the executors' memory, or on their disks where that is too small."""
        self._cached.append(frame.persist())
        return frame

    def release(self) -> None:
        """Release the frames that `cache` keeps. A server that has ended keeps none: do not wait for it."""
        if self._connection is not None and not self._connection.is_reachable:
            self._connection.discard()
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
        """Two frames joined on equal columns: broadcast, salted, or as Spark does it; `joins.plan` decides."""
        sizes = self._join_sizes(left, right, on)
        match joins.plan(sizes).strategy:
            case "broadcast":
                return left.join(right.hint("broadcast"), on=list(on), how=how)
            case "salt":
                return joins.salted_join(left, right, on, how, [key for key, _ in sizes.heavy_keys])
            case _:
                return left.join(right, on=list(on), how=how)

    def _join_sizes(self, left: "DataFrame", right: "DataFrame", on: Sequence[str]) -> joins.JoinSizes:
        """Sizes by counting; the left side is counted only where the right side is too large for a broadcast."""
        right_bytes = right.count() * frame_row_bytes(right)
        is_small = right_bytes <= self._broadcast_bytes
        left_rows = 0 if is_small else left.count()
        heavy_keys = () if is_small else joins.heavy_keys(left, on, left_rows)
        return joins.JoinSizes(
            left_bytes=left_rows * frame_row_bytes(left),
            right_bytes=right_bytes,
            left_rows=left_rows,
            heavy_keys=heavy_keys,
            broadcast_bytes=self._broadcast_bytes,
            aqe_bytes=self._bytes_of("spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes", 256 * 1024**2),
            partitions=self._shuffle_partitions(),
            task_slots=joins.task_slots(self.session) if heavy_keys else 1,
        )

    def _shuffle_partitions(self) -> int:
        """The setting; Spark's own default where a workspace has `auto`."""
        setting = self.session.conf.get("spark.sql.shuffle.partitions") or ""
        return int(setting) if setting.isdecimal() else 200

    def _bytes_of(self, key: str, default: int) -> int:
        """A setting in bytes; Spark writes some as `256MB`."""
        return types.parse_bytes(self.session.conf.get(key) or "", default)

    def to_arrow(self, frame: Any) -> "pa.Table":
        """All rows as an Arrow table in this process."""
        return plain(self.from_local(frame).toArrow())

    def arrow_schema_of(self, frame: Any, subject: str) -> "pa.Schema":
        """The columns of a frame and their Arrow types, without computing it; errors begin with `subject`."""
        return types.to_arrow(frame.schema) if hasattr(frame, "sparkSession") else arrow_table(frame, subject).schema

    def conform(self, frame: Any, schema: TableSchema, coercion: Coercion | None = None) -> "DataFrame":
        """The declared columns, cast; the frame is computed once, since the check and the write both need it.

        Data of this process is cast before Spark gets it, which would guess some of its types.

        Raises:
            SchemaViolation: see `types.conform`.
        """
        if not hasattr(frame, "sparkSession"):
            frame = self._frame(cast(arrow_table(frame, f"table '{schema.name}'"), schema, coercion))
            coercion = None
        return types.conform(frame if self._is_cached(frame) else self.cache(frame), schema, coercion)

    def _is_cached(self, frame: "DataFrame") -> bool:
        return frame.storageLevel.useMemory

    def digest(self, data: "DataFrame") -> str:
        """The number of rows and the sum of their hashes: equal for the same rows in any order."""
        return self.fingerprints(data, None)[None]

    def fingerprints(self, frame: Any, by: str | None) -> dict[Any, str]:
        """For each value of a column a digest of its rows, in one aggregate."""
        from pyspark.sql import functions as F

        native = self.from_local(frame)
        counted = native.groupBy() if by is None else native.groupBy(F.col(quoted(by)).alias("partition"))
        sums = counted.agg(F.count(F.lit(1)).alias("rows"), types.total_hash(native.schema)).toArrow().to_pylist()
        name = f"spark-{self.session.version}"
        return {row.get("partition"): f"{name}:{row['rows']}:{row['total'] or 0}" for row in sums}

    def commit_metadata(self, path: Path, order: WriteOrder) -> Commit:
        """Commit the metadata of `order` by appending no rows.

        Raises:
            WriteConflict: another writer was faster.
        """
        self.require_latest(path, order.after)
        no_rows = self._frame(arrow_schema(order.schema).empty_table())
        self._commit(self._writer(no_rows, "append", order, self._next_version(path)), path)
        return self._new_commit(path, order)

    def write(self, path: Path, data: "DataFrame | pa.RecordBatchReader", order: WriteOrder) -> Commit:
        """Commit `data` exactly once; creates the Delta table if need be.

        The transaction is looked up in the log first, because Spark itself skips a repeated one without
        comparing the content. It is then written with the commit, numbered by the version that it makes.

        Raises:
            WriteConflict: another writer was faster; the same call may be made again.
            SchemaViolation: `order.replace` does not cover all rows, or the columns differ from the table's.
        """
        if not hasattr(data, "sparkSession"):
            return self._write_stream(path, data, order)
        earlier = self.committed(path, order.app_id)
        if earlier is not None and self.metadata(path, earlier.version).get(CONTENT) == order.metadata.get(CONTENT):
            return earlier
        self.require_latest(path, order.after)
        if self.latest(path) is None:
            self._create(path, order.schema)
        self._complete_protocol(path)
        schema = types.to_arrow(data.schema)
        conditions = predicates.check(order.replace or (), schema)
        declared = order.schema
        change = compare_columns(self.columns(path), arrow_schema(declared), nullability=False)
        partition_by = self.layout(path).partition_by
        if order.replace is not None:
            refuse_changes_in_part(declared, self._next_version(path) - 1, change, partition_by)
        writes.refuse_rows_outside(data, conditions, order)
        writer = self._writer(writes.lay_out(data, declared), "overwrite", order, self._next_version(path))
        if order.replace is not None:
            writer = writer.option("replaceWhere", predicates.to_spark_sql(conditions))
            writer = writer.option("mergeSchema", "true") if change.columns else writer
        elif change.columns or partition_by != declared.layout.partition_by:
            writer = writer.option("overwriteSchema", "true").partitionBy(*declared.layout.partition_by)
        else:
            writer = self._overwrite_all_rows(writer)
        self._commit(writer, path)
        return self._new_commit(path, order)

    def _write_stream(self, path: Path, data: "pa.RecordBatchReader", order: WriteOrder) -> Commit:
        """Write a stream of this process, in this process: there is nothing to distribute."""
        return LocalEngine().write(path, data, order)

    def _create(self, path: Path, schema: TableSchema) -> None:
        create_empty(path, schema)

    def _complete_protocol(self, path: Path) -> None:
        """Name the features that delta-rs leaves out, and without which Spark refuses to write."""
        name_invariants(path)

    def _overwrite_all_rows(self, writer: "DataFrameWriter") -> "DataFrameWriter":
        return writer

    def _next_version(self, path: Path) -> int:
        """The number of the version that the next commit makes."""
        latest = self.latest(path)
        return 0 if latest is None else latest + 1

    def _writer(self, data: "DataFrame", mode: str, order: WriteOrder, version: int) -> "DataFrameWriter":
        """A writer of one commit with its metadata and its transaction, numbered by the version that it makes."""
        writer = data.write.format("delta").mode(mode)
        writer = writer.option("txnAppId", order.app_id).option("txnVersion", version)
        return writer.option("userMetadata", json.dumps(self._user_metadata(order)))

    def _user_metadata(self, order: WriteOrder) -> Mapping[str, Any]:
        return order.log_metadata

    def _save(self, writer: "DataFrameWriter", path: Path) -> None:
        writer.save(str(path))

    def _commit(self, writer: "DataFrameWriter", path: Path) -> None:
        try:
            self._save(writer, path)
        except Exception as fault:
            if any(mark in str(fault) for mark in _CONFLICTS):
                raise self.conflict(path) from fault
            if is_of_delta(fault):
                raise UnwritableTable.because(str(path), self.name, reason(fault)) from None
            raise

    def _new_commit(self, path: Path, order: WriteOrder) -> Commit:
        commit = self.committed(path, order.app_id)
        assert commit is not None, "the commit that was just made names its transaction"
        return replace(commit, repeated=False)
