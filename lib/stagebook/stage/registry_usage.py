"""How this attempt used the model registry, noted for the runner: a later run checks whether the aliases still hold."""

from collections.abc import Mapping

from stagebook import atomic
from stagebook.model.context import REGISTRY
from stagebook.runs.folders import RunFolder
from stagebook.stage.current import current


def note_read(alias: str, version: str | None) -> None:
    """This attempt looked an alias up; an alias that it had set itself before does not count."""
    _note(reads={alias: version})


def note_set(**aliases: str) -> None:
    """This attempt set aliases of versions."""
    _note(sets=aliases)


def _note(*, reads: Mapping[str, str | None] | None = None, sets: Mapping[str, str] | None = None) -> None:
    stage = current()
    if not stage.managed:
        return
    context = stage.context
    path = RunFolder(context.run_folder).attempt(context.stage, context.attempt, REGISTRY)
    noted = atomic.read_json(path) or {"reads": {}, "sets": {}}
    new_reads = {alias: version for alias, version in (reads or {}).items() if alias not in noted["sets"]}
    atomic.write_json(
        path,
        {
            "uri": context.tracking.uri,
            "model": context.tracking.registered_model,
            "reads": {**new_reads, **noted["reads"]},
            "sets": {**noted["sets"], **(sets or {})},
        },
    )
