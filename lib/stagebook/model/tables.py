"""Describes tables: columns with units, key, layout, and the values that reads and writes exchange."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import narwhals as nw


class Kind(StrEnum):
    """Column types that pandas (Arrow-backed), polars and Spark all keep without loss.

    Example:
        >>> Kind("timestamp") is Kind.TIMESTAMP
        True
    """

    STRING = "string"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT64 = "float64"
    BOOL = "bool"
    DATE = "date"
    TIMESTAMP = "timestamp"  # an instant, microseconds, UTC


@dataclass(frozen=True)
class Column:
    """One column. `unit` is free text (`min`, `USD`, `UTC`); `minimum`/`maximum` bound non-null values.

    Example:
        >>> Column("arr_delay_min", Kind.INT16, "delay at arrival", unit="min", nullable=True).unit
        'min'
    """

    name: str
    kind: Kind
    description: str
    unit: str | None = None
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Layout:
    """How the files of a table are laid out; every engine that writes the table applies it.

    `reason` says in plain words why this layout was chosen.

    Example:
        >>> Layout(z_order=("origin", "sched_dep_at"), reason="reads are for one airport and some days").z_order
        ('origin', 'sched_dep_at')
    """

    z_order: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    target_file_bytes: int = 128 * 1024 * 1024
    statistics_columns: int = 32
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "z_order": list(self.z_order),
            "partition_by": list(self.partition_by),
            "target_file_bytes": self.target_file_bytes,
            "statistics_columns": self.statistics_columns,
            "why": self.reason,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        fields = {**value, **{key: tuple(value[key]) for key in ("z_order", "partition_by")}}
        return cls(reason=fields.pop("why", ""), **fields)


@dataclass(frozen=True)
class TableSchema:
    """A named table: its columns in order, its key, its layout, and the tolerated share of bad rows.

    Rows that break a rule are counted and dropped while they are at most `max_bad_share` (0..1) of all
    rows; above it the write is refused.

    Example:
        >>> code = Column("code", Kind.STRING, "three letters")
        >>> TableSchema("airports", "airports of the United States", (code,), key=("code",)).column_names
        ('code',)
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    layout: Layout = Layout()
    max_bad_share: float = 0.0

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


Predicate = tuple[str, str, Any]
"""One condition `(column, op, value)` with op one of `= != < <= > >= in`; a list of them means *and*."""

Predicates = Sequence[Predicate]


@dataclass(frozen=True)
class Commit:
    """One version of a table: who committed it, and how large the table is at it.

    `dropped_by_rule` counts the rows left out of the write, by the rule that they break. `repeated` says that
    nothing was written now, because this run and stage had already committed this version.
    """

    version: int
    rows: int
    size_bytes: int
    run_id: str | None = None
    stage: str | None = None
    attempt: int | None = None
    dropped_by_rule: Mapping[str, int] = field(default_factory=dict)
    repeated: bool = False

    def to_json(self) -> dict[str, int]:
        return {"version": self.version, "rows": self.rows, "bytes": self.size_bytes}


PartitionValue = int | str
"""A value of the column by which a table is built partition by partition, such as a month."""


@dataclass(frozen=True)
class PartitionSource:
    """A table that a partition-wise table is built from.

    `by` gives the partition of each row, as a column's name or a narwhals expression; None: every partition is built
    from the whole table. `look_back` is how many partitions before its own a partition is built from as well, in
    their order. `columns` are those read (None: all): others may change without a partition being built again.
    `table` is the table's name where the build function calls it otherwise.

    Example:
        >>> PartitionSource(by="dep_month", look_back=1, columns=("carrier", "arr_delay_min"))
        PartitionSource(by='dep_month', look_back=1, columns=('carrier', 'arr_delay_min'), table='')
    """

    by: "nw.Expr | str | None" = None
    look_back: int = 0
    columns: tuple[str, ...] | None = None
    table: str = ""


@dataclass(frozen=True)
class PartitionSources:
    """The partitions that a table is to consist of, and the inputs that each of them is built from.

    `by` is the column whose values name the partitions; the files need not be partitioned by it. `fingerprints`
    holds, for each partition, the fingerprints of its inputs by their names: a partition is built again when one of
    them differs. `within` are further columns with one value each, such as the version of the code; rows with
    other values there stay as they are.
    """

    by: str
    fingerprints: Mapping[PartitionValue, Mapping[str, str]]
    within: Mapping[str, PartitionValue] = field(default_factory=dict)


@dataclass(frozen=True)
class StalePartitions:
    """The partitions that a table lacks or holds from other inputs, each with the reason in words.

    `reasons` also names partitions that the inputs no longer have. `unknown` says that the log does not record what
    the table was built from (there is no table, or another writer or other columns made it): then all of it is
    replaced.
    """

    sources: PartitionSources
    reasons: Mapping[PartitionValue, str]
    unknown: bool = False

    @property
    def to_build(self) -> list[PartitionValue]:
        """The partitions to be computed."""
        return [partition for partition in self.reasons if partition in self.sources.fingerprints]

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return self.unknown or bool(self.reasons)


Pins = Mapping[str, int]
"""Table name → the version that a stage reads."""


@dataclass(frozen=True)
class TableSize:
    """What a read of one version touches, from the log alone; no data file is opened.

    `files`, `rows` and `size_bytes` are of the files that may hold a matching row, `all_…` of the entire
    version. `rows` is an upper bound: rows that a deletion vector hides count, and so do rows of a matching
    file that do not match. `estimated_rows` assumes that the values of a file are spread evenly. Both are None
    where the log has no counts. `column_share` (0..1) is the estimated share of the bytes that the requested
    columns take, `row_bytes` the estimated width of one row of them in memory.
    """

    version: int
    files: int
    rows: int | None
    size_bytes: int
    all_files: int
    all_rows: int | None
    all_bytes: int
    estimated_rows: int | None
    column_share: float = 1.0
    row_bytes: int = 0

    @property
    def column_bytes(self) -> int:
        """Estimated bytes on disk of the requested columns in the files that may match."""
        return round(self.size_bytes * self.column_share)

    @property
    def memory_bytes(self) -> int | None:
        """Estimated bytes in memory of all rows of the files that may match, requested columns only."""
        return None if self.rows is None else self.rows * self.row_bytes

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "column_bytes": self.column_bytes, "memory_bytes": self.memory_bytes}
