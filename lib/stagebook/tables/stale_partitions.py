"""Builds a table partition by partition: finds which partitions are stale, and replaces these in one commit.

Each commit records what every partition was built from, not only those that it replaced: the newest commit that
touched rows describes the entire table.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stagebook.delta.engine import PARTITIONS, Engine, WriteOrder
from stagebook.errors import PartitionsMoved
from stagebook.model.tables import Commit, PartitionSources, PartitionValue, Predicates, StalePartitions, TableSchema
from stagebook.tables.rules import CheckedRows

Fingerprints = Mapping[PartitionValue, Mapping[str, str]]
"""For each partition the fingerprints of its inputs by their names."""

Scope = tuple[tuple[str, PartitionValue], ...]
"""The columns with one value each, `PartitionSources.within`, in the order of their names."""


def find_stale(
    engine: Engine, path: Path, schema: TableSchema, sources: PartitionSources, *, everything: bool
) -> StalePartitions:
    """The partitions that a table lacks, holds from other inputs, or has no inputs for any more, with the reasons.

    Args:
        everything: name all partitions, whatever the table holds.
    """
    scopes = recorded_fingerprints(engine, path, schema, sources)
    recorded = (scopes or {}).get(_scope(sources), {})
    reason_if_absent = "new" if scopes is not None or engine.latest(path) is None else "not known what it is made from"
    reasons: dict[PartitionValue, str] = {}
    for partition, inputs in sources.fingerprints.items():
        if partition not in recorded:
            reasons[partition] = reason_if_absent
        elif recorded[partition] != inputs:
            reasons[partition] = f"{_changed_inputs(recorded[partition], inputs)} changed"
        elif everything:
            reasons[partition] = "asked for"
    reasons |= {partition: "no longer there" for partition in recorded if partition not in sources.fingerprints}
    return StalePartitions(sources, reasons, unknown=scopes is None)


def recorded_fingerprints(
    engine: Engine, path: Path, schema: TableSchema, sources: PartitionSources
) -> dict[Scope, Fingerprints] | None:
    """What the newest content of a table was built from, by scope; None where the log does not record it.

    That is so where there is no table, where it was written as a whole or by another tool, where its columns, the
    column of its partitions or the folders of its files were others, or where the log no longer has the commit.
    """
    version = engine.latest_content_version(path)
    record = None if version is None else engine.metadata(path, version).get(PARTITIONS)
    if not record or (record["by"], record["columns"]) != (sources.by, _columns_digest(schema)):
        return None
    if engine.layout(path).partition_by != schema.layout.partition_by:
        return None
    return {tuple((name, value) for name, value in scope["within"]): dict(scope["parts"]) for scope in record["scopes"]}


def content_digest(engine: Engine, checked: CheckedRows | None, sources: PartitionSources) -> str:
    """A digest of what a write puts into its partitions: the rows, in any order, and what they are built from."""
    rows = {} if checked is None else engine.fingerprints(checked.data, None)
    text = json.dumps([sorted(rows.values()), _scope(sources), _as_pairs(sources.fingerprints)])
    return hashlib.sha256(text.encode()).hexdigest()


def commit_partitions(
    engine: Engine, path: Path, checked: CheckedRows | None, stale: StalePartitions, order: WriteOrder
) -> Commit:
    """Replace the stale partitions in one commit, or record in one that none was; may be repeated after a conflict.

    Args:
        checked: the rows of the stale partitions; None if nothing is stale.
        order: the write, without what it replaces and without the record of its partitions.
    Raises:
        PartitionsMoved: partitions that are not written are not, or no longer, built from these inputs.
        WriteConflict: another writer was faster.
    """
    # The version first: a commit that comes between it and what is read from the log afterwards is a conflict.
    latest = engine.latest(path)
    scopes = recorded_fingerprints(engine, path, order.schema, stale.sources)
    expected, scope = stale.sources.fingerprints, _scope(stale.sources)
    recorded = (scopes or {}).get(scope, {})
    if moved := [name for name in expected if name not in stale.reasons and recorded.get(name) != expected[name]]:
        raise PartitionsMoved.of(order.schema.name, moved)
    if checked is None and (own_commit := _own_commit(engine, path, order, stale.sources)):
        return own_commit
    partitions = _record(order.schema, stale.sources, (scopes or {}) | {scope: expected})
    order = replace(order, metadata={**order.metadata, PARTITIONS: partitions}, after=-1 if latest is None else latest)
    if checked is None:
        return engine.commit_metadata(path, order)
    replaced = None if scopes is None else _replaced_rows(stale, [name for name in recorded if name not in expected])
    return engine.write(path, checked.data, replace(order, replace=replaced))


def _replaced_rows(stale: StalePartitions, vanished: list[PartitionValue]) -> Predicates | None:
    """The rows to replace: stale partitions and those without inputs, or all of this scope if all are stale."""
    within: Predicates = [(name, "=", value) for name, value in _scope(stale.sources)]
    if set(stale.reasons) >= set(stale.sources.fingerprints):
        return within or None
    return [*within, (stale.sources.by, "in", sorted({*stale.reasons, *vanished}))]


def _own_commit(engine: Engine, path: Path, order: WriteOrder, sources: PartitionSources) -> Commit | None:
    """The last commit of this run and stage, if it records the partitions as built from these sources."""
    commit = engine.committed(path, order.app_id)
    record = {} if commit is None else engine.metadata(path, commit.version).get(PARTITIONS) or {}
    expected = _record(order.schema, sources, {_scope(sources): sources.fingerprints})
    is_current = record.get("columns") == expected["columns"] and expected["scopes"][0] in record.get("scopes", [])
    return commit if is_current else None


def _record(schema: TableSchema, sources: PartitionSources, scopes: Mapping[Scope, Fingerprints]) -> dict[str, Any]:
    """What a commit records of all partitions of its table, in the form of the Delta log."""
    return {
        "by": sources.by,
        "columns": _columns_digest(schema),
        "scopes": [
            {"within": [list(pair) for pair in scope], "parts": _as_pairs(fingerprints)}
            for scope, fingerprints in sorted(scopes.items())
        ],
    }


def _as_pairs(fingerprints: Fingerprints) -> list[Any]:
    """Partitions as JSON keeps them: pairs, since the keys of a mapping would become text."""
    return [[partition, dict(fingerprints[partition])] for partition in sorted(fingerprints)]


def _scope(sources: PartitionSources) -> Scope:
    return tuple(sorted(sources.within.items()))


def _columns_digest(schema: TableSchema) -> str:
    """A digest of the columns: a partition of a table of other columns cannot be replaced."""
    text = json.dumps([[column.name, str(column.kind), column.nullable] for column in schema.columns])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _changed_inputs(recorded: Mapping[str, str], inputs: Mapping[str, str]) -> str:
    return ", ".join(name for name in {**inputs, **recorded} if recorded.get(name) != inputs.get(name))
