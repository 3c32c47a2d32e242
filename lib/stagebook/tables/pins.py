"""Which versions of tables the kept runs stand on, from their journals."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stagebook.errors import ConfigError
from stagebook.model.events import Event
from stagebook.storage import journal, runs
from stagebook.storage.runs import RunFolder


@dataclass(frozen=True)
class Pin:
    """A version of a table that a kept run needs, and for what."""

    table: str
    version: int
    run_id: str
    why: str


def kept(folders: list[Path]) -> list[RunFolder]:
    """All runs that have a journal, in any of these folders."""
    return [run for folder in folders for run in runs.existing(folder)]


def of_run(run: RunFolder) -> list[Pin]:
    """What a run has pinned, read or written, by any of its attempts; each version once, with the first reason.

    Raises:
        ConfigError: if the journal cannot be read: then nobody knows what it needs.
    """
    try:
        told = [pin for event in journal.read(run.events) for pin in _of_event(run.run_id, event)]
    except (json.JSONDecodeError, KeyError) as fault:
        raise ConfigError(
            f"{run.events}: this journal cannot be read ({fault}), so what its run needs is not known.\n"
            "  Mend it, or delete the folder of that run if nobody needs it any more."
        ) from None
    first: dict[tuple[str, int], Pin] = {}
    for pin in told:
        first.setdefault((pin.table, pin.version), pin)
    return list(first.values())


def _of_event(run_id: str, event: Event) -> Iterator[Pin]:
    stage = event.get("stage", "")
    for table, version in event.get("pins", {}).items():
        yield Pin(table, version, run_id, "pinned at its start")
    for table, version in event.get("inputs", {}).items():
        yield Pin(table, version, run_id, f"read by {stage}")
    for table, output in event.get("outputs", {}).items():
        yield Pin(table, output["version"], run_id, f"written by {stage}")
