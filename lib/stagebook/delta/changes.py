"""How a declared schema differs from that of the table it is to be written to, and which differences a write allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stagebook.errors import SchemaViolation
from stagebook.model.tables import TableSchema

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ColumnChange:
    """The columns that differ, and those of them that are new and may be null: old rows have no value there."""

    columns: Sequence[str]
    added: Sequence[str] = ()

    @property
    def only_adds(self) -> bool:
        return len(self.added) == len(self.columns)


def compare_columns(stored: "pa.Schema", declared: "pa.Schema", *, nullability: bool) -> ColumnChange:
    """How declared columns differ from stored ones.

    Args:
        nullability: whether it is a difference that one may be null and the other may not.
    """
    old = {field.name: (field.type, field.nullable or not nullability) for field in stored}
    new = {field.name: (field.type, field.nullable or not nullability) for field in declared}
    columns = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return ColumnChange(columns, [name for name in columns if name not in old and declared.field(name).nullable])


def refuse_changes_in_part(
    schema: TableSchema, version: int, change: ColumnChange, partition_by: Sequence[str]
) -> None:
    """Refuse to replace only some rows where the others would not fit: other columns than added ones, other partitions.

    Args:
        version: the newest version of the table.
        partition_by: the columns by which its files are partitioned.
    Raises:
        SchemaViolation: with what to do.
    """
    if not change.only_adds:
        raise SchemaViolation.columns_changed(schema.name, version, change.columns)
    if tuple(partition_by) != schema.layout.partition_by:
        raise SchemaViolation.partitions_changed(schema.name, partition_by, schema.layout.partition_by)
