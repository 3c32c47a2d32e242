"""Describes tables without their rows: layout, history, what a read touches, and what maintenance does."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stagebook.model.tables import Layout


@dataclass(frozen=True)
class EngineAccess:
    """The Delta features that keep an engine from reading or from writing a table; empty where none does."""

    engine: str
    unreadable: Sequence[str]
    unwritable: Sequence[str]


@dataclass(frozen=True)
class ColumnInfo:
    """A column as the table has it; description and unit come from its comment."""

    name: str
    type: str
    nullable: bool
    description: str
    unit: str | None


@dataclass(frozen=True)
class PartitionSizes:
    """The number of partitions, the columns that they are by, and the median of their bytes."""

    by: tuple[str, ...]
    count: int
    median_bytes: int


@dataclass(frozen=True)
class TableDescription:
    """One version of a table; fields that only delta-rs can supply are None where it does not open the table.

    `layout` is what the newest write declared, or what the table's properties say where another writer made it.
    """

    version: int
    reader_version: int
    writer_version: int
    features: Sequence[str]
    access: Sequence[EngineAccess]
    columns: Sequence[ColumnInfo] = ()
    layout: Layout | None = None
    partitions: PartitionSizes | None = None
    files: int | None = None
    rows: int | None = None
    size_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "layout": self.layout.to_json() if self.layout else None}


@dataclass(frozen=True)
class TableVersion:
    """One commit: when and by whom, and the size of the table at it.

    `at` is UTC ISO 8601. Rows, files and bytes are None where the log no longer holds the version.
    """

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
class ConditionPruning:
    """What one condition rules out by itself: files by the log, row groups of the remaining files by their footers."""

    condition: str
    files: int
    row_groups: int


@dataclass(frozen=True)
class ReadExplanation:
    """What a read touches: files, row groups, and the compressed bytes of its columns in them.

    `all_row_groups` counts the row groups of the files that the log does not rule out, `row_groups` those of them
    that may hold a matching row; `rows` is an upper bound. `all_bytes` is the entire table.
    """

    version: int
    columns: Sequence[str]
    conditions: Sequence[ConditionPruning]
    files: int
    all_files: int
    row_groups: int
    all_row_groups: int
    rows: int
    all_rows: int | None
    size_bytes: int
    all_bytes: int

    def to_json(self) -> dict[str, Any]:
        return {"ruled" if name == "conditions" else name: value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class FileTotals:
    """How many files, and their bytes together."""

    count: int
    size_bytes: int


@dataclass(frozen=True)
class OptimizeResult:
    """What an optimization did, or would do.

    `method` is `z_order`, `compact` or empty where there is nothing to gain; `reason` says why. `after` is an
    estimate while nothing was written; `version` is the commit, None where there is none. `small_partitions` is a
    warning about partitions that cost more than they prune, empty where there is none.
    """

    method: str
    reason: str
    before: FileTotals
    after: FileTotals
    version: int | None = None
    small_partitions: str = ""

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self)
        return {"how": fields.pop("method"), "why": fields.pop("reason"), **fields}


@dataclass(frozen=True)
class RetainedVersion:
    """A version of a table that a kept run needs, and the reason."""

    table: str
    version: int
    run_id: str
    reason: str


@dataclass(frozen=True)
class RetainedByRun:
    """What one kept run retains: versions with the reason, and the files that a vacuum would remove without it."""

    run_id: str
    versions: Mapping[int, str]
    files: FileTotals


@dataclass(frozen=True)
class VacuumPlan:
    """The data files that a vacuum removes or has removed: path below the table's `folder` → bytes.

    `remaining` are the files that stay, `retained` what kept runs need. `lost` are versions that kept runs name and
    that cannot be read any more: version → run.
    """

    folder: Path
    files: Mapping[str, int]
    remaining: FileTotals
    retained: Sequence[RetainedByRun]
    lost: Mapping[int, str]
    applied: bool = False

    @property
    def size_bytes(self) -> int:
        return sum(self.files.values())

    def to_json(self) -> dict[str, Any]:
        return {
            "files": dict(self.files),
            "kept": asdict(self.remaining),
            "protected": [asdict(run) for run in self.retained],
            "lost": dict(self.lost),
            "applied": self.applied,
            "size_bytes": self.size_bytes,
        }
