"""What every engine can do, whatever computes underneath."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stagebook.model.tables import Commit, Predicates, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

RUN_ID, STAGE, ATTEMPT, DROPPED, CONTENT = (
    f"stagebook.{key}" for key in ("run_id", "stage", "attempt", "dropped", "content")
)
"""Keys of a commit's metadata in the Delta log. Spark carries them as JSON in `userMetadata`."""


@dataclass(frozen=True)
class WriteOrder:
    """One write as one commit: the schema to write, under which transaction, and what it replaces.

    `app_id` names the write for good: a table whose last transaction of this id has the same `CONTENT` in
    its metadata is not written again.
    `replace` limits what is replaced to the rows that match; None replaces the whole table.
    """

    schema: TableSchema
    app_id: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    replace: Predicates | None = None


class Engine(Protocol):
    """Reads and writes Delta tables as frames of its own kind.

    Paths are table folders. The log methods (`latest`, `commit`, `committed`, `newest_of`) read no data.
    """

    @property
    def name(self) -> str:
        """What a parameter file calls it: `pandas`, `spark`, …"""
        ...

    def read(self, path: Path, *, version: int, columns: Sequence[str] | None, where: Predicates) -> Any:
        """One version as a native frame; columns and conditions are pushed down to the files.

        A condition is never true for a null. Row order is that of the files, and the same each time.

        Raises:
            UnreadableTable: the table uses a feature that this engine would read wrongly.
            UnknownColumn, BadPredicate: `columns` or `where` do not fit the table.
        """
        ...

    def to_arrow(self, frame: Any) -> "pa.Table":
        """A native frame (or an Arrow table) as an Arrow table without index columns."""
        ...

    def write(self, path: Path, table: "pa.Table", order: WriteOrder) -> Commit:
        """Commits `table`, which fits `order.schema`, exactly once; creates the Delta table if need be.

        Raises:
            WriteConflict: another writer was faster; the same call may be made again.
            UnwritableTable: the table uses a feature that this engine would harm.
            SchemaViolation: `order.replace` does not cover all rows, or the columns differ from the table's.
        """
        ...

    def latest(self, path: Path) -> int | None:
        """The newest version, or None where there is no table."""
        ...

    def commit(self, path: Path, version: int) -> Commit:
        """What the log says of one version that exists."""
        ...

    def committed(self, path: Path, app_id: str) -> Commit | None:
        """The commit that holds this transaction, `repeated`; None if there is none."""
        ...

    def newest_of(self, path: Path, *, run_id: str, stage: str) -> Commit | None:
        """The newest commit whose metadata name this run and stage; None if there is none."""
        ...
