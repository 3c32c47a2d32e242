"""Describes tables: columns with units, key, layout, and the values that reads and writes exchange."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from stagebook.errors import BadSchema, did_you_mean
from stagebook.model.kinds import FLOATS, INTEGERS, NESTED, PARTITION_KINDS, AnyKind, kind_problems
from stagebook.model.kinds import DecimalKind as DecimalKind
from stagebook.model.kinds import Kind as Kind
from stagebook.model.kinds import ListKind as ListKind
from stagebook.model.kinds import MapKind as MapKind
from stagebook.model.kinds import StructKind as StructKind

if TYPE_CHECKING:
    import narwhals as nw

_UNFIT_FOR_NAMES = re.compile(r"[\x00-\x20\x7f,;{}()=.`]")
"""Delta's Parquet files take no spaces, commas and brackets in names; dots and backticks mean something to Spark."""

_LONGEST_NAME = 255


@dataclass(frozen=True)
class Column:
    """One column. `unit` is free text (`min`, `USD`, `UTC`); `minimum`/`maximum` bound non-null values.

    Example:
        >>> Column("arr_delay_min", Kind.INT16, "delay at arrival", unit="min", nullable=True).unit
        'min'
    """

    name: str
    kind: AnyKind
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

    def __post_init__(self) -> None:
        """Refuse what no engine could write, or the engines would write differently, with all its faults at once.

        Raises:
            BadSchema: unknown columns in key or layout, names twice or unfit, types and bounds that do not go together.
        """
        if problems := [*_column_problems(self.columns), *_reference_problems(self), *_number_problems(self)]:
            raise BadSchema.of(self.name, problems)

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def _column_problems(columns: Sequence[Column]) -> Iterator[str]:
    if not columns:
        yield "it has no columns"
    spellings = Counter(column.name.lower() for column in columns)
    for lowered, count in spellings.items():
        if count > 1:
            names = ", ".join(column.name for column in columns if column.name.lower() == lowered)
            yield f"columns {names}: names have to differ, and not only by upper and lower case"
    for column in columns:
        if not 0 < len(column.name.encode()) <= _LONGEST_NAME or _UNFIT_FOR_NAMES.search(column.name):
            yield (
                f"column {column.name!r}: a name is 1 to {_LONGEST_NAME} bytes without spaces, control characters "
                "and , ; { } ( ) = . `"
            )
        yield from (f"column '{column.name}': {problem}" for problem in kind_problems(column.kind))
        yield from (f"column '{column.name}': {problem}" for problem in _bound_problems(column))


def _bound_problems(column: Column) -> Iterator[str]:
    is_number = column.kind in INTEGERS | FLOATS
    if (column.minimum is not None or column.maximum is not None) and not is_number:
        yield f"minimum and maximum are for integers and floats, not for {column.kind}"
    elif column.minimum is not None and column.maximum is not None and column.minimum > column.maximum:
        yield f"its minimum {column.minimum:g} is above its maximum {column.maximum:g}"
    if column.allowed is not None and column.kind is not Kind.STRING:
        yield f"allowed values are for string, not for {column.kind}"


def _reference_problems(schema: "TableSchema") -> Iterator[str]:
    """What is wrong with the columns that key and layout name."""
    layout, kinds = schema.layout, {column.name: column.kind for column in schema.columns}
    references = {"key": schema.key, "partition_by": layout.partition_by, "z_order": layout.z_order}
    for place, names in references.items():
        if isinstance(names, str):
            yield f'{place} is a tuple of columns: ("{names}",)'
            continue
        for name, count in Counter(names).items():
            if name not in kinds:
                yield f"{place} names '{name}', which is no column.{did_you_mean(name, list(kinds))}"
            elif count > 1:
                yield f"{place} names '{name}' twice"
            elif isinstance(kinds[name], NESTED):
                yield f"{place} names '{name}', and {kinds[name]} has no order"
            elif place == "partition_by" and kinds[name] not in PARTITION_KINDS:
                kind, allowed = kinds[name], ", ".join(sorted(PARTITION_KINDS))
                yield f"partition_by names '{name}', and files cannot be partitioned by {kind}; only by {allowed}"
    if both := sorted({*layout.partition_by} & {*layout.z_order}):
        yield f"z_order and partition_by both name {', '.join(both)}: within a partition there is only one value"
    if kinds and {*layout.partition_by} >= kinds.keys():
        yield "partition_by names all columns, so that nothing is left for the files"


def _number_problems(schema: "TableSchema") -> Iterator[str]:
    if not 0 <= schema.max_bad_share <= 1:
        yield f"max_bad_share is a share from 0 to 1, not {schema.max_bad_share}"
    if schema.layout.target_file_bytes <= 0:
        yield f"target_file_bytes is a number of bytes above 0, not {schema.layout.target_file_bytes}"
    if schema.layout.statistics_columns < 0:
        yield f"statistics_columns is a number of columns, not {schema.layout.statistics_columns}"


@dataclass(frozen=True)
class Coercion:
    """That a write may convert values whose type is not the declared one; `zone` is that of times without one.

    Example:
        >>> Coercion(zone="Europe/Berlin").zone
        'Europe/Berlin'
    """

    zone: str | None = None


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
