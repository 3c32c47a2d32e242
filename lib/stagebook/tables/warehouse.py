"""Reads pinned versions of named tables in a folder, and writes each table once per run and stage."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from stagebook.delta.engine import ATTEMPT, CONTENT, DROPPED, REPLACED, RUN_ID, STAGE, Engine, WriteOrder
from stagebook.delta.estimate import frame_row_bytes
from stagebook.errors import ConfigError, ReadOnlyTable, SchemaViolation, TooLarge, UnknownTable, WriteConflict
from stagebook.machine import memory
from stagebook.model.pipeline import Paths
from stagebook.model.tables import (
    Coercion,
    Commit,
    PartitionSources,
    Predicates,
    StalePartitions,
    TableSchema,
    TableSize,
)
from stagebook.tables.inference import evolved_schema, inferred_schema, recorded_schema
from stagebook.tables.rules import CheckedRows
from stagebook.tables.schema_check import check
from stagebook.tables.stale_partitions import commit_partitions, content_digest, find_stale

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,2}")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")

WRITE_TRIES = 12

T = TypeVar("T")


@dataclass(frozen=True)
class Writer:
    """Who writes: the attempt of a stage of a run."""

    run_id: str
    stage: str
    attempt: int

    def metadata(self, checked: CheckedRows | None = None) -> dict[str, Any]:
        """What a commit records of its writer, and of the rows that it dropped."""
        metadata: dict[str, Any] = {RUN_ID: self.run_id, STAGE: self.stage, ATTEMPT: self.attempt}
        if checked is not None and checked.dropped_by_rule:
            metadata[DROPPED] = dict(checked.dropped_by_rule)
        return metadata


class Warehouse:
    """Delta tables below `root`, one folder a table, computed on by one engine."""

    def __init__(self, root: Path, engine: Engine, external: Mapping[str, Path] = MappingProxyType({})) -> None:
        """Args:
            root: the folder; it need not exist yet.
            external: folders of other owners' tables, by name: read like all tables, never written.
        Raises:
            ConfigError: if delta-rs would take a folder's name for another one.
        """
        folders = {"root": root, **{f"external.{name}": path for name, path in external.items()}}
        for key, folder in folders.items():
            if _ESCAPE.search(str(folder)):
                raise ConfigError(
                    f"tables.{key}: {folder} holds a percent sign before two hex digits, which delta-rs decodes.\n"
                    "  Choose another folder."
                )
        self.root = root.resolve()
        self.engine = engine
        self.external = external

    @classmethod
    def local(cls, paths: Paths) -> Self:
        """A pipeline's tables for commands that read logs, or read tables without Spark."""
        from stagebook.delta.pandas_engine import LocalEngine

        return cls(paths.tables, LocalEngine(), paths.external)

    def path(self, name: str) -> Path:
        """The folder of a table, whether it exists or not.

        Raises:
            UnknownTable: if this cannot be a table's name.
        """
        if name in self.external:
            return self.external[name]
        if not _NAME.fullmatch(name):
            raise UnknownTable(
                f"'{name}' cannot be a table's name.\n"
                "  Allowed: letters, digits and _, starting with a letter; up to two dots for catalog and schema."
            )
        return self.root / name

    def names(self) -> list[str]:
        """All tables that exist, sorted."""
        entries = self.root.iterdir() if self.root.is_dir() else ()
        own = {entry.name for entry in entries if (entry / "_delta_log").is_dir() and _NAME.fullmatch(entry.name)}
        return sorted(name for name in own | set(self.external) if self.exists(name))

    def exists(self, name: str) -> bool:
        """Whether the table has a version."""
        return self.latest(name) is not None

    def latest(self, name: str) -> int | None:
        """The newest version, or None where there is no table."""
        return self.engine.latest(self.path(name))

    def refuse_damaged(self, name: str, version: int) -> None:
        """Refuse a version whose log cannot be read; one that only another engine reads passes.

        Raises:
            DamagedTable: with the reason and the command that goes back.
        """
        self.engine.refuse_damaged(self.path(name), version)

    def commit(self, name: str, version: int) -> Commit:
        """Who committed a version, and the rows and bytes of the table at it; from the log alone.

        Raises:
            UnknownTable: if there is no such table or version.
        """
        return self.engine.commit(self.path(name), self.resolve_version(name, version))

    def size(
        self, name: str, version: int, *, columns: Sequence[str] | None = None, where: Predicates = ()
    ) -> TableSize:
        """What a read of a version touches, from the log alone.

        Raises:
            UnknownTable, UnknownColumn, BadPredicate: as for `read`.
        """
        return self.engine.size(self.path(name), self.resolve_version(name, version), columns=columns, where=where)

    def identity(self, name: str, version: int) -> str | None:
        """An identity of the rows of a version: equal identities, equal rows. None where the log does not tell."""
        return self.engine.identity(self.path(name), version)

    def is_complete(self, name: str, version: int) -> bool:
        """Whether all rows of a version can still be read."""
        return self.engine.is_complete(self.path(name), version)

    def committed(self, name: str, *, run_id: str, stage: str) -> Commit | None:
        """The last commit of this run's stage to the table, or None.

        The log decides, not an exit status: a kernel may have been killed just after its commit.
        """
        path = self.path(name)
        newest = self.engine.newest_commit_of(path, run_id=run_id, stage=stage)
        of_transaction = self.engine.committed(path, _app_id(run_id, stage, name))
        commits = [commit for commit in (newest, of_transaction) if commit]
        return max(commits, key=lambda commit: commit.version, default=None)

    def stale_partitions(
        self, schema: TableSchema, sources: PartitionSources, *, everything: bool = False
    ) -> StalePartitions:
        """The partitions that the newest version of a table lacks or holds from other inputs.

        Args:
            everything: name all partitions, whatever the table holds.
        """
        return find_stale(self.engine, self.path(schema.name), schema, sources, everything=everything)

    def read(
        self,
        name: str,
        *,
        version: int | None,
        columns: Sequence[str] | None = None,
        where: Predicates | None = None,
    ) -> Any:
        """A version of a table as a frame of the engine; None means the newest.

        Args:
            columns: only these, in this order; no other column is read from disk.
            where: conditions joined by *and*, pushed down to the files; never true for a null.
        Raises:
            UnknownTable: if there is no such table or version.
            UnknownColumn, BadPredicate: if `columns` or `where` do not fit the table.
            UnreadableTable: if the engine would read it wrongly.
        """
        return self.engine.read(
            self.path(name), version=self.resolve_version(name, version), columns=columns, where=where or ()
        )

    def to_pandas(self, frame: Any, *, limit: int | None = None) -> "pd.DataFrame":
        """A frame as pandas with Arrow dtypes, if it is small enough.

        Args:
            limit: rows that are allowed; by default as many as take a quarter of the free memory.
        Raises:
            TooLarge: with what to do instead.
        """
        import pandas as pd

        if isinstance(frame, pd.DataFrame):
            return frame
        self._refuse_too_large(frame, limit)
        return self.engine.to_arrow(frame).to_pandas(types_mapper=pd.ArrowDtype)

    def head(self, frame: Any, rows: int) -> "pd.DataFrame":
        """The first rows as pandas; any rows where the engine keeps no order."""
        import narwhals as nw
        import pandas as pd

        sample = nw.from_native(frame).head(rows).to_native()
        return self.engine.to_arrow(sample).to_pandas(types_mapper=pd.ArrowDtype)

    def _refuse_too_large(self, frame: Any, limit: int | None) -> None:
        rows = self.engine.count(frame)
        size = rows * frame_row_bytes(frame)
        allowed = memory().free // 4
        if limit is not None and rows > limit:
            raise TooLarge.of(rows, size, limit=f"{limit:,} rows")
        if limit is None and size > allowed:
            raise TooLarge.of(rows, size, limit=f"{allowed / 1e9:,.1f} GB, a quarter of the free memory")

    def check(self, frame: Any, schema: TableSchema, coercion: Coercion | None = None) -> CheckedRows:
        """The rows of a frame that fit a schema, and a count of those dropped; nothing is written.

        Args:
            coercion: how to convert what is no loss but a choice; None refuses it.
        Raises:
            SchemaViolation: see `schema_check.check`.
        """
        return frame if isinstance(frame, CheckedRows) else check(self.engine, frame, schema, coercion)

    def schema_for(self, name: str, frame: Any, *, evolve: bool = False) -> TableSchema:
        """The schema by which a frame is written to a table that no code declares: what the table has, or the frame's.

        Args:
            evolve: add new columns of the frame to those of the table, and widen their types.
        Raises:
            SchemaViolation: if a type of the frame cannot be kept, or cannot be told, as of a column of nulls only.
            BadFrame: if this is no frame.
        """
        path = self.path(name)
        exists = self.engine.latest(path) is not None
        recorded = recorded_schema(name, self.engine.columns(path), self.engine.layout(path)) if exists else None
        if recorded is not None and not evolve:
            return recorded
        frame_schema = self.engine.arrow_schema_of(frame, f"table '{name}'")
        return inferred_schema(name, frame_schema) if recorded is None else evolved_schema(recorded, frame_schema)

    def write(
        self,
        frame: Any,
        schema: TableSchema,
        *,
        writer: Writer,
        replace: Predicates | None = None,
        stale: StalePartitions | None = None,
        coercion: Coercion | None = None,
    ) -> Commit:
        """Commit a frame as the new content of its table: one Delta commit per run, stage and content.

        If the last commit of this run's stage to the table (or to the rows that `replace` names) has the same
        content, as after an attempt that was killed just after its commit, nothing is written and that commit is
        returned as `repeated`. Other content, as after a change of the notebook, is a new commit. Bad rows that the
        schema tolerates are dropped and counted in the commit.

        An iterator of frames is checked and written in chunks, one frame a chunk, in one commit that needs little
        memory. As its content is not known beforehand, a second such write of this run and stage always counts as a
        repetition.

        Args:
            frame: a frame of the engine, an Arrow table, the result of `check`, or an iterator of these.
            replace: replace only the rows that match these conditions; every row written must match.
            stale: the result of `stale_partitions`: the frame holds the partitions to build and replaces only these.
                If nothing is stale the frame is ignored, and the commit holds no rows.
            coercion: how to convert what is no loss but a choice; None refuses it.
        Raises:
            PartitionsMoved: if another run has meanwhile built other partitions from other inputs.
            SchemaViolation: if the frame does not fit the schema or `replace`.
            WriteConflict: if other writers were faster every time; names the run of the last one.
            UnwritableTable: if the engine would harm the table.
            ReadOnlyTable: if it is an external one.
        """
        self.refuse_external(schema.name)
        if isinstance(frame, Iterator):
            return self._write_chunks(frame, schema, writer, replace, coercion)
        if stale is not None:
            return self._write_partitions(frame, schema, writer, stale)
        checked = self.check(frame, schema, coercion)
        metadata: dict[str, Any] = {**writer.metadata(checked), CONTENT: self.engine.digest(checked.data)}
        if replace is not None:
            metadata[REPLACED] = [[column, op, str(value)] for column, op, value in replace]
        order = WriteOrder(schema, _app_id(writer.run_id, writer.stage, schema.name, replace), metadata, replace)
        path = self.path(schema.name)
        return retry_on_conflict(lambda: self.engine.write(path, checked.data, order))

    def _write_partitions(self, frame: Any, schema: TableSchema, writer: Writer, stale: StalePartitions) -> Commit:
        checked = self.check(frame, schema) if stale else None
        metadata = {**writer.metadata(checked), CONTENT: content_digest(self.engine, checked, stale.sources)}
        # One transaction for all writes of a stage by partitions: the last one counts.
        order = WriteOrder(schema, _app_id(writer.run_id, writer.stage, schema.name), metadata)
        path = self.path(schema.name)
        return retry_on_conflict(lambda: commit_partitions(self.engine, path, checked, stale, order))

    def _write_chunks(
        self,
        frames: Iterator[Any],
        schema: TableSchema,
        writer: Writer,
        conditions: Predicates | None,
        coercion: Coercion | None,
    ) -> Commit:
        from stagebook.tables.chunks import Chunks

        if conditions is not None:
            message = "an iterator of frames cannot replace only some rows."
            raise SchemaViolation.of(schema.name, message, todo="Write one frame.")
        chunks = Chunks(frames, schema, coercion)
        order = WriteOrder(schema, _app_id(writer.run_id, writer.stage, schema.name), writer.metadata())
        with chunks.unwrapped_errors():
            commit = self.engine.write(self.path(schema.name), chunks.stream(), order)
        return replace(commit, dropped_by_rule=chunks.dropped_by_rule)

    def refuse_external(self, name: str) -> None:
        """Refuse to change a table that the parameter file only registers by its path.

        Raises:
            ReadOnlyTable: with the path.
        """
        if name in self.external:
            raise ReadOnlyTable.of(name, str(self.external[name]))

    def resolve_version(self, name: str, version: int | None = None) -> int:
        """A version that exists; None means the newest.

        Raises:
            UnknownTable: if there is no such table or version; names the nearest.
        """
        latest = self.latest(name)
        if latest is None:
            raise UnknownTable.of(name, root=str(self.root), tables=self.names())
        if version is None:
            return latest
        if not 0 <= version <= latest:
            raise UnknownTable.at(name, version, latest=latest)
        return version


def _app_id(run_id: str, stage: str, table: str, replace: Predicates | None = None) -> str:
    """The transaction id of a write, equal in every attempt. Each set of rows that a stage replaces has its own."""
    if replace is None:
        return f"{run_id}/{stage}/{table}"
    conditions = json.dumps(sorted([column, op, str(value)] for column, op, value in replace))
    return f"{run_id}/{stage}/{table}/{hashlib.sha256(conditions.encode()).hexdigest()[:12]}"


def retry_on_conflict(commit: Callable[[], T]) -> T:
    """Commit, and after each conflict commit anew upon the newest version, with growing random waits.

    Raises:
        WriteConflict: if other writers were faster every time; names the run of the last one.
    """
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    retrying = Retrying(
        retry=retry_if_exception_type(WriteConflict),
        stop=stop_after_attempt(WRITE_TRIES),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        reraise=True,
    )
    return retrying(commit)
