"""Lists and describes the tables of a warehouse, and optimizes their files as their layouts declare."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from stagebook.delta import compaction, footers
from stagebook.delta import describe as table_log
from stagebook.delta import restore as table_restore
from stagebook.delta.engine import RESTORED
from stagebook.delta.log import layout_of, open_table
from stagebook.delta.pruning import DataFile, FileStatistics
from stagebook.errors import StagebookError
from stagebook.model.maintenance import (
    FileTotals,
    OptimizeResult,
    PartitionSizes,
    ReadExplanation,
    TableDescription,
    TableVersion,
)
from stagebook.model.pipeline import Stage
from stagebook.model.tables import Layout, Predicates
from stagebook.tables.warehouse import Warehouse, retry_on_conflict

PARTITION_BYTES = 10**9
"""The size from which a partition saves more than it costs; below it, ordered files prune as well."""


@dataclass(frozen=True)
class TableListing:
    """A table that exists, or that the parameter file only names; `trouble` says why it cannot be described."""

    name: str
    external: bool
    written_by: tuple[str, ...]
    description: TableDescription | None
    trouble: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "external": self.external,
            "written_by": list(self.written_by),
            "exists": self.description is not None or bool(self.trouble),
            "description": self.description.to_json() if self.description else None,
            "trouble": self.trouble,
        }


def list_tables(warehouse: Warehouse, stages: Iterable[Stage]) -> list[TableListing]:
    """All tables that exist, and all that stages read or write, by name."""
    writers: dict[str, list[str]] = {}
    for stage in stages:
        for table in stage.reads:
            writers.setdefault(table, [])
        for table in stage.writes:
            writers.setdefault(table, []).append(stage.name)
    names = sorted({*warehouse.names(), *writers})
    return [_list_entry(warehouse, name, tuple(writers.get(name, ()))) for name in names]


def _list_entry(warehouse: Warehouse, name: str, written_by: tuple[str, ...]) -> TableListing:
    external = name in warehouse.external
    if not warehouse.exists(name):
        return TableListing(name, external, written_by, None)
    try:
        return TableListing(name, external, written_by, describe(warehouse, name))
    except StagebookError as fault:
        return TableListing(name, external, written_by, None, str(fault).partition("\n")[0])


def describe(warehouse: Warehouse, name: str) -> TableDescription:
    """The newest version of a table, from its log.

    Raises:
        UnknownTable: if there is none; names the nearest.
    """
    return table_log.describe(warehouse.path(name), warehouse.resolve_version(name))


def history(warehouse: Warehouse, name: str, last: int) -> Sequence[TableVersion]:
    """The newest commits of a table, newest first.

    Raises:
        UnknownTable: if there is none; names the nearest.
    """
    warehouse.resolve_version(name)
    return table_log.history(warehouse.path(name), last)


def explain(warehouse: Warehouse, name: str, columns: Sequence[str] | None, where: Predicates) -> ReadExplanation:
    """What a read of the newest version touches.

    Raises:
        UnknownTable, UnknownColumn, BadPredicate, UnreadableTable: as for a read.
    """
    return footers.explain(warehouse.path(name), warehouse.resolve_version(name), columns, where)


def optimize(warehouse: Warehouse, name: str, *, dry_run: bool) -> OptimizeResult:
    """Put the files of a table into the layout that it declares; its rows stay as they are.

    Raises:
        UnknownTable: if there is none.
        ReadOnlyTable: if it is an external one.
        UnwritableTable: if delta-rs would harm it; its owner has to optimize it.
        WriteConflict: if other writers were faster every time.
    """
    warehouse.refuse_external(name)
    warehouse.resolve_version(name)
    compaction.require_writable(warehouse.path(name))
    return retry_on_conflict(lambda: _optimize(warehouse, name, dry_run=dry_run))


@dataclass(frozen=True)
class RestoreResult:
    """What a restore did: the version whose content the table has, and the version that it is at now."""

    name: str
    restored: int
    version: int
    before: int

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "restored": self.restored, "version": self.version, "before": self.before}


def restore(warehouse: Warehouse, name: str, version: int) -> RestoreResult:
    """Give a table the content that it had at an earlier version; see `delta.restore`.

    Raises:
        UnknownTable: if there is no such table or version.
        ReadOnlyTable: if it is an external one.
        DamagedTable, UnreadableTable: if the earlier version cannot be opened either.
        UnwritableTable: if delta-rs would harm the table.
        WriteConflict: if other writers were faster every time.
    """
    warehouse.refuse_external(name)
    before = warehouse.resolve_version(name)
    path = warehouse.path(name)
    version = warehouse.resolve_version(name, version)
    now = retry_on_conflict(lambda: table_restore.restore(path, version, {RESTORED: version}))
    return RestoreResult(name, version, now, before)


def _optimize(warehouse: Warehouse, name: str, *, dry_run: bool) -> OptimizeResult:
    path = warehouse.path(name)
    table = open_table(path)
    files, layout = FileStatistics(table), layout_of(path, table)
    planned = plan_optimize(layout, files.all, ordered_by=compaction.ordered_by(path))
    planned = replace(planned, small_partitions=small_partitions_warning(table_log.partitions(files)))
    if dry_run or not planned.method:
        return planned
    match planned.method:
        case "z_order":
            version = compaction.z_order(path, layout.z_order, layout.target_file_bytes)
        case _:
            version = compaction.compact(path, layout.target_file_bytes)
    return replace(planned, version=version, after=_totals(FileStatistics(open_table(path)).all))


def plan_optimize(layout: Layout, files: Sequence[DataFile], *, ordered_by: Sequence[str]) -> OptimizeResult:
    """Whether a layout requires these files to be rewritten, by which method, and with what result.

    Args:
        ordered_by: the columns by which all of them have been ordered already.
    """
    before, partitions = _totals(files), _sizes_by_partition(files)
    if all(len(sizes) < 2 for sizes in partitions.values()):
        unpartitioned = "it is one file" if files else "it has no files"
        reason = "no partition has more than one file" if layout.partition_by else unpartitioned
        return OptimizeResult("", reason, before, before)
    expected = sum(max(1, ceil(sum(sizes) / layout.target_file_bytes)) for sizes in partitions.values())
    after = FileTotals(min(before.count, expected), before.size_bytes)
    if layout.z_order:
        by = ", ".join(layout.z_order)
        if tuple(ordered_by) == layout.z_order:
            return OptimizeResult("", f"its rows have not changed since it was ordered by {by}", before, before)
        return OptimizeResult("z_order", f"the layout declares an order by {by}", before, after)
    if any(_can_be_joined(sizes, layout.target_file_bytes) for sizes in partitions.values()):
        return OptimizeResult("compact", f"files are to hold {layout.target_file_bytes / 1e6:,.0f} MB", before, after)
    return OptimizeResult("", f"its files hold about {layout.target_file_bytes / 1e6:,.0f} MB each", before, before)


def small_partitions_warning(partitions: PartitionSizes | None) -> str:
    """A warning about partitions that cost more than they prune; empty where they are large enough."""
    if partitions is None or partitions.median_bytes >= PARTITION_BYTES:
        return ""
    by, median_size = ", ".join(partitions.by), f"{partitions.median_bytes / 1e6:,.1f} MB"
    return (
        f"partitioned by {by}: {partitions.count:,} partitions, the middle one of {median_size}. "
        f"Below {PARTITION_BYTES / 1e9:g} GB a partition costs every other read more than it saves: declare `z_order` "
        "instead of `partition_by` in the table's schema."
    )


def _can_be_joined(sizes: Sequence[int], target: int) -> bool:
    small = sorted(size for size in sizes if size < target)
    return len(small) > 1 and small[0] + small[1] <= target


def _sizes_by_partition(files: Sequence[DataFile]) -> Mapping[str, list[int]]:
    sizes: dict[str, list[int]] = {}
    for file in files:
        sizes.setdefault(repr(sorted(file.partition.items())), []).append(file.size_bytes)
    return sizes


def _totals(files: Sequence[DataFile]) -> FileTotals:
    return FileTotals(len(files), sum(file.size_bytes for file in files))
