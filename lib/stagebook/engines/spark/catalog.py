"""Spark over tables that a catalog names, as on Databricks: no folder is known, the log is asked in SQL."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.engines.arrow import arrow_schema
from stagebook.engines.base import ATTEMPT, CONTENT, DROPPED, PARTS, REPLACED, RUN_ID, STAGE, WriteOrder
from stagebook.engines.creation import configuration
from stagebook.engines.estimate import row_bytes
from stagebook.engines.spark import types
from stagebook.engines.spark.engine import SparkEngine
from stagebook.model.pipeline import SparkSettings
from stagebook.model.tables import Commit, Predicates, TableSchema, TableSize

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, DataFrameWriter

TRANSACTION = "stagebook.transaction"
"""Key of a commit's metadata that names its write for good: SQL does not show the log's own transactions."""

_KEEPS_ROWS = ("OPTIMIZE", "VACUUM", "SET TBLPROPERTIES", "UNSET TBLPROPERTIES", "CLUSTER BY", "COMPUTE STATS")
"""What operations that change no rows begin with in a table's history."""

_NO_TABLE = {"TABLE_OR_VIEW_NOT_FOUND", "DELTA_TABLE_NOT_FOUND", "PATH_NOT_FOUND"}
"""The last where a stand-in of a catalog keeps the table of a name in a folder."""


@dataclass(frozen=True)
class Entry:
    """One version in a table's history."""

    version: int
    operation: str
    metadata: Mapping[str, Any]

    @property
    def changes_rows(self) -> bool:
        return not self.operation.startswith(_KEEPS_ROWS)


class CatalogEngine(SparkEngine):
    """Tables `catalog.schema.name`; of the paths that it is given only the last part counts, the table's name."""

    def __init__(self, settings: SparkSettings, catalog: str, schema: str) -> None:
        super().__init__(settings)
        self.catalog = catalog
        self.schema = schema

    def full_name(self, path: Path) -> str:
        """The table's three-level name as SQL; a name with dots brings its own schema, or catalog and schema."""
        parts = path.name.split(".")
        return ".".join(types.quoted(part) for part in [self.catalog, self.schema][: 3 - len(parts)] + parts)

    def history(self, path: Path) -> list[Entry]:
        """All versions that the log knows, newest first; none where there is no table."""
        from pyspark.errors import PySparkException

        name = self.full_name(path)
        try:
            _ = self.session.table(name).schema
        except PySparkException as fault:
            if fault.getCondition() in _NO_TABLE:
                return []
            raise
        told = self.session.sql(f"DESCRIBE HISTORY {name}").select("version", "operation", "userMetadata")
        rows = sorted(told.toArrow().to_pylist(), key=lambda row: -row["version"])
        return [Entry(row["version"], row["operation"], _parsed(row["userMetadata"])) for row in rows]

    def latest(self, path: Path) -> int | None:
        return next((entry.version for entry in self.history(path)), None)

    def commit(self, path: Path, version: int) -> Commit:
        """What the history says of one version that exists; its rows are counted, its bytes are the newest's."""
        return self._commit_of(path, next(entry for entry in self.history(path) if entry.version == version))

    def committed(self, path: Path, app_id: str) -> Commit | None:
        for entry in self.history(path):
            if entry.metadata.get(TRANSACTION) == app_id:
                return replace(self._commit_of(path, entry), repeated=True)
        return None

    def newest_of(self, path: Path, *, run_id: str, stage: str) -> Commit | None:
        for entry in self.history(path):
            if (entry.metadata.get(RUN_ID), entry.metadata.get(STAGE)) == (run_id, stage):
                return self._commit_of(path, entry)
        return None

    def metadata(self, path: Path, version: int) -> Mapping[str, Any]:
        return next((entry.metadata for entry in self.history(path) if entry.version == version), {})

    def identity(self, path: Path, version: int) -> str | None:
        for entry in self.history(path):
            if entry.version <= version and entry.changes_rows:
                whole = CONTENT in entry.metadata and not {PARTS, REPLACED} & entry.metadata.keys()
                return f"rows {entry.metadata[CONTENT]}" if whole else None
        return None

    def intact(self, path: Path, version: int) -> bool:
        """Whether the history has the version; that its files are there too is not looked at."""
        return any(entry.version == version for entry in self.history(path))

    def content(self, path: Path) -> int | None:
        found = (entry.version for entry in self.history(path) if PARTS in entry.metadata or entry.changes_rows)
        return next(found, None)

    def size(self, path: Path, version: int, columns: Sequence[str] | None = None, where: Predicates = ()) -> TableSize:
        """The whole version, its rows counted: SQL does not show the statistics of files."""
        files, size_bytes = self._detail(path)
        frame = self._load(path, version)
        rows = frame.count()
        schema = types.to_arrow(frame.schema)
        wanted = list(schema.names if columns is None else columns)
        return TableSize(
            version=version,
            files=files,
            rows=rows,
            size_bytes=size_bytes,
            all_files=files,
            all_rows=rows,
            all_bytes=size_bytes,
            estimated_rows=rows,
            row_bytes=row_bytes([schema.field(name).type for name in wanted]),
        )

    def cache(self, frame: "DataFrame") -> "DataFrame":
        """As on all Spark; serverless compute caches nothing, and there the frame is computed each time."""
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
        """A setting in bytes; serverless compute shows few."""
        from pyspark.errors import PySparkException

        try:
            return super()._bytes_of(key, default)
        except PySparkException:
            return default

    def _load(self, path: Path, version: int) -> "DataFrame":
        return self.session.sql(f"SELECT * FROM {self.full_name(path)} VERSION AS OF {version}")

    def _memory_bytes(self, path: Path, version: int, columns: Sequence[str], where: Predicates) -> int | None:
        """Not asked: the platform has the statistics itself, and chooses joins and partitions by them."""
        return None

    def _create(self, path: Path, schema: TableSchema) -> None:
        declared = arrow_schema(schema)
        fields = types.from_arrow(declared).fields
        columns = [
            f"{types.quoted(field.name)} {field.dataType.simpleString()}{'' if column.nullable else ' NOT NULL'}"
            f" COMMENT {_text((declared.field(column.name).metadata or {})[b'comment'].decode())}"
            for field, column in zip(fields, schema.columns, strict=True)
        ]
        by = ", ".join(map(types.quoted, schema.layout.partition_by))
        properties = ", ".join(f"{_text(key)} = {_text(str(value))}" for key, value in configuration(schema).items())
        clauses = [
            f"CREATE TABLE IF NOT EXISTS {self.full_name(path)} ({', '.join(columns)}) USING DELTA",
            *([f"PARTITIONED BY ({by})"] if by else []),
            f"COMMENT {_text(schema.description)} TBLPROPERTIES ({properties})",
        ]
        self.session.sql(" ".join(clauses))

    def _columns(self, path: Path) -> "pa.Schema":
        return types.to_arrow(self.session.table(self.full_name(path)).schema)

    def _write_stream(self, path: Path, data: "pa.RecordBatchReader", order: WriteOrder) -> Commit:
        return self.write(path, self._frame(data.read_all()), order)

    def _over_all_rows(self, writer: "DataFrameWriter") -> "DataFrameWriter":
        """Replace rows; to overwrite a table by its name is to make it anew, without comments and constraints."""
        return writer.option("replaceWhere", "true")

    def _told(self, order: WriteOrder) -> Mapping[str, Any]:
        return {**order.told, TRANSACTION: order.app_id}

    def _save(self, writer: "DataFrameWriter", path: Path) -> None:
        writer.saveAsTable(self.full_name(path))

    def _commit_of(self, path: Path, entry: Entry) -> Commit:
        return Commit(
            version=entry.version,
            rows=self._load(path, entry.version).count(),
            size_bytes=self._detail(path)[1],
            run_id=entry.metadata.get(RUN_ID),
            stage=entry.metadata.get(STAGE),
            attempt=entry.metadata.get(ATTEMPT),
            dropped=entry.metadata.get(DROPPED) or {},
        )

    def _detail(self, path: Path) -> tuple[int, int]:
        """Files and bytes of the newest version."""
        told = self.session.sql(f"DESCRIBE DETAIL {self.full_name(path)}").toArrow().to_pylist()[0]
        return told["numFiles"], told["sizeInBytes"]


def _parsed(text: str | None) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: str) -> str:
    """A text as a SQL literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
