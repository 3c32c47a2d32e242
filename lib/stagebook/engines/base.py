"""What every engine can do, whatever computes underneath."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from stagebook.model.tables import Commit, Predicates, TableSchema, TableSize

if TYPE_CHECKING:
    import pyarrow as pa

JoinHow = Literal["inner", "left"]

RUN_ID, STAGE, ATTEMPT, DROPPED, CONTENT, PARTS, REPLACED, LAYOUT = (
    f"stagebook.{key}" for key in ("run_id", "stage", "attempt", "dropped", "content", "parts", "replaced", "layout")
)
"""Keys of a commit's metadata in the Delta log. Spark carries them as JSON in `userMetadata`."""


@dataclass(frozen=True)
class WriteOrder:
    """One write as one commit: the schema to write, under which transaction, and what it replaces.

    `app_id` names the write for good: a table whose last transaction of this id has the same `CONTENT` in
    its metadata is not written again.
    `replace` limits what is replaced to the rows that match; None replaces the whole table.
    `after` is the version that the commit must directly follow (-1: there is no table); None takes the newest.
    """

    schema: TableSchema
    app_id: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    replace: Predicates | None = None
    after: int | None = None

    @property
    def told(self) -> dict[str, Any]:
        """What the commit's metadata say: `metadata`, and the layout as the schema declares it now.

        Not a table property: delta-rs takes only those that it knows, and a new layout needs no commit of its own.
        """
        return {**self.metadata, LAYOUT: self.schema.layout.to_json()}


class TableLog(Protocol):
    """What the log of a Delta table says. Paths are table folders; no data is read."""

    def latest(self, path: Path) -> int | None:
        """The newest version, or None where there is no table."""
        ...

    def commit(self, path: Path, version: int) -> Commit:
        """What the log says of one version that exists."""
        ...

    def size(self, path: Path, version: int, columns: Sequence[str] | None = None, where: Predicates = ()) -> TableSize:
        """What a read of a version touches; see `TableSize`."""
        ...

    def committed(self, path: Path, app_id: str) -> Commit | None:
        """The commit that holds this transaction, `repeated`; None if there is none."""
        ...

    def newest_of(self, path: Path, *, run_id: str, stage: str) -> Commit | None:
        """The newest commit whose metadata name this run and stage; None if there is none."""
        ...

    def metadata(self, path: Path, version: int) -> Mapping[str, Any]:
        """The metadata of one commit; empty where the log no longer has it."""
        ...

    def identity(self, path: Path, version: int) -> str | None:
        """What tells the rows of a version apart from other rows: equal identities, equal rows and columns.

        Versions that only rearrange files keep it, and so does a later commit of the same whole content. None
        where the log no longer tells; that equals nothing.
        """
        ...

    def intact(self, path: Path, version: int) -> bool:
        """Whether a version can still be read whole: the log knows it, and all its files are there."""
        ...

    def content(self, path: Path) -> int | None:
        """The newest version whose commit changed rows, or says of what parts the table consists.

        Later commits only rearranged the files (compaction) or the table's properties.
        """
        ...


class Engine(TableLog, Protocol):
    """Reads and writes Delta tables as frames of its own kind, and computes on them."""

    @property
    def name(self) -> str:
        """What a parameter file calls it: `pandas`, `polars`, `spark`."""
        ...

    def read(self, path: Path, *, version: int, columns: Sequence[str] | None, where: Predicates) -> Any:
        """One version as a native frame; columns and conditions are pushed down to the files.

        A condition is never true for a null. Engines of one machine keep the order of the files, Spark none.

        Raises:
            UnreadableTable: the table uses a feature that this engine would read wrongly.
            UnknownColumn, BadPredicate: `columns` or `where` do not fit the table.
        """
        ...

    def frame(self, data: Any) -> Any:
        """A frame of this engine from data of this process: pandas, polars or Arrow. Its own frames pass."""
        ...

    def cache(self, frame: Any) -> Any:
        """The same rows, computed once however often they are used; kept until `release`."""
        ...

    def release(self) -> None:
        """Let go of what `cache` keeps."""
        ...

    def count(self, frame: Any) -> int:
        """The number of rows."""
        ...

    def join(self, left: Any, right: Any, *, on: Sequence[str], how: JoinHow) -> Any:
        """Two frames joined on equal columns, `inner` or `left`; null keys meet nothing.

        On Spark a small right side is sent to all, and rows of a key that has very many are spread.
        """
        ...

    def to_arrow(self, frame: Any) -> "pa.Table":
        """All rows of a frame as an Arrow table of this process, without index columns."""
        ...

    def conform(self, frame: Any, schema: TableSchema) -> Any:
        """The declared columns in declared order and type, in the form that `write` takes. NaN becomes null.

        Raises:
            SchemaViolation: a column is missing, too many, or cannot be cast without loss.
        """
        ...

    def digest(self, data: Any) -> str:
        """A digest of the content of what `conform` gave; equal content may be recognised by it."""
        ...

    def fingerprints(self, frame: Any, by: str | None) -> dict[Any, str]:
        """For each value of a column a digest of its rows, in whatever order they come; `by` None: one for all.

        The number of rows and the sum of their hashes over all columns, after the name and version of what
        computed the hash: those of another engine or version are never equal.
        """
        ...

    def mark(self, path: Path, order: WriteOrder) -> Commit:
        """Commits the metadata of `order` without any rows: the table stays as it is, and the log says so.

        Raises:
            WriteConflict, UnwritableTable: as `write`.
        """
        ...

    def write(self, path: Path, data: Any, order: WriteOrder) -> Commit:
        """Commits `data`, which `conform` gave, exactly once; creates the Delta table if need be.

        Raises:
            WriteConflict: another writer was faster; the same call may be made again.
            UnwritableTable: the table uses a feature that this engine would harm.
            SchemaViolation: `order.replace` does not cover all rows, or the columns differ from the table's.
        """
        ...
