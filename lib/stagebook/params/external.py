"""Tables of others that a parameter file registers by their folders."""

from pathlib import Path

from stagebook.errors import did_you_mean
from stagebook.params.findings import Finding
from stagebook.params.merge import Merged
from stagebook.params.spec import PipelineSpec


def folders(spec: PipelineSpec, root: Path) -> dict[str, Path]:
    """Each external table's folder; relative ones count from the project's root."""
    return {name: (root / folder).resolve() for name, folder in spec.tables.external.items()}


def check(spec: PipelineSpec, merged: Merged, root: Path) -> list[Finding]:
    """A finding for each external table whose folder is not there, or holds no Delta table."""
    findings = []
    for name, folder in folders(spec, root).items():
        if what := _wrong(spec.tables.external[name], folder):
            where = merged.where(("tables", "external", name))
            findings.append(Finding(where, f"tables.external.{name}", what))
    return findings


def _wrong(written: str, folder: Path) -> str | None:
    if "://" in written:
        return f"'{written}' is an address: only folders are read."
    if not folder.is_dir():
        others = [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []
        return f"there is no folder {folder}.{did_you_mean(folder.name, others)}"
    if not (folder / "_delta_log").is_dir():
        return f"{folder} is no Delta table: there is no _delta_log in it."
    return None
