"""A table that is made part by part: which parts are stale, as its commits tell, and how they are replaced.

Each commit says of all parts what they were made from, not only of those that it replaced: the newest one
that touched rows tells what the whole table consists of.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagebook.engines.base import PARTS, Engine, WriteOrder
from stagebook.errors import PartsMoved
from stagebook.model.tables import Commit, Part, Parts, Predicates, Stale, TableSchema
from stagebook.tables.contract import Checked

MadeFrom = dict[Part, Mapping[str, str]]
Scope = tuple[tuple[str, Part], ...]
"""The columns with one value each, `Parts.within`, in the order of their names."""


def compare(engine: Engine, path: Path, schema: TableSchema, parts: Parts, *, everything: bool) -> Stale:
    """The parts that the newest content of a table lacks, has from other inputs, or has no more inputs for.

    Args:
        everything: name all parts, whatever the table has.
    """
    scopes = told(engine, path, schema, parts)
    have = (scopes or {}).get(_scope(parts), {})
    why: dict[Part, str] = {}
    for part, inputs in parts.made_from.items():
        if part not in have:
            why[part] = "new" if scopes is not None or engine.latest(path) is None else "not known what it is made from"
        elif have[part] != inputs:
            why[part] = f"{_changed(have[part], inputs)} changed"
        elif everything:
            why[part] = "asked for"
    why |= {part: "no longer there" for part in have if part not in parts.made_from}
    return Stale(parts, why, unknown=scopes is None)


def told(engine: Engine, path: Path, schema: TableSchema, parts: Parts) -> dict[Scope, MadeFrom] | None:
    """What the newest content of a table says that its parts were made from; None if it does not tell.

    It does not where there is no table, where it was written as a whole or by another tool, where its columns
    or the column of its parts were others, or where the log no longer has the commit.
    """
    version = engine.content(path)
    found = None if version is None else engine.metadata(path, version).get(PARTS)
    if not found or (found["by"], found["columns"]) != (parts.by, _columns(schema)):
        return None
    return {tuple((name, value) for name, value in scope["within"]): dict(scope["parts"]) for scope in found["scopes"]}


def content(engine: Engine, checked: Checked | None, parts: Parts) -> str:
    """A digest of what a write makes of its parts: the rows, in any order, and what they are made from."""
    rows = None if checked is None else engine.fingerprints(checked.data, None)
    text = json.dumps([sorted((rows or {}).values()), _scope(parts), sorted_parts(parts.made_from)])
    return hashlib.sha256(text.encode()).hexdigest()


def commit(
    engine: Engine, path: Path, schema: TableSchema, checked: Checked | None, stale: Stale, order: Mapping[str, Any]
) -> Commit:
    """Replaces the stale parts in one commit, or says in one that none was; to be tried again after a conflict.

    Args:
        checked: the rows of the stale parts; None if nothing is stale.
        order: `app_id` and `metadata` of the write.
    Raises:
        PartsMoved: parts that are not written are not, or no longer, made from these inputs.
        WriteConflict: another writer was faster.
    """
    # The version first: what is read of the log after it is refused if a commit has come in between.
    latest = engine.latest(path)
    scopes = told(engine, path, schema, stale.parts)
    wanted, scope = dict(stale.parts.made_from), _scope(stale.parts)
    have = (scopes or {}).get(scope, {})
    if moved := [part for part in wanted if part not in stale.why and have.get(part) != wanted[part]]:
        raise PartsMoved.of(schema.name, moved)
    if checked is None and (done := _own(engine, path, order["app_id"], schema, stale.parts)):
        return done
    metadata = order["metadata"] | {PARTS: _metadata(schema, stale.parts, (scopes or {}) | {scope: wanted})}
    write = WriteOrder(schema, order["app_id"], metadata, after=-1 if latest is None else latest)
    if checked is None:
        return engine.mark(path, write)
    replaced = None if scopes is None else _replaced(stale, [part for part in have if part not in wanted])
    return engine.write(path, checked.data, WriteOrder(schema, write.app_id, metadata, replaced, write.after))


def sorted_parts(made_from: Mapping[Part, Mapping[str, str]]) -> list[Any]:
    """Parts as JSON keeps them: pairs, since the keys of a mapping would become text."""
    return [[part, dict(made_from[part])] for part in sorted(made_from)]


def _replaced(stale: Stale, gone: list[Part]) -> Predicates | None:
    """The rows to replace: the stale parts and those that are gone, or all parts of this scope."""
    within: Predicates = [(name, "=", value) for name, value in _scope(stale.parts)]
    if set(stale.why) >= set(stale.parts.made_from):
        return within or None
    return [*within, (stale.parts.by, "in", sorted({*stale.why, *gone}))]


def _own(engine: Engine, path: Path, app_id: str, schema: TableSchema, parts: Parts) -> Commit | None:
    """The last commit of this run and stage, if the parts at it are the wanted ones."""
    found = engine.committed(path, app_id)
    said = {} if found is None else engine.metadata(path, found.version).get(PARTS) or {}
    wanted = _metadata(schema, parts, {_scope(parts): dict(parts.made_from)})
    same = said.get("columns") == wanted["columns"] and wanted["scopes"][0] in said.get("scopes", [])
    return found if same else None


def _metadata(schema: TableSchema, parts: Parts, scopes: Mapping[Scope, MadeFrom]) -> dict[str, Any]:
    return {
        "by": parts.by,
        "columns": _columns(schema),
        "scopes": [
            {"within": [list(pair) for pair in scope], "parts": sorted_parts(made_from)}
            for scope, made_from in sorted(scopes.items())
        ],
    }


def _scope(parts: Parts) -> Scope:
    return tuple(sorted(parts.within.items()))


def _columns(schema: TableSchema) -> str:
    """A digest of the columns: a part of a table of other columns cannot be replaced."""
    text = json.dumps([[column.name, column.kind, column.nullable] for column in schema.columns])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _changed(have: Mapping[str, str], want: Mapping[str, str]) -> str:
    return ", ".join(name for name in {**want, **have} if have.get(name) != want.get(name))
