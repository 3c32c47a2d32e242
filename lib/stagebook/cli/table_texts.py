"""What `stagebook tables` prints where nobody asks for JSON."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stagebook.model.tables import Layout
from stagebook.model.upkeep import Change, Description, Files, Optimized, Reading, Sweep

if TYPE_CHECKING:
    from stagebook.tables.care import Listed


def listing(found: "Sequence[Listed]") -> str:
    rows = [("table", "version", "rows", "files", "size", "written by", "")]
    for one in found:
        of, note = one.description, "external" if one.external else ""
        writers = ", ".join(one.written_by)
        if of is None:
            rows.append((one.name, "-", "-", "-", "-", writers, one.trouble or "not written yet"))
        else:
            size = "?" if of.size_bytes is None else mb(of.size_bytes)
            rows.append((one.name, str(of.version), number(of.rows), number(of.files), size, writers, note))
    return aligned(rows) if found else "no tables, and no stage names one"


def description(name: str, path: str, of: Description, warning: str) -> str:
    told = [
        ("table", f"{name}, version {of.version}"),
        ("folder", path),
        ("size", f"{number(of.rows)} rows, {number(of.files)} files, {mb(of.size_bytes or 0)}"),
        ("layout", _layout(of.layout) if of.layout else "?"),
        ("why", of.layout.why if of.layout and of.layout.why else "-"),
        (
            "protocol",
            f"reader {of.reader_version}, writer {of.writer_version}; {', '.join(of.features) or 'no features'}",
        ),
        *(("engine", f"{one.engine}: {_access(one.unreadable, one.unwritable)}") for one in of.access),
        *([("beware", warning)] if warning else []),
    ]
    columns = [("column", "type", "unit", "nulls", "")]
    for column in of.columns:
        nulls = "yes" if column.nullable else "no"
        columns.append((column.name, column.type, column.unit or "", nulls, column.description))
    return f"{aligned(told)}\n\n{aligned(columns)}"


def _layout(layout: Layout) -> str:
    order = f"ordered by {', '.join(layout.z_order)}" if layout.z_order else "in no declared order"
    parts = f", partitioned by {', '.join(layout.partition_by)}" if layout.partition_by else ""
    return f"{order}{parts}, files of {mb(layout.target_file_bytes)}, statistics of {layout.statistics_columns} columns"


def _access(unreadable: Sequence[str], unwritable: Sequence[str]) -> str:
    if unreadable:
        return f"neither reads nor writes it ({', '.join(unreadable)})"
    return f"reads it, does not write it ({', '.join(unwritable)})" if unwritable else "reads and writes it"


def changes(found: Sequence[Change]) -> str:
    rows = [("version", "at", "operation", "run", "stage", "attempt", "rows", "files", "size")]
    for one in found:
        size = "?" if one.size_bytes is None else mb(one.size_bytes)
        attempt = "" if one.attempt is None else str(one.attempt)
        by = (one.run_id or "", one.stage or "", attempt)
        rows.append((str(one.version), one.at, one.operation, *by, number(one.rows), number(one.files), size))
    return aligned(rows)


def reading(name: str, of: Reading) -> str:
    lines = [
        f"{name}, version {of.version}: {len(of.columns)} columns",
        f"files       {of.files:,} of {of.all_files:,}",
        f"row groups  {of.row_groups:,} of {of.all_row_groups:,} in files that the log does not rule out",
        f"bytes       {mb(of.size_bytes)} of {mb(of.all_bytes)}",
        f"rows        at most {of.rows:,} of {number(of.all_rows)}",
    ]
    for one in of.ruled:
        nothing = "" if one.files or one.row_groups else ", as their bounds hold such values"
        lines.append(f"{one.condition}  rules out {one.files:,} files, {one.row_groups:,} row groups{nothing}")
    return "\n".join(lines)


def optimized(name: str, of: Optimized) -> str:
    warning = f"\nbeware: {of.small_partitions}" if of.small_partitions else ""
    if not of.how:
        return f"{name}: {files(of.before)}; nothing to do: {of.why}{warning}"
    how = "Z-order" if of.how == "z_order" else "compaction"
    done = f"version {of.version}" if of.version is not None else "nothing was written"
    about = "" if of.version is not None else "about "
    return f"{name}: {files(of.before)} → {about}{files(of.after)} by {how} ({of.why}); {done}{warning}"


def swept(name: str, of: Sweep, runs: int, folders: Iterable[Path]) -> str:
    unneeded = files(Files(len(of.files), of.size_bytes))
    lines = [f"{name}: {unneeded} {'removed' if of.applied else 'that nobody needs'}, {files(of.kept)} kept"]
    lines += [f"looked for what runs need in {', '.join(map(str, folders))}: {runs:,} runs"]
    for one in of.protected:
        versions = ", ".join(f"{version} ({why})" for version, why in sorted(one.versions.items()))
        lines.append(f"run {one.run_id} keeps {files(one.files)}: version {versions}")
    for version, run_id in sorted(of.lost.items()):
        lines.append(f"version {version}, which run {run_id} names, cannot be read any more")
    if of.files and not of.applied:
        lines.append("nothing was removed: --apply does it")
    return "\n".join(lines)


def files(found: Files) -> str:
    return f"{found.count:,} file{'' if found.count == 1 else 's'} of {mb(found.size_bytes)}"


def mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of text in columns; not cut off, so that they can be piped on."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
