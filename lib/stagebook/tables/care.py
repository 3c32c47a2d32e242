"""What is told of the tables of a warehouse, and what their layout asks to be done."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from stagebook.engines import describe as log
from stagebook.engines import footers, upkeep
from stagebook.engines.deltalog import opened
from stagebook.engines.pruning import DataFile
from stagebook.engines.pruning import Files as LogFiles
from stagebook.errors import StagebookError
from stagebook.model.pipeline import Stage
from stagebook.model.tables import Layout, Predicates
from stagebook.model.upkeep import Change, Description, Files, Optimized, Partitions, Reading
from stagebook.tables.persist import persist
from stagebook.tables.warehouse import Warehouse

PARTITION_BYTES = 10**9
"""What a partition must hold to be worth more than it costs: below it, files that are in order prune as well."""


@dataclass(frozen=True)
class Listed:
    """A table, whether it exists or the parameter file only names it. `trouble` says why it cannot be described."""

    name: str
    external: bool
    written_by: tuple[str, ...]
    description: Description | None
    trouble: str = ""

    def to_json(self) -> dict[str, Any]:
        told = self.description.to_json() if self.description else None
        return {
            "name": self.name,
            "external": self.external,
            "written_by": list(self.written_by),
            "exists": told is not None or bool(self.trouble),
            "description": told,
            "trouble": self.trouble,
        }


def listed(warehouse: Warehouse, stages: Iterable[Stage]) -> list[Listed]:
    """All tables that exist, and all that stages read or write, by name."""
    writers: dict[str, list[str]] = {}
    for stage in stages:
        for table in stage.reads:
            writers.setdefault(table, [])
        for table in stage.writes:
            writers.setdefault(table, []).append(stage.name)
    return [_listed(warehouse, name, tuple(writers.get(name, ()))) for name in sorted({*warehouse.names(), *writers})]


def _listed(warehouse: Warehouse, name: str, written_by: tuple[str, ...]) -> Listed:
    external = name in warehouse.external
    if not warehouse.exists(name):
        return Listed(name, external, written_by, None)
    try:
        return Listed(name, external, written_by, describe(warehouse, name))
    except StagebookError as fault:
        return Listed(name, external, written_by, None, str(fault).partition("\n")[0])


def describe(warehouse: Warehouse, name: str) -> Description:
    """The newest version of a table, from its log.

    Raises:
        UnknownTable: if there is none; names the nearest.
    """
    return log.describe(warehouse.path(name), warehouse.version(name))


def history(warehouse: Warehouse, name: str, last: int) -> Sequence[Change]:
    """The newest commits of a table, newest first.

    Raises:
        UnknownTable: if there is none; names the nearest.
    """
    warehouse.version(name)
    return log.history(warehouse.path(name), last)


def explain(warehouse: Warehouse, name: str, columns: Sequence[str] | None, where: Predicates) -> Reading:
    """What a read of the newest version touches.

    Raises:
        UnknownTable, UnknownColumn, BadPredicate, UnreadableTable: as a read.
    """
    return footers.explain(warehouse.path(name), warehouse.version(name), columns, where)


def optimize(warehouse: Warehouse, name: str, *, dry_run: bool) -> Optimized:
    """Put the files of a table into the layout that it declares; its rows stay as they are.

    Raises:
        UnknownTable: if there is none. ReadOnlyTable: if it is an external one.
        UnwritableTable: if delta-rs would harm it: then its owner optimizes it.
        WriteConflict: if other writers were faster again and again.
    """
    warehouse.refuse_external(name)
    warehouse.version(name)
    upkeep.refuse_foreign(warehouse.path(name))
    return persist(lambda: _optimize(warehouse, name, dry_run=dry_run))


def _optimize(warehouse: Warehouse, name: str, *, dry_run: bool) -> Optimized:
    path = warehouse.path(name)
    table = opened(path)
    files, declared = LogFiles(table), log.layout(path, table)
    planned = plan(declared, files.all, ordered_by=upkeep.ordered_by(path))
    planned = replace(planned, small_partitions=too_small(log.partitions(files)))
    if dry_run or not planned.how:
        return planned
    match planned.how:
        case "z_order":
            version = upkeep.z_order(path, declared.z_order, declared.target_file_bytes)
        case _:
            version = upkeep.compact(path, declared.target_file_bytes)
    return replace(planned, version=version, after=_sum(LogFiles(opened(path)).all))


def plan(layout: Layout, files: Sequence[DataFile], *, ordered_by: Sequence[str]) -> Optimized:
    """What a layout asks of these files.

    Args:
        ordered_by: the columns by which all of them have been ordered already.
    """
    before, partitions = _sum(files), _by_partition(files)
    if all(len(sizes) < 2 for sizes in partitions.values()):
        return Optimized(
            "", "no partition has more than one file" if layout.partition_by else _few(files), before, before
        )
    expected = sum(max(1, ceil(sum(sizes) / layout.target_file_bytes)) for sizes in partitions.values())
    after = Files(min(before.count, expected), before.size_bytes)
    if layout.z_order:
        by = ", ".join(layout.z_order)
        if tuple(ordered_by) == layout.z_order:
            return Optimized("", f"its rows have not changed since it was ordered by {by}", before, before)
        return Optimized("z_order", f"the layout declares an order by {by}", before, after)
    if any(_can_be_joined(sizes, layout.target_file_bytes) for sizes in partitions.values()):
        return Optimized("compact", f"files are to hold {layout.target_file_bytes / 1e6:,.0f} MB", before, after)
    return Optimized("", f"its files hold about {layout.target_file_bytes / 1e6:,.0f} MB each", before, before)


def too_small(partitions: Partitions | None) -> str:
    """What is to be said about partitions that cost more than they prune; nothing where they are large enough."""
    if partitions is None or partitions.median_bytes >= PARTITION_BYTES:
        return ""
    by, middle = ", ".join(partitions.by), f"{partitions.median_bytes / 1e6:,.1f} MB"
    return (
        f"partitioned by {by}: {partitions.count:,} partitions, the middle one of {middle}. "
        f"Below {PARTITION_BYTES / 1e9:g} GB a partition costs every other read more than it saves: declare `z_order` "
        "instead of `partition_by` in the table's schema."
    )


def _few(files: Sequence[DataFile]) -> str:
    return "it is one file" if files else "it has no files"


def _can_be_joined(sizes: Sequence[int], target: int) -> bool:
    small = sorted(size for size in sizes if size < target)
    return len(small) > 1 and small[0] + small[1] <= target


def _by_partition(files: Sequence[DataFile]) -> Mapping[str, list[int]]:
    sizes: dict[str, list[int]] = {}
    for file in files:
        sizes.setdefault(repr(sorted(file.partition.items())), []).append(file.size_bytes)
    return sizes


def _sum(files: Sequence[DataFile]) -> Files:
    return Files(len(files), sum(file.size_bytes for file in files))
