"""What the log of a Delta table says: versions, who committed them, rows and bytes. No data is read."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.engines import pruning
from stagebook.engines.base import ATTEMPT, CONTENT, DROPPED, PARTS, REPLACED, RUN_ID, STAGE
from stagebook.engines.protocol import Protocol, unreadable
from stagebook.errors import UnknownTable, UnreadableTable, WriteConflict
from stagebook.model.tables import Commit, Predicates, TableSize

if TYPE_CHECKING:
    from deltalake import DeltaTable

_VERSION_FILE = re.compile(r"(\d{20})\.(?:json|checkpoint\..*parquet|checkpoint\.parquet|checkpoint\..*json)")


class DeltaLog:
    """The log methods of an engine, for tables in folders."""

    def latest(self, path: Path) -> int | None:
        """The newest version, or None where there is no table."""
        return max(versions(path), default=None)

    def commit(self, path: Path, version: int) -> Commit:
        """What the log says of one version that exists."""
        return commit_of(opened(path, version), path)

    def size(self, path: Path, version: int, columns: Sequence[str] | None = None, where: Predicates = ()) -> TableSize:
        """What a read of these columns and conditions touches, from the log's statistics; no data is read.

        Raises:
            UnknownColumn, BadPredicate: `columns` or `where` do not fit the table.
        """
        return pruning.size(opened(path, version), columns, where)

    def committed(self, path: Path, app_id: str) -> Commit | None:
        """The commit that holds this transaction, `repeated`; None if there is none."""
        if self.latest(path) is None:
            return None
        version = transaction(opened(path), path, app_id)
        return None if version is None else replace(self.commit(path, version), repeated=True)

    def newest_of(self, path: Path, *, run_id: str, stage: str) -> Commit | None:
        """The newest commit whose metadata name this run and stage; None if there is none."""
        for version in sorted(versions(path), reverse=True):
            metadata = read_metadata(path, version)
            if (metadata.get(RUN_ID), metadata.get(STAGE)) == (run_id, stage):
                return self.commit(path, version)
        return None

    def refuse_later(self, path: Path, after: int | None) -> None:
        """Refuse to follow another version than this one (-1: no table); None allows any.

        Raises:
            WriteConflict: with who committed last.
        """
        latest = self.latest(path)
        if after is not None and after != (-1 if latest is None else latest):
            raise self.conflict(path)

    def conflict(self, path: Path) -> WriteConflict:
        """The error for a write that another one overtook."""
        newest = self.latest(path)
        winner = None if newest is None else read_metadata(path, newest).get(RUN_ID)
        return WriteConflict.of(str(path), version=newest, winner=winner)

    def metadata(self, path: Path, version: int) -> Mapping[str, Any]:
        """The metadata of one commit; empty where its log file is gone or carries none."""
        return read_metadata(path, version)

    def identity(self, path: Path, version: int) -> str | None:
        """What tells the rows of a version apart: its whole content, or the commit that last changed any.

        None where the log no longer tells.
        """
        for candidate in sorted((found for found in versions(path) if found <= version), reverse=True):
            told = list(actions(path, candidate))
            if not told:
                return None
            if _changes_rows(told) or any("metaData" in action for action in told):
                return _identity(path, candidate)
        return None

    def intact(self, path: Path, version: int) -> bool:
        """Whether a version can still be read whole: the log knows it, and all its files are there."""
        try:
            files = opened(path, version).file_uris()
        except (UnknownTable, UnreadableTable):
            return False
        return all("://" in file or Path(file).exists() for file in files)

    def content(self, path: Path) -> int | None:
        """The newest version whose commit changed rows, or says of what parts the table consists.

        A commit whose log file is gone may have changed rows.
        """
        for version in sorted(versions(path), reverse=True):
            if PARTS in read_metadata(path, version) or may_change_rows(path, version):
                return version
        return None


def opened(path: Path, version: int | None = None) -> "DeltaTable":
    """The table at a version.

    Raises:
        UnknownTable: if the log no longer knows this version.
        UnreadableTable: if delta-rs does not know a feature of the table; with its name.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        return DeltaTable(str(path), version=version)
    except DeltaError as fault:
        if unknown := unreadable(protocol_of(path)):
            raise UnreadableTable.of(str(path), engine="delta-rs", features=unknown) from fault
        newest = max(versions(path), default=None)
        if version is None or newest is None:
            raise
        raise UnknownTable.at(path.name, version, latest=newest) from fault


def transaction(table: "DeltaTable", path: Path, app_id: str) -> int | None:
    """The table version that holds this transaction, or None.

    Writers of this kit number a transaction by the version that it makes, so the log need not be
    searched; where others numbered it, the commit that names it is looked for.
    """
    version = table.transaction_version(app_id)
    if version is None or _names(path, version, app_id):
        return version
    for candidate in sorted(versions(path), reverse=True):
        if _names(path, candidate, app_id):
            return candidate
    return version if version <= table.version() else table.version()


def commit_of(table: "DeltaTable", path: Path) -> Commit:
    """The commit that made the version at which `table` was opened."""
    files = table.get_add_actions(flatten=True)
    version, metadata = table.version(), read_metadata(path, table.version())
    return Commit(
        version=version,
        rows=_rows(table, files),
        size_bytes=sum(files["size_bytes"].to_pylist()),
        run_id=metadata.get(RUN_ID),
        stage=metadata.get(STAGE),
        attempt=metadata.get(ATTEMPT),
        dropped=metadata.get(DROPPED) or {},
    )


def read_metadata(path: Path, version: int) -> Mapping[str, Any]:
    """The metadata of one commit; empty where its log file is gone or carries none."""
    for action in actions(path, version):
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


def protocol_of(path: Path) -> Protocol:
    """The protocol of the newest version as the log files say, also of a table that delta-rs does not open."""
    for version in sorted(versions(path), reverse=True):
        for action in actions(path, version):
            if found := action.get("protocol"):
                features = [found.get(key) or () for key in ("readerFeatures", "writerFeatures")]
                return Protocol(
                    found.get("minReaderVersion", 1), found.get("minWriterVersion", 2), *map(frozenset, features)
                )
    return Protocol()


def _identity(path: Path, version: int) -> str:
    """By content where the commit wrote the table as a whole and says what; else the commit itself."""
    metadata = read_metadata(path, version)
    if CONTENT in metadata and PARTS not in metadata and REPLACED not in metadata:
        return f"rows {metadata[CONTENT]}"
    return f"commit {hashlib.sha256(_log_file(path, version).read_bytes()).hexdigest()[:32]}"


def may_change_rows(path: Path, version: int) -> bool:
    """Whether a commit adds or removes rows, beyond writing the same ones to other files; true if its log is gone."""
    told = list(actions(path, version))
    return not told or _changes_rows(told)


def _changes_rows(told: Sequence[Mapping[str, Any]]) -> bool:
    files = [found for action in told for kind in ("add", "remove") if (found := action.get(kind))]
    return any(found.get("dataChange", True) for found in files)


def _names(path: Path, version: int, app_id: str) -> bool:
    return any(action.get("txn", {}).get("appId") == app_id for action in actions(path, version))


def actions(path: Path, version: int) -> Iterator[dict[str, Any]]:
    """What one commit says; nothing where its log file is gone."""
    try:
        with _log_file(path, version).open(encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    yield json.loads(line)
    except FileNotFoundError:
        return


def _log_file(path: Path, version: int) -> Path:
    return path / "_delta_log" / f"{version:020d}.json"


def versions(path: Path) -> set[int]:
    """The versions that the log names, by a commit or a checkpoint."""
    try:
        names = [entry.name for entry in (path / "_delta_log").iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return {int(match[1]) for name in names if (match := _VERSION_FILE.fullmatch(name))}
