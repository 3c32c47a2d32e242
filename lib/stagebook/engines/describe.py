"""What a table's log tells of its columns, layout, size, protocol and history. No data is read."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from stagebook.engines import pruning
from stagebook.engines.base import ATTEMPT, LAYOUT, RUN_ID, STAGE
from stagebook.engines.deltalog import opened, protocol_of, read_metadata, versions
from stagebook.engines.protocol import Protocol, access
from stagebook.errors import StagebookError, UnreadableTable
from stagebook.model.tables import Layout
from stagebook.model.upkeep import Change, ColumnNote, Description, Partitions

if TYPE_CHECKING:
    from deltalake import DeltaTable

_UNIT = re.compile(r"(?P<description>.*?)(?: \[(?P<unit>[^\[\]]+)\])?", re.DOTALL)
_TARGET, _STATISTICS = "delta.targetFileSize", "delta.dataSkippingNumIndexedCols"


def describe(path: Path, version: int) -> Description:
    """One version of a table; of one that delta-rs does not open, its protocol and who can read it."""
    try:
        table = opened(path, version)
    except UnreadableTable:
        asked = protocol_of(path)
        return Description(version, asked.reader_version, asked.writer_version, asked.features, access(asked))
    asked, files = Protocol.of(table), pruning.Files(table)
    return Description(
        version=version,
        reader_version=asked.reader_version,
        writer_version=asked.writer_version,
        features=asked.features,
        access=access(asked),
        columns=[_note(name, *column) for name, column in _columns(table).items()],
        layout=layout(path, table),
        partitions=partitions(files),
        files=len(files.all),
        rows=pruning.total_rows(files.all),
        size_bytes=sum(file.size_bytes for file in files.all),
    )


def layout(path: Path, table: "DeltaTable") -> Layout:
    """The layout that the newest write declared; where none did, what the table's own properties say."""
    for version in sorted(versions(path), reverse=True):
        if version <= table.version() and (declared := read_metadata(path, version).get(LAYOUT)):
            return Layout.from_json(declared)
    metadata = table.metadata()
    properties = metadata.configuration
    return Layout(
        partition_by=tuple(metadata.partition_columns),
        target_file_bytes=_number(properties.get(_TARGET), Layout.target_file_bytes),
        statistics_columns=_number(properties.get(_STATISTICS), Layout.statistics_columns),
    )


def partitions(files: pruning.Files) -> Partitions | None:
    """How large the partitions are; None where the table has none, or no files."""
    if not files.partition_by or not files.all:
        return None
    sizes: dict[tuple[str, ...], int] = {}
    for file in files.all:
        key = tuple(map(repr, file.partition.values()))
        sizes[key] = sizes.get(key, 0) + file.size_bytes
    return Partitions(files.partition_by, len(sizes), round(median(sizes.values())))


def history(path: Path, last: int) -> Sequence[Change]:
    """The newest commits, newest first."""
    return [_change(path, version) for version in sorted(versions(path), reverse=True)[:last]]


def committed_at(path: Path, version: int) -> datetime | None:
    """When a version was committed, as its writer says; None where its log file is gone."""
    log = path / "_delta_log" / f"{version:020d}.json"
    if not log.exists():
        return None
    told = read_metadata(path, version).get("timestamp")
    return datetime.fromtimestamp(told / 1000 if told else log.stat().st_mtime, UTC)


def _change(path: Path, version: int) -> Change:
    metadata, at = read_metadata(path, version), committed_at(path, version)
    rows = count = size = None
    try:
        files = pruning.Files(opened(path, version)).all
        rows, count, size = pruning.total_rows(files), len(files), sum(file.size_bytes for file in files)
    except StagebookError:
        pass  # the log has forgotten how the table was then, or delta-rs does not open it
    return Change(
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


def _note(name: str, kind: str, nullable: bool, comment: str) -> ColumnNote:
    found = _UNIT.fullmatch(comment)
    description, unit = (found["description"], found["unit"]) if found else (comment, None)
    return ColumnNote(name, kind, nullable, description, unit)


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
