"""Spark over the tables of a catalog, as on Databricks: their folders are unknown, so SQL reads the log."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.delta.arrow import arrow_schema
from stagebook.delta.creation import configuration
from stagebook.delta.engine import (
    ATTEMPT,
    CONTENT,
    DROPPED,
    LAYOUT,
    PARTITIONS,
    REPLACED,
    RUN_ID,
    STAGE,
    WriteOrder,
)
from stagebook.delta.estimate import row_bytes
from stagebook.model.pipeline import SparkSettings
from stagebook.model.tables import Commit, Layout, Predicates, TableSchema, TableSize
from stagebook.spark import types
from stagebook.spark.engine import SparkEngine
from stagebook.spark.names import quoted

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, DataFrameWriter

TRANSACTION_KEY = "stagebook.transaction"
"""Key in a commit's metadata for the write's transaction: SQL does not show the log's own transactions."""

_ROW_PRESERVING_OPERATIONS = (
    "OPTIMIZE",
    "VACUUM",
    "SET TBLPROPERTIES",
    "UNSET TBLPROPERTIES",
    "CLUSTER BY",
    "COMPUTE STATS",
)
"""Beginnings of the operations in a table's history that change no rows."""

_TABLE_MISSING = {"TABLE_OR_VIEW_NOT_FOUND", "DELTA_TABLE_NOT_FOUND", "PATH_NOT_FOUND"}
"""Spark's conditions for a missing table; the last is from a local catalog that keeps each table in a folder."""


@dataclass(frozen=True)
class HistoryEntry:
    """One version in a table's history."""

    version: int
    operation: str
    metadata: Mapping[str, Any]

    @property
    def changes_rows(self) -> bool:
        return not self.operation.startswith(_ROW_PRESERVING_OPERATIONS)


class CatalogEngine(SparkEngine):
    """Tables `catalog.schema.name`. Of a path only the last part is used: the table's name."""

    def __init__(self, settings: SparkSettings, catalog: str, schema: str) -> None:
        super().__init__(settings)
        self.catalog = catalog
        self.schema = schema

    def full_name(self, path: Path) -> str:
        """The table's three-level name as SQL; a name with dots has its own schema, or catalog and schema."""
        levels = path.name.split(".")
        return ".".join(quoted(level) for level in [self.catalog, self.schema][: 3 - len(levels)] + levels)

    def history(self, path: Path) -> list[HistoryEntry]:
        """All versions in the log, newest first; none where there is no table."""
        from pyspark.errors import PySparkException

        name = self.full_name(path)
        try:
            _ = self.session.table(name).schema
        except PySparkException as fault:
            if fault.getCondition() in _TABLE_MISSING:
                return []
            raise
        history = self.session.sql(f"DESCRIBE HISTORY {name}").select("version", "operation", "userMetadata")
        rows = sorted(history.toArrow().to_pylist(), key=lambda row: -row["version"])
        return [HistoryEntry(row["version"], row["operation"], _parse_metadata(row["userMetadata"])) for row in rows]

    def latest(self, path: Path) -> int | None:
        return next((entry.version for entry in self.history(path)), None)

    def commit(self, path: Path, version: int) -> Commit:
        """The commit of one version that exists; its rows are counted, its bytes are those of the newest version."""
        return self._commit_of(path, next(entry for entry in self.history(path) if entry.version == version))

    def committed(self, path: Path, app_id: str) -> Commit | None:
        for entry in self.history(path):
            if entry.metadata.get(TRANSACTION_KEY) == app_id:
                return replace(self._commit_of(path, entry), repeated=True)
        return None

    def newest_commit_of(self, path: Path, *, run_id: str, stage: str) -> Commit | None:
        for entry in self.history(path):
            if (entry.metadata.get(RUN_ID), entry.metadata.get(STAGE)) == (run_id, stage):
                return self._commit_of(path, entry)
        return None

    def metadata(self, path: Path, version: int) -> Mapping[str, Any]:
        return next((entry.metadata for entry in self.history(path) if entry.version == version), {})

    def identity(self, path: Path, version: int) -> str | None:
        for entry in self.history(path):
            if entry.version <= version and entry.changes_rows:
                has_whole_content = CONTENT in entry.metadata and not {PARTITIONS, REPLACED} & entry.metadata.keys()
                return f"rows {entry.metadata[CONTENT]}" if has_whole_content else None
        return None

    def refuse_damaged(self, path: Path, version: int) -> None:
        """Does nothing: the platform keeps the log."""

    def is_complete(self, path: Path, version: int) -> bool:
        """Whether the history has the version; its files are not checked."""
        return any(entry.version == version for entry in self.history(path))

    def latest_content_version(self, path: Path) -> int | None:
        versions = (entry.version for entry in self.history(path) if PARTITIONS in entry.metadata or entry.changes_rows)
        return next(versions, None)

    def size(self, path: Path, version: int, columns: Sequence[str] | None = None, where: Predicates = ()) -> TableSize:
        """The size of the whole version, by counting its rows: SQL does not show the statistics of files."""
        detail = self._detail(path)
        files, size_bytes = detail["numFiles"], detail["sizeInBytes"]
        frame = self._load(path, version)
        rows = frame.count()
        schema = types.to_arrow(frame.schema)
        column_names = list(schema.names if columns is None else columns)
        return TableSize(
            version=version,
            files=files,
            rows=rows,
            size_bytes=size_bytes,
            all_files=files,
            all_rows=rows,
            all_bytes=size_bytes,
            estimated_rows=rows,
            row_bytes=row_bytes([schema.field(name).type for name in column_names]),
        )

    def cache(self, frame: "DataFrame") -> "DataFrame":
        """Cache the frame; serverless compute caches nothing and computes the frame each time."""
        from pyspark.errors import PySparkException

        try:
            return super().cache(frame)
        except PySparkException as fault:
            if "SERVERLESS" in (fault.getCondition() or ""):
                return frame
            raise

    def _is_cached(self, frame: "DataFrame") -> bool:
        return frame in self._cached

    def _bytes_of(self, key: str, default: int) -> int:
        """A setting in bytes; serverless compute hides most settings: then the default."""
        from pyspark.errors import PySparkException

        try:
            return super()._bytes_of(key, default)
        except PySparkException:
            return default

    def _load(self, path: Path, version: int) -> "DataFrame":
        return self.session.sql(f"SELECT * FROM {self.full_name(path)} VERSION AS OF {version}")

    def _memory_bytes(self, path: Path, version: int, columns: Sequence[str], where: Predicates) -> int | None:
        """None: the platform has the statistics itself, and chooses joins and partitions by them."""
        return None

    def _create(self, path: Path, schema: TableSchema) -> None:
        declared = arrow_schema(schema)
        fields = types.from_arrow(declared).fields
        columns = [
            f"{quoted(field.name)} {field.dataType.simpleString()}{'' if column.nullable else ' NOT NULL'}"
            f" COMMENT {_sql_literal((declared.field(column.name).metadata or {})[b'comment'].decode())}"
            for field, column in zip(fields, schema.columns, strict=True)
        ]
        by = ", ".join(map(quoted, schema.layout.partition_by))
        properties = ", ".join(
            f"{_sql_literal(key)} = {_sql_literal(str(value))}" for key, value in configuration(schema).items()
        )
        clauses = [
            f"CREATE TABLE IF NOT EXISTS {self.full_name(path)} ({', '.join(columns)}) USING DELTA",
            *([f"PARTITIONED BY ({by})"] if by else []),
            f"COMMENT {_sql_literal(schema.description)} TBLPROPERTIES ({properties})",
        ]
        self.session.sql(" ".join(clauses))

    def _complete_protocol(self, path: Path) -> None:
        """Does nothing: Spark itself has created the table."""

    def columns(self, path: Path) -> "pa.Schema":
        import pyarrow as pa

        schema = self.session.table(self.full_name(path)).schema
        return pa.schema(
            [
                arrow.with_metadata({"comment": field.metadata.get("comment", "")})
                for arrow, field in zip(types.to_arrow(schema), schema.fields, strict=True)
            ]
        )

    def layout(self, path: Path) -> Layout:
        declared = next((layout for entry in self.history(path) if (layout := entry.metadata.get(LAYOUT))), None)
        layout = Layout.from_json(declared) if declared else Layout()
        return replace(layout, partition_by=tuple(self._detail(path)["partitionColumns"]))

    def _write_stream(self, path: Path, data: "pa.RecordBatchReader", order: WriteOrder) -> Commit:
        return self.write(path, self._frame(data.read_all()), order)

    def _overwrite_all_rows(self, writer: "DataFrameWriter") -> "DataFrameWriter":
        """Replace all rows: overwriting a table by its name would recreate it without comments and constraints."""
        return writer.option("replaceWhere", "true")

    def _user_metadata(self, order: WriteOrder) -> Mapping[str, Any]:
        return {**order.log_metadata, TRANSACTION_KEY: order.app_id}

    def _save(self, writer: "DataFrameWriter", path: Path) -> None:
        writer.saveAsTable(self.full_name(path))

    def _commit_of(self, path: Path, entry: HistoryEntry) -> Commit:
        return Commit(
            version=entry.version,
            rows=self._load(path, entry.version).count(),
            size_bytes=self._detail(path)["sizeInBytes"],
            run_id=entry.metadata.get(RUN_ID),
            stage=entry.metadata.get(STAGE),
            attempt=entry.metadata.get(ATTEMPT),
            dropped_by_rule=entry.metadata.get(DROPPED) or {},
        )

    def _detail(self, path: Path) -> Mapping[str, Any]:
        """Files, bytes and partitions of the newest version."""
        return self.session.sql(f"DESCRIBE DETAIL {self.full_name(path)}").toArrow().to_pylist()[0]


def _parse_metadata(text: str | None) -> Mapping[str, Any]:
    try:
        metadata = json.loads(text or "{}")
    except ValueError:
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _sql_literal(value: str) -> str:
    """The text as a SQL string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
