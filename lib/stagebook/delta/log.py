"""Reads the log of a Delta table: versions, who committed them, rows and bytes. No data is read."""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.delta import pruning
from stagebook.delta.engine import ATTEMPT, CONTENT, DROPPED, LAYOUT, PARTITIONS, REPLACED, RUN_ID, STAGE
from stagebook.delta.protocol import Protocol, readers, unreadable
from stagebook.errors import DamagedTable, UnknownTable, UnreadableTable, WriteConflict
from stagebook.model.tables import Commit, Layout, Predicates, TableSize

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

_VERSION_FILE = re.compile(r"(\d{20})\.(?:json|checkpoint\..*parquet|checkpoint\.parquet|checkpoint\..*json)")

_TARGET, _STATISTICS = "delta.targetFileSize", "delta.dataSkippingNumIndexedCols"


class DeltaLog:
    """The log methods of an engine, for tables in folders."""

    def latest(self, path: Path) -> int | None:
        """The newest version, or None where there is no table."""
        return max(versions(path), default=None)

    def commit(self, path: Path, version: int) -> Commit:
        """The commit of one version that exists."""
        return commit_of(open_table(path, version), path)

    def size(self, path: Path, version: int, columns: Sequence[str] | None = None, where: Predicates = ()) -> TableSize:
        """The size of a read of these columns and conditions, from the log's statistics.

        Raises:
            UnknownColumn, BadPredicate: `columns` or `where` do not fit the table.
        """
        return pruning.size_of_read(open_table(path, version), columns, where)

    def committed(self, path: Path, app_id: str) -> Commit | None:
        """The commit of this transaction, marked `repeated`; None if there is none."""
        if self.latest(path) is None:
            return None
        version = transaction_version(open_table(path), path, app_id)
        return None if version is None else replace(self.commit(path, version), repeated=True)

    def opened_commit(self, path: Path, version: int) -> Commit:
        """The commit that was just made, once the table has been opened at it.

        Raises:
            DamagedTable: nothing can open it; with the command that goes back.
        """
        try:
            return self.commit(path, version)
        except (DamagedTable, UnreadableTable) as fault:
            reason = str(fault).partition("\n")[0].removeprefix(f"{path}: ")
            raise DamagedTable.commit(str(path), path.name, version, reason) from fault

    def columns(self, path: Path) -> "pa.Schema":
        """The columns of the newest version, with their comments."""
        import pyarrow as pa

        return pa.schema(open_table(path).schema().to_arrow())

    def layout(self, path: Path) -> Layout:
        """The layout of the newest version: what its last write declared, and how its files are partitioned."""
        return layout_of(path, open_table(path))

    def newest_commit_of(self, path: Path, *, run_id: str, stage: str) -> Commit | None:
        """The newest commit whose metadata name this run and stage; None if there is none."""
        for version in sorted(versions(path), reverse=True):
            metadata = read_metadata(path, version)
            if (metadata.get(RUN_ID), metadata.get(STAGE)) == (run_id, stage):
                return self.commit(path, version)
        return None

    def require_latest(self, path: Path, after: int | None) -> None:
        """Refuse to write unless `after` is the latest version (-1: no table); None allows any.

        Raises:
            WriteConflict: names the run that committed last.
        """
        latest = self.latest(path)
        if after is not None and after != (-1 if latest is None else latest):
            raise self.conflict(path)

    def conflict(self, path: Path) -> WriteConflict:
        """The error for a write after which another writer committed first."""
        newest = self.latest(path)
        winner = None if newest is None else read_metadata(path, newest).get(RUN_ID)
        return WriteConflict.of(str(path), version=newest, winner=winner)

    def metadata(self, path: Path, version: int) -> Mapping[str, Any]:
        """The metadata of one commit; empty where its log file is gone or has none."""
        return read_metadata(path, version)

    def identity(self, path: Path, version: int) -> str | None:
        """An identifier of the rows of a version: its complete content, or the commit that last changed any.

        None where the log no longer shows it.
        """
        for candidate in sorted((earlier for earlier in versions(path) if earlier <= version), reverse=True):
            actions = list(read_actions(path, candidate))
            if not actions:
                return None
            if _changes_rows(actions) or any("metaData" in action for action in actions):
                return _identity(path, candidate)
        return None

    def refuse_damaged(self, path: Path, version: int) -> None:
        """Raise DamagedTable for a version whose log cannot be read; one that only another engine reads passes."""
        with contextlib.suppress(UnreadableTable):
            open_table(path, version)

    def is_complete(self, path: Path, version: int) -> bool:
        """Whether a version can still be read: the log has it, and all its files exist."""
        try:
            files = open_table(path, version).file_uris()
        except (UnknownTable, UnreadableTable, DamagedTable):
            return False
        return all("://" in file or Path(file).exists() for file in files)

    def latest_content_version(self, path: Path) -> int | None:
        """The newest version whose commit changed rows or records the partitions of the table.

        A commit without a log file counts, since it may have changed rows.
        """
        for version in sorted(versions(path), reverse=True):
            if PARTITIONS in read_metadata(path, version) or may_change_rows(path, version):
                return version
        return None


def open_table(path: Path, version: int | None = None) -> "DeltaTable":
    """The table at a version.

    Raises:
        UnknownTable: if the log no longer has this version.
        UnreadableTable: if delta-rs does not know a feature of the table; names the feature.
        DamagedTable: if the log has the version, and it cannot be read; with delta-rs' reason.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        return DeltaTable(str(path), version=version)
    except (DeltaError, ValueError, OSError) as fault:
        protocol = protocol_of(path, lenient=True)
        if unknown := unreadable(protocol):
            by = readers(protocol)
            raise UnreadableTable.of(str(path), engine="delta-rs", features=unknown, readers=by) from fault
        present = versions(path)
        if version is not None and version not in present and present:
            raise UnknownTable.at(path.name, version, latest=max(present)) from fault
        reason = next(iter(str(fault).splitlines()), type(fault).__name__)[:300]
        raise DamagedTable.log(str(path), path.name, version, reason) from fault


def transaction_version(table: "DeltaTable", path: Path, app_id: str) -> int | None:
    """The table version that holds this transaction, or None.

    Stagebook numbers a transaction by the version that it creates, so the log need not be searched; if another
    writer numbered it, search for the commit that names it.
    """
    version = table.transaction_version(app_id)
    if version is None or has_transaction(path, version, app_id):
        return version
    for candidate in sorted(versions(path), reverse=True):
        if has_transaction(path, candidate, app_id):
            return candidate
    return version if version <= table.version() else table.version()


def commit_of(table: "DeltaTable", path: Path) -> Commit:
    """The commit that created the version at which `table` was opened."""
    files = table.get_add_actions(flatten=True)
    version, metadata = table.version(), read_metadata(path, table.version())
    return Commit(
        version=version,
        rows=_rows(table, files),
        size_bytes=sum(files["size_bytes"].to_pylist()),
        run_id=metadata.get(RUN_ID),
        stage=metadata.get(STAGE),
        attempt=metadata.get(ATTEMPT),
        dropped_by_rule=metadata.get(DROPPED) or {},
    )


def read_metadata(path: Path, version: int) -> Mapping[str, Any]:
    """The metadata of one commit; empty where its log file is gone or has none."""
    for action in read_actions(path, version):
        if info := action.get("commitInfo"):
            return info | _user_metadata(info)
    return {}


def _user_metadata(info: Mapping[str, Any]) -> dict[str, Any]:
    try:
        parsed = json.loads(info.get("userMetadata") or "{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _rows(table: "DeltaTable", files: Any) -> int:
    from deltalake import QueryBuilder

    counts = files["num_records"] if "num_records" in files.column_names else None
    deleting = "deletionVectors" in (table.protocol().reader_features or [])
    if files.num_rows == 0:
        return 0
    if counts is not None and counts.null_count == 0 and not deleting:
        return sum(counts.to_pylist())
    batches = QueryBuilder().register("t", table).execute('SELECT count(*) AS "n" FROM t').read_all()
    return batches["n"][0].as_py()


def protocol_of(path: Path, *, lenient: bool = False) -> Protocol:
    """The protocol of the newest version from the log files, also of a table that delta-rs cannot open.

    Args:
        lenient: pass over commits that cannot be read.
    """
    for version in sorted(versions(path), reverse=True):
        try:
            actions = list(read_actions(path, version))
        except DamagedTable:
            if not lenient:
                raise
            continue
        for action in actions:
            if entry := action.get("protocol"):
                features = [entry.get(key) or () for key in ("readerFeatures", "writerFeatures")]
                return Protocol(
                    entry.get("minReaderVersion", 1), entry.get("minWriterVersion", 2), *map(frozenset, features)
                )
    return Protocol()


def layout_of(path: Path, table: "DeltaTable") -> Layout:
    """The layout that the newest write declared, and the partitions that the files have.

    Where no write declared one, that of the table's own properties.
    """
    metadata = table.metadata()
    partition_by = tuple(metadata.partition_columns)
    for version in sorted(versions(path), reverse=True):
        if version <= table.version() and (declared := read_metadata(path, version).get(LAYOUT)):
            return replace(Layout.from_json(declared), partition_by=partition_by)
    properties = metadata.configuration
    return Layout(
        partition_by=partition_by,
        target_file_bytes=_number(properties.get(_TARGET), Layout.target_file_bytes),
        statistics_columns=_number(properties.get(_STATISTICS), Layout.statistics_columns),
    )


def _identity(path: Path, version: int) -> str:
    """By content where the commit replaced the whole table and records its content; else by the commit itself."""
    metadata = read_metadata(path, version)
    if CONTENT in metadata and PARTITIONS not in metadata and REPLACED not in metadata:
        return f"rows {metadata[CONTENT]}"
    return f"commit {hashlib.sha256(_log_file(path, version).read_bytes()).hexdigest()[:32]}"


def may_change_rows(path: Path, version: int) -> bool:
    """Whether a commit adds or removes rows, beyond moving them to other files; true if its log file is gone."""
    actions = list(read_actions(path, version))
    return not actions or _changes_rows(actions)


def _changes_rows(actions: Sequence[Mapping[str, Any]]) -> bool:
    files = [file for action in actions for kind in ("add", "remove") if (file := action.get(kind))]
    return any(file.get("dataChange", True) for file in files)


def has_transaction(path: Path, version: int, app_id: str) -> bool:
    """Whether the commit of a version names this transaction."""
    return any((action.get("txn") or {}).get("appId") == app_id for action in read_actions(path, version))


def read_actions(path: Path, version: int) -> Iterator[dict[str, Any]]:
    """The actions of one commit; none where its log file is gone.

    Raises:
        DamagedTable: a line of it is no JSON object, or the file cannot be read; names the line.
    """
    file, line_number = _log_file(path, version), 0
    try:
        with file.open(encoding="utf-8") as lines:
            for line_number, line in enumerate(lines, start=1):  # noqa: B007 it is the place of an error
                if line.strip():
                    yield _action(line)
    except FileNotFoundError:
        return
    except (ValueError, RecursionError, OSError) as fault:
        place = f"{file.name}, line {line_number}" if line_number else file.name
        raise DamagedTable.log(str(path), path.name, version, f"{place}: {fault}"[:300]) from fault


def _action(line: str) -> dict[str, Any]:
    action = json.loads(line)
    if not isinstance(action, dict) or not all(isinstance(entry, dict | None) for entry in action.values()):
        raise ValueError("this is no action of a Delta log")
    return action


def _log_file(path: Path, version: int) -> Path:
    return path / "_delta_log" / f"{version:020d}.json"


def versions(path: Path) -> set[int]:
    """The versions that the log names, by a commit or a checkpoint."""
    try:
        names = [entry.name for entry in (path / "_delta_log").iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return {int(match[1]) for name in names if (match := _VERSION_FILE.fullmatch(name))}


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
