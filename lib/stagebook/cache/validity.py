"""Output validity: whether the tables, files and registry aliases of an earlier result are still as it left them.

A table that no other stage of the pipeline reads is for the world: it must still be the newest. Other tables
are read at the version that the result names.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from stagebook.cache.explain import expected_aliases, registry_changes
from stagebook.cache.key import RegistryUse
from stagebook.cache.sources.parse import file_names
from stagebook.errors import StagebookError
from stagebook.model.pipeline import Pipeline, Stage, Tracking
from stagebook.model.record import RunRecord

AliasLookup = Callable[[Tracking, str], Mapping[str, str]]
"""Asks a model registry: the tracking settings and the model's name give alias → version."""


class TableStates(Protocol):
    """What is asked of tables: their logs, and whether files are there."""

    def latest(self, name: str) -> int | None:
        """The newest version, or None where there is no table."""
        ...

    def identity(self, name: str, version: int) -> str | None:
        """What tells a version's rows apart."""
        ...

    def is_complete(self, name: str, version: int) -> bool:
        """Whether a version can be read whole."""
        ...


def invalid_reason(
    stage: Stage,
    record: RunRecord,
    pipeline: Pipeline,
    tables: TableStates,
    aliases: AliasLookup,
    changed_files: Iterable[str],
) -> str | None:
    """Why the result that a record has of a stage no longer holds; None where it does.

    Args:
        changed_files: what `file_changes` says.
    """
    reasons = (
        *_tables(stage, record, pipeline, tables),
        *changed_files,
        *_saved_files(record.stages[stage.name].scraps, pipeline.paths.warehouse / "volumes"),
        *_registry(stage, record, pipeline, aliases),
    )
    return next(iter(reasons), None)


def _tables(stage: Stage, record: RunRecord, pipeline: Pipeline, tables: TableStates) -> Iterator[str]:
    result = record.stages[stage.name]
    read = {name for other in pipeline.stages.values() if other.name != stage.name for name in other.reads}
    for name, output in result.outputs.items():
        version, newest = output["version"], tables.latest(name)
        identity = result.reuse["outputs"].get(name)
        if newest is None or not tables.is_complete(name, version):
            yield f"table `{name}` has no version {version} any more"
        elif identity is None or tables.identity(name, version) != identity:
            yield f"table `{name}` {version} was made anew"
        elif name not in read and tables.identity(name, newest) != identity:
            yield f"table `{name}` {version} → {newest}"


def file_changes(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """What of the files that a stage names has changed; both are their digests."""
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            yield f"file `{name}` is gone"
        elif name not in before:
            yield f"file `{name}` is new"
        elif before[name] != now[name]:
            yield f"file `{name}` changed"


def _saved_files(scraps: Mapping[str, Any], volumes: Path) -> Iterator[str]:
    """References that `stage.save_file` and `save_model` gave, whose file is no longer there."""
    for name in file_names(dict(scraps)):
        if name.startswith(("models/", "files/")) and not (volumes / name).is_file():
            yield f"file `{name}` is gone"


def _registry(stage: Stage, record: RunRecord, pipeline: Pipeline, aliases: AliasLookup) -> Iterator[str]:
    """Aliases that point now where neither this stage nor a later one of its run has made them point."""
    if _registry_use(record, stage.name) is None:
        return
    uses = {name: RegistryUse(**noted) for name in pipeline.stages if (noted := _registry_use(record, name))}
    use, tracking = uses[stage.name], pipeline.tracking
    if (use.uri, use.model) != (tracking.uri, tracking.registered_model):
        yield f"model {use.model} → {tracking.registered_model}, or another registry"
        return
    expected = expected_aliases(list(uses.values()), use.uri, use.model)
    try:
        now = aliases(tracking, use.model)
    except StagebookError as fault:
        yield str(fault).partition("\n")[0]
        return
    yield from registry_changes(use, expected, now)


def _registry_use(record: RunRecord, stage: str) -> dict[str, Any] | None:
    if stage not in record.stages or not record.stages[stage].status.done:
        return None
    return record.stages[stage].reuse.get("registry")
