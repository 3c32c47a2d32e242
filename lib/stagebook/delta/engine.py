"""The protocol of every engine: what it can do, whatever computes underneath."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from stagebook.model.tables import Coercion, Commit, Layout, Predicates, TableSchema, TableSize

if TYPE_CHECKING:
    import pyarrow as pa

JoinHow = Literal["inner", "left"]

RUN_ID, STAGE, ATTEMPT, DROPPED, CONTENT, PARTITIONS, REPLACED, LAYOUT, RESTORED = (
    f"stagebook.{key}"
    for key in ("run_id", "stage", "attempt", "dropped", "content", "partitions", "replaced", "layout", "restored")
)
"""Keys of a commit's metadata in the Delta log. Spark stores them as JSON in `userMetadata`."""


@dataclass(frozen=True)
class WriteOrder:
    """One write as one commit: the schema to write, under which transaction, and what it replaces.

    `app_id` identifies the write forever: a table whose last transaction of this id has the same `CONTENT` in
    its metadata is not written again.
    `replace` limits what is replaced to the rows that match; None replaces the whole table.
    `after` is the version that the commit must directly follow (-1: there is no table); None means the newest.
    """

    schema: TableSchema
    app_id: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    replace: Predicates | None = None
    after: int | None = None

    @property
    def log_metadata(self) -> dict[str, Any]:
        """The commit's metadata in the log: `metadata`, and the layout that the schema declares.

        The layout is not a table property: delta-rs accepts only properties that it knows, and changing one would
        need a commit of its own.
        """
        return {**self.metadata, LAYOUT: self.schema.layout.to_json()}


class EngineLog(Protocol):
    """Reads the log of a Delta table. Paths are table folders; no data is read."""

    def latest(self, path: Path) -> int | None:
        """The newest version, or None where there is no table."""
        ...

    def commit(self, path: Path, version: int) -> Commit:
        """The commit of one version that exists."""
        ...

    def size(self, path: Path, version: int, columns: Sequence[str] | None = None, where: Predicates = ()) -> TableSize:
        """The size of a read of a version; see `TableSize`."""
        ...

    def columns(self, path: Path) -> "pa.Schema":
        """The columns of the newest version, with their comments."""
        ...

    def layout(self, path: Path) -> Layout:
        """The layout of the newest version: what its last write declared, and how its files are partitioned."""
        ...

    def committed(self, path: Path, app_id: str) -> Commit | None:
        """The commit of this transaction, marked `repeated`; None if there is none."""
        ...

    def newest_commit_of(self, path: Path, *, run_id: str, stage: str) -> Commit | None:
        """The newest commit whose metadata name this run and stage; None if there is none."""
        ...

    def metadata(self, path: Path, version: int) -> Mapping[str, Any]:
        """The metadata of one commit; empty where the log no longer has it."""
        ...

    def identity(self, path: Path, version: int) -> str | None:
        """An identifier of the rows of a version: equal identities mean equal rows and columns.

        Versions that only rearrange files have the same identity, and so does a later write of the same complete
        content. None, which equals nothing, where the log no longer shows it.
        """
        ...

    def refuse_damaged(self, path: Path, version: int) -> None:
        """Raise DamagedTable for a version whose log cannot be read; one that only another engine reads passes."""
        ...

    def is_complete(self, path: Path, version: int) -> bool:
        """Whether a version can still be read: the log has it, and all its files exist."""
        ...

    def latest_content_version(self, path: Path) -> int | None:
        """The newest version whose commit changed rows or records the partitions of the table.

        Later commits only rearranged the files (compaction) or changed the table's properties.
        """
        ...


class Engine(EngineLog, Protocol):
    """Reads and writes Delta tables as frames of its own kind, and computes on them."""

    @property
    def name(self) -> str:
        """Its name in a parameter file: `pandas`, `polars`, `spark`."""
        ...

    def read(self, path: Path, *, version: int, columns: Sequence[str] | None, where: Predicates) -> Any:
        """One version as a native frame; columns and conditions are pushed down to the files.

        A condition is never true for a null. The local engines keep the order of the files; Spark guarantees none.

        Raises:
            UnreadableTable: the table uses a feature that this engine would read wrongly.
            UnknownColumn, BadPredicate: `columns` or `where` do not fit the table.
        """
        ...

    def from_local(self, data: Any) -> Any:
        """Data of this process (pandas, polars or Arrow) as a frame of this engine; its own frames pass unchanged."""
        ...

    def cache(self, frame: Any) -> Any:
        """The same rows, computed once however often they are used; cached until `release`."""
        ...

    def release(self) -> None:
        """Free everything that `cache` holds."""
        ...

    def count(self, frame: Any) -> int:
        """The number of rows."""
        ...

    def join(self, left: Any, right: Any, *, on: Sequence[str], how: JoinHow) -> Any:
        """Two frames joined on equal columns, `inner` or `left`; null keys match nothing.

        Spark broadcasts a small right side, and spreads the rows of a heavily skewed key.
        """
        ...

    def to_arrow(self, frame: Any) -> "pa.Table":
        """All rows of a frame as an Arrow table of this process, without index columns.

        Raises:
            BadFrame: this is no frame, or Arrow cannot hold a column of it.
        """
        ...

    def arrow_schema_of(self, frame: Any, subject: str) -> "pa.Schema":
        """The columns of a frame and their Arrow types; errors begin with `subject`.

        Raises:
            BadFrame: as `to_arrow`.
        """
        ...

    def conform(self, frame: Any, schema: TableSchema, coercion: Coercion | None = None) -> Any:
        """The declared columns in declared order and type, in the form that `write` takes. NaN becomes null.

        Args:
            coercion: how to convert what is no loss but a choice; None refuses it.
        Raises:
            SchemaViolation: a column is missing, not declared, or cannot be cast without loss.
        """
        ...

    def digest(self, data: Any) -> str:
        """A digest of data from `conform`; the same for equal content."""
        ...

    def fingerprints(self, frame: Any, by: str | None) -> dict[Any, str]:
        """For each value of a column a digest of its rows, whatever their order; `by` None: one for all rows.

        The name and version of what computed the hash, the number of rows, and the sum of their hashes over all
        columns: fingerprints of different engines or versions are never equal.
        """
        ...

    def commit_metadata(self, path: Path, order: WriteOrder) -> Commit:
        """Commits the metadata of `order` without any rows: the table stays as it is, and the log records them.

        Raises:
            WriteConflict, UnwritableTable: as `write`.
        """
        ...

    def write(self, path: Path, data: Any, order: WriteOrder) -> Commit:
        """Commits `data` from `conform` exactly once; creates the Delta table if need be.

        Raises:
            WriteConflict: another writer committed first; the same call may be repeated.
            UnwritableTable: the table uses a feature that this engine would damage.
            SchemaViolation: `order.replace` does not cover all rows, or the columns differ from the table's.
        """
        ...
