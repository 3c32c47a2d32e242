"""Goes back to an earlier version of a table, also where the log of later versions cannot be read."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stagebook.delta.log import open_table, versions
from stagebook.delta.protocol import Protocol, unwritable
from stagebook.errors import DamagedTable, UnwritableTable, WriteConflict

SET_ASIDE = "_set_aside"
"""The folder beside the log for commits that nothing can read. Delta ignores what begins with an underscore."""


def restore(path: Path, version: int, metadata: Mapping[str, Any]) -> int:
    """Commit the content of an earlier version as the newest one; returns the version that the table then has.

    Where the log behind that version cannot be read, its files are moved aside, so that the version is the newest
    again: no reader has ever seen what they say.

    Raises:
        UnknownTable, UnreadableTable, DamagedTable: if the earlier version itself cannot be opened.
        UnwritableTable: the table uses a feature that delta-rs would damage.
        WriteConflict: another writer committed meanwhile.
    """
    from deltalake import CommitProperties
    from deltalake.exceptions import CommitFailedError, DeltaError

    _ = open_table(path, version)
    try:
        table = open_table(path)
    except DamagedTable:
        _set_aside(path, version)
        return version
    if features := unwritable(Protocol.of(table)):
        raise UnwritableTable.of(str(path), engine="delta-rs", features=features)
    if table.version() == version:
        return version
    properties = CommitProperties(custom_metadata=dict(metadata), max_commit_retries=0)
    try:
        table.restore(version, commit_properties=properties)
    except CommitFailedError as fault:
        raise WriteConflict.of(str(path), version=max(versions(path)), winner=None) from fault
    except DeltaError as fault:
        reason = next(iter(str(fault).splitlines()), "")[:300]
        raise DamagedTable.log(str(path), path.name, version, reason) from fault
    return open_table(path).version()


def _set_aside(path: Path, version: int) -> None:
    """Move what the log says of all later versions to a folder beside it. What it names is no longer in the table."""
    log = path / "_delta_log"
    folder = path / SET_ASIDE / f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    folder.mkdir(parents=True)
    later = [file for file in log.iterdir() if file.name[:20].isdecimal() and int(file.name[:20]) > version]
    for file in sorted(later, reverse=True):
        file.rename(folder / file.name)
    hint = log / "_last_checkpoint"
    if hint.exists() and any("checkpoint" in file.name for file in later):
        hint.rename(folder / hint.name)
