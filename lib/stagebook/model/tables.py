"""How a table is described: columns with units, key, layout. `flightdelay.schema` is written in these."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self


class Kind(StrEnum):
    """Column types that pandas (Arrow-backed), polars, DuckDB and Spark all keep without loss."""

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
    """One column. `unit` is free text (`min`, `USD`, `UTC`); `minimum`/`maximum` bound non-null values."""

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
    """How the files of a table are laid out; applied by every engine that writes it."""

    z_order: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    target_file_bytes: int = 128 * 1024 * 1024
    statistics_columns: int = 32
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "z_order": list(self.z_order), "partition_by": list(self.partition_by)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        lists = {key: tuple(value[key]) for key in ("z_order", "partition_by")}
        return cls(**{**value, **lists})


@dataclass(frozen=True)
class TableSchema:
    """A named table: its columns in order, its key, and what share of bad rows is tolerated.

    Rows that break a rule are counted and dropped while they are at most `max_bad_share` of all rows
    (0..1); above it the write is refused.
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

    `dropped` counts the rows left out of the write, by the rule that they break. `repeated` says that
    nothing was written now, because this run and stage had already committed this version.
    """

    version: int
    rows: int
    size_bytes: int
    run_id: str | None = None
    stage: str | None = None
    attempt: int | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    repeated: bool = False

    def to_json(self) -> dict[str, int]:
        return {"version": self.version, "rows": self.rows, "bytes": self.size_bytes}


Part = int | str
"""A value of the column by which a table is made part by part, such as a month."""


@dataclass(frozen=True)
class Parts:
    """The parts that a table is to consist of, and what each of them is made from.

    `by` is the column whose values name the parts. `made_from` holds, for each part, the fingerprints of its
    inputs by their names: a part is made again when one of them differs. `within` are further columns with one
    value each, such as the version of the code; rows with other values there are left alone.
    """

    by: str
    made_from: Mapping[Part, Mapping[str, str]]
    within: Mapping[str, Part] = field(default_factory=dict)


@dataclass(frozen=True)
class Stale:
    """The parts that a table lacks or has from other inputs, each with the reason in words.

    `why` also names parts that the inputs no longer have. `unknown` says that the table does not tell what it
    was made from (there is none, or another writer or layout made it): then all of it is replaced.
    """

    parts: Parts
    why: Mapping[Part, str]
    unknown: bool = False

    @property
    def to_make(self) -> list[Part]:
        """The parts to be computed."""
        return [part for part in self.why if part in self.parts.made_from]

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return self.unknown or bool(self.why)


Pins = Mapping[str, int]
"""Table name → the version that a stage reads."""


@dataclass(frozen=True)
class TableSize:
    """What a read of one version touches, as the log alone tells; no data file is opened.

    `files`, `rows` and `size_bytes` are of the files that may hold a matching row, `all_…` of the whole
    version. `rows` is an upper bound: rows that a deletion vector hides count, and so do rows of a kept file
    that do not match. `estimated_rows` takes the values of a file to be spread evenly. Both are None where
    the log has no counts. `column_share` (0..1) is the estimated share of the bytes that the wanted columns
    take, `row_bytes` the estimated width of one row of them in memory.
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
        """Estimated bytes on disk of the wanted columns in the kept files."""
        return round(self.size_bytes * self.column_share)

    @property
    def memory_bytes(self) -> int | None:
        """Estimated bytes in memory of all rows of the kept files, wanted columns only."""
        return None if self.rows is None else self.rows * self.row_bytes

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "column_bytes": self.column_bytes, "memory_bytes": self.memory_bytes}
