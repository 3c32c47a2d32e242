"""Describes a table from its log: columns, layout, size, protocol and history. No data is read."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from stagebook.delta import pruning
from stagebook.delta.engine import ATTEMPT, RUN_ID, STAGE
from stagebook.delta.log import layout_of, open_table, protocol_of, read_metadata, versions
from stagebook.delta.protocol import Protocol, engine_access
from stagebook.errors import StagebookError, UnreadableTable
from stagebook.model.maintenance import ColumnInfo, PartitionSizes, TableDescription, TableVersion

if TYPE_CHECKING:
    from deltalake import DeltaTable

_UNIT = re.compile(r"(?P<description>.*?)(?: \[(?P<unit>[^\[\]]+)\])?", re.DOTALL)


def describe(path: Path, version: int) -> TableDescription:
    """One version of a table; if delta-rs cannot open it, only its protocol and which engines can read it."""
    try:
        table = open_table(path, version)
    except UnreadableTable:
        protocol = protocol_of(path)
        return TableDescription(
            version, protocol.reader_version, protocol.writer_version, protocol.features, engine_access(protocol)
        )
    protocol, files = Protocol.of(table), pruning.FileStatistics(table)
    return TableDescription(
        version=version,
        reader_version=protocol.reader_version,
        writer_version=protocol.writer_version,
        features=protocol.features,
        access=engine_access(protocol),
        columns=[_column_info(name, *column) for name, column in _columns(table).items()],
        layout=layout_of(path, table),
        partitions=partitions(files),
        files=len(files.all),
        rows=pruning.total_rows(files.all),
        size_bytes=sum(file.size_bytes for file in files.all),
    )


def partitions(files: pruning.FileStatistics) -> PartitionSizes | None:
    """How large the partitions are; None where the table has none, or no files."""
    if not files.partition_by or not files.all:
        return None
    sizes: dict[tuple[str, ...], int] = {}
    for file in files.all:
        key = tuple(map(repr, file.partition.values()))
        sizes[key] = sizes.get(key, 0) + file.size_bytes
    return PartitionSizes(files.partition_by, len(sizes), round(median(sizes.values())))


def history(path: Path, last: int) -> Sequence[TableVersion]:
    """The newest commits, newest first."""
    return [_table_version(path, version) for version in sorted(versions(path), reverse=True)[:last]]


def committed_at(path: Path, version: int) -> datetime | None:
    """When a version was committed, according to its writer; None where its log file is gone."""
    log = path / "_delta_log" / f"{version:020d}.json"
    if not log.exists():
        return None
    timestamp_ms = read_metadata(path, version).get("timestamp")
    return datetime.fromtimestamp(timestamp_ms / 1000 if timestamp_ms else log.stat().st_mtime, UTC)


def _table_version(path: Path, version: int) -> TableVersion:
    metadata, at = read_metadata(path, version), committed_at(path, version)
    rows = count = size = None
    try:
        files = pruning.FileStatistics(open_table(path, version)).all
        rows, count, size = pruning.total_rows(files), len(files), sum(file.size_bytes for file in files)
    except StagebookError:
        pass  # the log no longer has this version, or delta-rs cannot open it
    return TableVersion(
        version=version,
        at="" if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        operation=metadata.get("operation", ""),
        run_id=metadata.get(RUN_ID),
        stage=metadata.get(STAGE),
        attempt=metadata.get(ATTEMPT),
        rows=rows,
        files=count,
        size_bytes=size,
    )


def _columns(table: "DeltaTable") -> dict[str, tuple[str, bool, str]]:
    import pyarrow as pa

    return {
        field.name: (str(field.type), field.nullable, ((field.metadata or {}).get(b"comment") or b"").decode())
        for field in pa.schema(table.schema().to_arrow())
    }


def _column_info(name: str, kind: str, nullable: bool, comment: str) -> ColumnInfo:
    match = _UNIT.fullmatch(comment)
    description, unit = (match["description"], match["unit"]) if match else (comment, None)
    return ColumnInfo(name, kind, nullable, description, unit)
