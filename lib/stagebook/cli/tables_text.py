"""The text that `stagebook tables` prints without `--json`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stagebook.model.maintenance import (
    FileTotals,
    OptimizeResult,
    ReadExplanation,
    TableDescription,
    TableVersion,
    VacuumPlan,
)
from stagebook.model.tables import Layout

if TYPE_CHECKING:
    from stagebook.tables.maintenance import RestoreResult, TableListing


def table_list(listings: "Sequence[TableListing]") -> str:
    rows = [("table", "version", "rows", "files", "size", "written by", "")]
    for listing in listings:
        table, writers = listing.description, ", ".join(listing.written_by)
        if table is None:
            rows.append((listing.name, "-", "-", "-", "-", writers, listing.trouble or "not written yet"))
        else:
            size = "?" if table.size_bytes is None else mb(table.size_bytes)
            note = "external" if listing.external else ""
            rows.append(
                (listing.name, str(table.version), number(table.rows), number(table.files), size, writers, note)
            )
    return aligned(rows) if listings else "no tables, and no stage names one"


def description(name: str, path: str, table: TableDescription, warning: str) -> str:
    features = ", ".join(table.features) or "no features"
    properties = [
        ("table", f"{name}, version {table.version}"),
        ("folder", path),
        ("size", f"{number(table.rows)} rows, {number(table.files)} files, {mb(table.size_bytes or 0)}"),
        ("layout", _layout(table.layout) if table.layout else "?"),
        ("why", table.layout.reason if table.layout and table.layout.reason else "-"),
        ("protocol", f"reader {table.reader_version}, writer {table.writer_version}; {features}"),
        *(("engine", f"{access.engine}: {_access(access.unreadable, access.unwritable)}") for access in table.access),
        *([("beware", warning)] if warning else []),
    ]
    columns = [("column", "type", "unit", "nulls", "")]
    for column in table.columns:
        nulls = "yes" if column.nullable else "no"
        columns.append((column.name, column.type, column.unit or "", nulls, column.description))
    return f"{aligned(properties)}\n\n{aligned(columns)}"


def _layout(layout: Layout) -> str:
    order = f"ordered by {', '.join(layout.z_order)}" if layout.z_order else "in no declared order"
    partitions = f", partitioned by {', '.join(layout.partition_by)}" if layout.partition_by else ""
    size = f"files of {mb(layout.target_file_bytes)}"
    return f"{order}{partitions}, {size}, statistics of {layout.statistics_columns} columns"


def _access(unreadable: Sequence[str], unwritable: Sequence[str]) -> str:
    if unreadable:
        return f"neither reads nor writes it ({', '.join(unreadable)})"
    return f"reads it, does not write it ({', '.join(unwritable)})" if unwritable else "reads and writes it"


def history(commits: Sequence[TableVersion]) -> str:
    rows = [("version", "at", "operation", "run", "stage", "attempt", "rows", "files", "size")]
    for commit in commits:
        size = "?" if commit.size_bytes is None else mb(commit.size_bytes)
        attempt = "" if commit.attempt is None else str(commit.attempt)
        writer = (commit.run_id or "", commit.stage or "", attempt)
        content = (number(commit.rows), number(commit.files), size)
        rows.append((str(commit.version), commit.at, commit.operation, *writer, *content))
    return aligned(rows)


def read_explanation(name: str, read: ReadExplanation) -> str:
    lines = [
        f"{name}, version {read.version}: {len(read.columns)} columns",
        f"files       {read.files:,} of {read.all_files:,}",
        f"row groups  {read.row_groups:,} of {read.all_row_groups:,} in files that the log does not rule out",
        f"bytes       {mb(read.size_bytes)} of {mb(read.all_bytes)}",
        f"rows        at most {read.rows:,} of {number(read.all_rows)}",
    ]
    for pruning in read.conditions:
        note = "" if pruning.files or pruning.row_groups else ", as their bounds hold such values"
        counts = f"{pruning.files:,} files, {pruning.row_groups:,} row groups"
        lines.append(f"{pruning.condition}  rules out {counts}{note}")
    return "\n".join(lines)


def optimize_result(name: str, result: OptimizeResult) -> str:
    warning = f"\nbeware: {result.small_partitions}" if result.small_partitions else ""
    if not result.method:
        return f"{name}: {files(result.before)}; nothing to do: {result.reason}{warning}"
    method = "Z-order" if result.method == "z_order" else "compaction"
    if result.version is None:
        after, outcome = f"about {files(result.after)}", "nothing was written"
    else:
        after, outcome = files(result.after), f"version {result.version}"
    return f"{name}: {files(result.before)} → {after} by {method} ({result.reason}); {outcome}{warning}"


def restore_result(result: "RestoreResult") -> str:
    if result.version > result.before:
        return f"{result.name}: version {result.version} has the content of version {result.restored}"
    if result.version == result.before:
        return f"{result.name}: nothing to do: version {result.version} is the newest"
    aside = f"what could not be read of versions {result.version + 1} to {result.before} is in the table's _set_aside"
    return f"{result.name}: version {result.version} is the newest again; {aside}"


def vacuum_plan(name: str, plan: VacuumPlan, run_count: int, folders: Iterable[Path]) -> str:
    removable = files(FileTotals(len(plan.files), plan.size_bytes))
    lines = [
        f"{name}: {removable} {'removed' if plan.applied else 'that nobody needs'}, {files(plan.remaining)} kept",
        f"looked for what runs need in {', '.join(map(str, folders))}: {run_count:,} runs",
    ]
    for run in plan.retained:
        versions = ", ".join(f"{version} ({reason})" for version, reason in sorted(run.versions.items()))
        lines.append(f"run {run.run_id} keeps {files(run.files)}: version {versions}")
    for version, run_id in sorted(plan.lost.items()):
        lines.append(f"version {version}, which run {run_id} names, cannot be read any more")
    if plan.files and not plan.applied:
        lines.append("nothing was removed: --apply does it")
    return "\n".join(lines)


def files(totals: FileTotals) -> str:
    return f"{totals.count:,} file{'' if totals.count == 1 else 's'} of {mb(totals.size_bytes)}"


def mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of text in columns, never cut off, so that other programs can read them."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
