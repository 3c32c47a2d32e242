"""Named tables in a folder: pinned reads, and writes that happen once per run and stage."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from stagebook.engines.base import ATTEMPT, CONTENT, DROPPED, REPLACED, RUN_ID, STAGE, Engine, WriteOrder
from stagebook.engines.estimate import frame_row_bytes
from stagebook.engines.memory import memory
from stagebook.errors import ConfigError, ReadOnlyTable, SchemaViolation, TooLarge, UnknownTable
from stagebook.model.pipeline import Places
from stagebook.model.tables import Commit, Parts, Predicates, Stale, TableSchema, TableSize
from stagebook.tables import parts as part_by_part
from stagebook.tables.checked import Checked
from stagebook.tables.contract import check
from stagebook.tables.persist import persist

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,2}")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


@dataclass(frozen=True)
class Writer:
    """Who writes: the attempt of a stage of a run."""

    run_id: str
    stage: str
    attempt: int


class Warehouse:
    """Delta tables below `root`, one folder a table, computed on by one engine."""

    def __init__(self, root: Path, engine: Engine, external: Mapping[str, Path] = MappingProxyType({})) -> None:
        """Args:
            root: the folder; it need not exist yet.
            external: tables of others, anywhere: read like all, never written.
        Raises:
            ConfigError: if delta-rs would take a folder's name for another one.
        """
        for key, folder in {"root": root, **{f"external.{name}": path for name, path in external.items()}}.items():
            if _ESCAPE.search(str(folder)):
                raise ConfigError(
                    f"tables.{key}: {folder} holds a percent sign before two hex digits, which delta-rs decodes.\n"
                    "  Choose another folder."
                )
        self.root = root.resolve()
        self.engine = engine
        self.external = external

    @classmethod
    def local(cls, places: Places) -> Self:
        """A pipeline's tables for whoever asks of logs, or reads without Spark."""
        from stagebook.engines.local import LocalEngine

        return cls(places.tables, LocalEngine(), places.external)

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

    def commit(self, name: str, version: int) -> Commit:
        """Who committed a version, and the rows and bytes of the table at it; read from the log alone.

        Raises:
            UnknownTable: if there is no such table or version.
        """
        return self.engine.commit(self.path(name), self.version(name, version))

    def size(
        self, name: str, version: int, *, columns: Sequence[str] | None = None, where: Predicates = ()
    ) -> TableSize:
        """What a read of a version touches, from the log alone.

        Raises:
            UnknownTable, UnknownColumn, BadPredicate: as `read`.
        """
        return self.engine.size(self.path(name), self.version(name, version), columns=columns, where=where)

    def identity(self, name: str, version: int) -> str | None:
        """What tells the rows of a version apart; equal identities, equal rows. None where nothing tells."""
        return self.engine.identity(self.path(name), version)

    def intact(self, name: str, version: int) -> bool:
        """Whether a version can still be read whole."""
        return self.engine.intact(self.path(name), version)

    def committed(self, name: str, *, run_id: str, stage: str) -> Commit | None:
        """What this run's stage committed last to the table, or None.

        The log is asked, not an exit status: a kernel may have been killed just after its commit.
        """
        path = self.path(name)
        whole = self.engine.committed(path, _app_id(run_id, stage, name))
        newest = self.engine.newest_of(path, run_id=run_id, stage=stage)
        return max((found for found in (newest, whole) if found), key=lambda found: found.version, default=None)

    def stale(self, schema: TableSchema, parts: Parts, *, everything: bool = False) -> Stale:
        """The parts that the newest version of a table lacks or has from other inputs; see `parts.compare`."""
        return part_by_part.compare(self.engine, self.path(schema.name), schema, parts, everything=everything)

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
            columns: only these, in this order; all others are not read from disk.
            where: conditions joined by *and*, pushed down to the files; never true for a null.
        Raises:
            UnknownTable: if there is no such table or version.
            UnknownColumn, BadPredicate: if `columns` or `where` do not fit the table.
            UnreadableTable: if the engine would read it wrongly.
        """
        return self.engine.read(
            self.path(name), version=self.version(name, version), columns=columns, where=where or ()
        )

    def to_pandas(self, frame: Any, *, limit: int | None = None) -> "pd.DataFrame":
        """A frame as pandas with Arrow dtypes, after a look at its size.

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
        """The first rows, where there is an order; some, where there is none."""
        import narwhals as nw
        import pandas as pd

        few = nw.from_native(frame).head(rows).to_native()
        return self.engine.to_arrow(few).to_pandas(types_mapper=pd.ArrowDtype)

    def _refuse_too_large(self, frame: Any, limit: int | None) -> None:
        rows = self.engine.count(frame)
        size = rows * frame_row_bytes(frame)
        allowed = memory().free // 4
        if limit is not None and rows > limit:
            raise TooLarge.of(rows, size, limit=f"{limit:,} rows")
        if limit is None and size > allowed:
            raise TooLarge.of(rows, size, limit=f"{allowed / 1e9:,.1f} GB, a quarter of the free memory")

    def check(self, frame: Any, schema: TableSchema) -> Checked:
        """The rows of a frame that fit a schema, and which were dropped; nothing is written.

        Raises:
            SchemaViolation: see `contract.check`.
        """
        return frame if isinstance(frame, Checked) else check(self.engine, frame, schema)

    def write(
        self,
        frame: Any,
        schema: TableSchema,
        *,
        writer: Writer,
        replace: Predicates | None = None,
        stale: Stale | None = None,
    ) -> Commit:
        """Commits a frame as the new content of its table: one Delta commit per run, stage and content.

        If this run's stage has committed the same content to the table (or this part of it) last, as an
        attempt that was killed afterwards has, nothing is written and that commit comes back, `repeated`.
        Other content, as after the notebook was mended, is a new commit. Bad rows that the schema tolerates
        are dropped and counted in the commit.

        An iterator of frames is checked and written piece by piece, each piece by itself, in one commit that
        fits into little memory; as its content is not known beforehand, a second such write of this run and
        stage is always taken for a repetition.

        Args:
            frame: a frame of the engine, an Arrow table, what `check` gave, or an iterator of these.
            replace: replace only the rows that match these conditions; every row written must match.
            stale: what `stale` gave: the frame holds the parts to make, which replace these parts alone. If
                nothing is stale the frame is not looked at, and the commit holds no rows.
        Raises:
            PartsMoved: if another run has meanwhile made other parts from other inputs.
            SchemaViolation: if the frame does not fit the schema or `replace`.
            WriteConflict: if other writers were faster again and again; names the last one's run.
            UnwritableTable: if the engine would harm the table.
            ReadOnlyTable: if it is an external one.
        """
        self.refuse_external(schema.name)
        path, app_id = self.path(schema.name), _app_id(writer.run_id, writer.stage, schema.name, replace)
        if isinstance(frame, Iterator):
            return self._write_pieces(frame, schema, writer, replace)
        if stale is not None:
            return self._write_parts(frame, schema, writer, stale)
        checked = self.check(frame, schema)
        metadata: dict[str, Any] = {RUN_ID: writer.run_id, STAGE: writer.stage, ATTEMPT: writer.attempt}
        metadata[CONTENT] = self.engine.digest(checked.data)
        if replace is not None:
            metadata[REPLACED] = [[column, op, str(value)] for column, op, value in replace]
        if checked.dropped:
            metadata[DROPPED] = dict(checked.dropped)
        order = WriteOrder(schema, app_id, metadata, replace)
        return persist(lambda: self.engine.write(path, checked.data, order))

    def _write_parts(self, frame: Any, schema: TableSchema, writer: Writer, stale: Stale) -> Commit:
        checked = self.check(frame, schema) if stale else None
        metadata: dict[str, Any] = {RUN_ID: writer.run_id, STAGE: writer.stage, ATTEMPT: writer.attempt}
        metadata[CONTENT] = part_by_part.content(self.engine, checked, stale.parts)
        if checked is not None and checked.dropped:
            metadata[DROPPED] = dict(checked.dropped)
        # One name for all writes of a stage in parts: each time its last one counts.
        order = {"app_id": _app_id(writer.run_id, writer.stage, schema.name), "metadata": metadata}
        path = self.path(schema.name)
        return persist(lambda: part_by_part.commit(self.engine, path, schema, checked, stale, order))

    def _write_pieces(
        self, frames: Iterator[Any], schema: TableSchema, writer: Writer, part: Predicates | None
    ) -> Commit:
        from stagebook.tables.pieces import Pieces

        if part is not None:
            raise SchemaViolation.of(schema.name, "a part cannot be replaced piece by piece.", todo="Write one frame.")
        pieces = Pieces(frames, schema)
        metadata = {RUN_ID: writer.run_id, STAGE: writer.stage, ATTEMPT: writer.attempt}
        order = WriteOrder(schema, _app_id(writer.run_id, writer.stage, schema.name), metadata)
        with pieces.own_errors():
            commit = self.engine.write(self.path(schema.name), pieces.stream(), order)
        return replace(commit, dropped=pieces.dropped)

    def refuse_external(self, name: str) -> None:
        """Refuse to change a table that is only registered by its path.

        Raises:
            ReadOnlyTable: with the path.
        """
        if name in self.external:
            raise ReadOnlyTable.of(name, str(self.external[name]))

    def version(self, name: str, version: int | None = None) -> int:
        """A version that exists; None means the newest.

        Raises:
            UnknownTable: if there is no such table or version; names the nearest.
        """
        latest = self.latest(name)
        if latest is None:
            raise UnknownTable.of(name, root=str(self.root), known=self.names())
        if version is None:
            return latest
        if not 0 <= version <= latest:
            raise UnknownTable.at(name, version, latest=latest)
        return version


def _app_id(run_id: str, stage: str, table: str, replace: Predicates | None = None) -> str:
    """The name of a write for good. Each part that a stage replaces is a write of its own."""
    if replace is None:
        return f"{run_id}/{stage}/{table}"
    part = json.dumps(sorted([column, op, str(value)] for column, op, value in replace))
    return f"{run_id}/{stage}/{table}/{hashlib.sha256(part.encode()).hexdigest()[:12]}"
