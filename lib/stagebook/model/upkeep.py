"""What is told of a table beside its rows: its layout and history, what a read touches, what care does to it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stagebook.model.tables import Layout


@dataclass(frozen=True)
class Access:
    """What keeps an engine from reading or writing a table: names of Delta features. Nothing: it can."""

    engine: str
    unreadable: Sequence[str]
    unwritable: Sequence[str]


@dataclass(frozen=True)
class ColumnNote:
    """A column as the table has it; description and unit come from its comment."""

    name: str
    type: str
    nullable: bool
    description: str
    unit: str | None


@dataclass(frozen=True)
class Partitions:
    """How many partitions there are, by which columns, and the bytes that the middle one of them holds."""

    by: tuple[str, ...]
    count: int
    median_bytes: int


@dataclass(frozen=True)
class Description:
    """One version of a table. What only delta-rs could tell is None where it does not open the table.

    `layout` is what the newest write declared, or what the table's properties say where another writer made it.
    """

    version: int
    reader_version: int
    writer_version: int
    features: Sequence[str]
    access: Sequence[Access]
    columns: Sequence[ColumnNote] = ()
    layout: Layout | None = None
    partitions: Partitions | None = None
    files: int | None = None
    rows: int | None = None
    size_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Change:
    """One commit. `at` is UTC ISO 8601; rows, files and bytes are of the table at it, None where it is forgotten."""

    version: int
    at: str
    operation: str
    run_id: str | None
    stage: str | None
    attempt: int | None
    rows: int | None = None
    files: int | None = None
    size_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Ruled:
    """What one condition rules out by itself: files by the log, row groups of the files that remain by footers."""

    condition: str
    files: int
    row_groups: int


@dataclass(frozen=True)
class Reading:
    """What a read touches: files, row groups, and the compressed bytes of its columns in them.

    `row_groups` are those of the kept files that may hold a matching row, `all_row_groups` all of the kept files;
    `rows` is an upper bound. `all_bytes` is the whole table.
    """

    version: int
    columns: Sequence[str]
    ruled: Sequence[Ruled]
    files: int
    all_files: int
    row_groups: int
    all_row_groups: int
    rows: int
    all_rows: int | None
    size_bytes: int
    all_bytes: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Files:
    """How many files, and their bytes together."""

    count: int
    size_bytes: int


@dataclass(frozen=True)
class Optimized:
    """What an optimization did, or would do: `how` is `z_order`, `compact` or empty where nothing is to be gained.

    `after` is an estimate while nothing was written; `version` is the commit, None where there is none.
    """

    how: str
    why: str
    before: Files
    after: Files
    version: int | None = None
    small_partitions: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Protected:
    """What one kept run keeps: versions with the reason, and what would go without it."""

    run_id: str
    versions: Mapping[int, str]
    files: Files


@dataclass(frozen=True)
class Sweep:
    """What a vacuum removes: data files, as paths below the table's folder.

    `lost` are versions that kept runs name and that cannot be read any more: version → run.
    """

    files: Mapping[str, int]
    kept: Files
    protected: Sequence[Protected]
    lost: Mapping[int, str]
    applied: bool = False

    @property
    def size_bytes(self) -> int:
        return sum(self.files.values())

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "size_bytes": self.size_bytes}
