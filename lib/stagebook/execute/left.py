"""What a stage has left in the world, and whether it is still there: tables, files, the model registry.

A table that no other stage of the pipeline reads is for the world: it must still be the newest. Other tables
are read at the version that the result names.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from stagebook.code.source import digest_of, file_names
from stagebook.errors import StagebookError
from stagebook.model.pipeline import Pipeline, Stage
from stagebook.model.record import RunRecord
from stagebook.reuse import RegistryUse, expected_aliases, registry_changes
from stagebook.track import glance


class TableStates(Protocol):
    """What is asked of tables: their logs, and whether files are there."""

    def latest(self, name: str) -> int | None:
        """The newest version, or None where there is no table."""
        ...

    def identity(self, name: str, version: int) -> str | None:
        """What tells a version's rows apart."""
        ...

    def intact(self, name: str, version: int) -> bool:
        """Whether a version can be read whole."""
        ...


def gone(
    stage: Stage, record: RunRecord, pipeline: Pipeline, tables: TableStates, files: Mapping[str, str]
) -> str | None:
    """Why the result that a record has of a stage does not stand any more; None where it does.

    Args:
        files: the files that the stage names, with their digests as of now.
    """
    reasons = (
        *_tables(stage, record, pipeline, tables),
        *_files(record.stages[stage.name].reuse["files"], files),
        *_kept(record.stages[stage.name].scraps, pipeline.places.warehouse / "volumes"),
        *_registry(stage, record, pipeline),
    )
    return next(iter(reasons), None)


def files(stage: Stage, named: Iterable[str], parameters: Mapping[str, Any]) -> dict[str, str]:
    """Name → digest of the files that exist under names that stand in the code or in the parameters."""
    found = {}
    for name in sorted({*named, *file_names(dict(parameters))}):
        path = stage.notebook.parent / name
        if path.is_file():
            found[name] = digest_of(path.read_bytes())
    return found


def _tables(stage: Stage, record: RunRecord, pipeline: Pipeline, tables: TableStates) -> Iterator[str]:
    result = record.stages[stage.name]
    read = {name for other in pipeline.stages.values() if other.name != stage.name for name in other.reads}
    for name, output in result.outputs.items():
        version, newest = output["version"], tables.latest(name)
        identity = result.reuse["outputs"].get(name)
        if newest is None or not tables.intact(name, version):
            yield f"table `{name}` has no version {version} any more"
        elif identity is None or tables.identity(name, version) != identity:
            yield f"table `{name}` {version} was made anew"
        elif name not in read and tables.identity(name, newest) != identity:
            yield f"table `{name}` {version} → {newest}"


def _files(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            yield f"file `{name}` is gone"
        elif name not in before:
            yield f"file `{name}` is new"
        elif before[name] != now[name]:
            yield f"file `{name}` changed"


def _kept(scraps: Mapping[str, Any], volumes: Path) -> Iterator[str]:
    """References that `stage.save_file` and `save_model` gave, whose file is no longer there."""
    for name in file_names(dict(scraps)):
        if name.startswith(("models/", "files/")) and not (volumes / name).is_file():
            yield f"file `{name}` is gone"


def _registry(stage: Stage, record: RunRecord, pipeline: Pipeline) -> Iterator[str]:
    """Aliases that say now what neither this stage nor a later one of its run has made them say."""
    if _registry_use(record, stage.name) is None:
        return
    uses = {name: RegistryUse(**kept) for name in pipeline.stages if (kept := _registry_use(record, name))}
    use, tracking = uses[stage.name], pipeline.tracking
    if (use.uri, use.model) != (tracking.uri, tracking.registered_model):
        yield f"model {use.model} → {tracking.registered_model}, or another registry"
        return
    expected = expected_aliases(list(uses.values()), use.uri, use.model)
    try:
        now = glance.aliases(tracking, use.model)
    except StagebookError as fault:
        yield str(fault).partition("\n")[0]
        return
    yield from registry_changes(use, expected, now)


def _registry_use(record: RunRecord, stage: str) -> dict[str, Any] | None:
    found = record.stages.get(stage)
    return found.reuse.get("registry") if found and found.status.done else None
