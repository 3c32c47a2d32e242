"""How this attempt has used the model registry, told to the runner: a later run asks whether it still says so."""

from collections.abc import Mapping

from stagebook.model.context import REGISTRY
from stagebook.stage.current import current
from stagebook.storage import atomic
from stagebook.storage.runs import RunFolder


def found(alias: str, version: str | None) -> None:
    """This attempt has asked for an alias; what it had set itself before does not count."""
    _note(reads={alias: version})


def made(**aliases: str) -> None:
    """This attempt has given aliases to versions."""
    _note(sets=aliases)


def _note(*, reads: Mapping[str, str | None] | None = None, sets: Mapping[str, str] | None = None) -> None:
    stage = current()
    if not stage.managed:
        return
    context = stage.context
    path = RunFolder(context.run_folder).attempt(context.stage, context.attempt, REGISTRY)
    known = atomic.read_json(path) or {"reads": {}, "sets": {}}
    new = {alias: version for alias, version in (reads or {}).items() if alias not in known["sets"]}
    atomic.write_json(
        path,
        {
            "uri": context.tracking.uri,
            "model": context.tracking.registered_model,
            "reads": {**new, **known["reads"]},
            "sets": {**known["sets"], **(sets or {})},
        },
    )
