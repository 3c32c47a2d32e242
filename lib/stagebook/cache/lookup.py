"""Cache lookups: the key of a stage's result as of now, the earlier run that has it, or why the stage has to run."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

from stagebook import atomic
from stagebook.cache import index, validity
from stagebook.cache.explain import Packages, differences
from stagebook.cache.index import CachedResult
from stagebook.cache.key import CacheKeyInputs, TableState
from stagebook.cache.sources.store import SourceCache
from stagebook.cache.stage_code import CodeReader
from stagebook.cache.validity import AliasLookup, TableStates
from stagebook.config import dbutils_inputs
from stagebook.config.references import holds_reference, resolve
from stagebook.costs import bill
from stagebook.errors import ConfigError
from stagebook.model.pipeline import Pipeline, Stage
from stagebook.model.record import RunRecord
from stagebook.runs.folders import RunFolder

KEY_INPUTS = ".key.json"
"""Suffix of the file beside an attempt's notebook that holds what the attempt's key was made of."""


class RunHistory(Protocol):
    """Records of the runs of a pipeline, loaded as they are asked for."""

    def __iter__(self) -> Iterator[RunRecord]:
        """Newest first."""
        ...

    def of(self, run_id: str) -> RunRecord | None:
        """The record of one run, if it is still there."""
        ...


class NothingToAccept(ConfigError):
    """A stage has no result that could be taken for current."""

    @classmethod
    def of(cls, stage: str, where: str) -> Self:
        return cls(f"no run in {where} has a finished result of stage '{stage}'.\n  Run it once.")


@dataclass(frozen=True)
class CacheLookup:
    """A hit with the `result` (fields of a stage's record), or a miss; `reason` says why."""

    reason: str
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class AttemptSnapshot:
    """What an attempt depends on, and the files that it names with their digests, as of its beginning."""

    key_inputs: CacheKeyInputs
    files: Mapping[str, str]


class ResultCache:
    """Results of earlier runs, looked up for the stages of one run.

    Args:
        tables: the pipeline's tables, of which only logs and file names are read.
        history: the other runs of the pipeline.
        environment: what a run's record keeps of Python and its packages.
        sources: what was parsed before.
        aliases: asks the model registry what its aliases point to.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        tables: TableStates,
        history: RunHistory,
        environment: Mapping[str, Any],
        sources: SourceCache,
        aliases: AliasLookup,
    ) -> None:
        self.pipeline, self.history, self.environment = pipeline, history, environment
        self.code = CodeReader(sources)
        self._tables, self._aliases = tables, aliases

    def key_inputs(self, stage: Stage, parameters: Mapping[str, Any], versions: Mapping[str, int]) -> CacheKeyInputs:
        """What an attempt with these parameters and table versions would depend on now."""
        code = self.code.read(stage.notebook)
        return CacheKeyInputs(
            stage=(self.pipeline.name, stage.name, str(self.pipeline.paths.tables)),
            cells=code.cells,
            parameters={**code.defaults, **parameters},
            modules=code.reached.modules,
            engine=stage.engine or self.pipeline.engine,
            environment=self.environment["sha256"],
            tables={name: self._table_state(name, version) for name, version in sorted(versions.items())},
        )

    def look_up(self, stage: Stage, key_inputs: CacheKeyInputs) -> CacheLookup:
        """The earlier result with this key, if it still holds; or why the stage has to run."""
        cached = index.recall(self.pipeline.paths.runs, key_inputs.key)
        record = self.history.of(cached.run_id) if cached else None
        if cached is None or record is None or not _has_result(record, stage.name):
            return CacheLookup(self._miss_reason(stage, key_inputs))
        files = self._named_files(stage, key_inputs)
        if invalid := validity.invalid_reason(stage, record, self.pipeline, self._tables, files, self._aliases):
            return CacheLookup(invalid)
        result = recorded_result(record, stage.name)
        origin = result["reuse"]["run_id"]
        accepted, unchanged = f"accepted as of run {origin}", f"nothing has changed since run {origin}"
        return CacheLookup(accepted if cached.accepted else unchanged, result)

    def own_change(self, stage: Stage) -> str | None:
        """What has changed of a stage whose upstream stages run first; None where only these are in question."""
        newest = self._newest_key(stage)
        if newest is None:
            return "no earlier result"
        before, packages = newest
        unresolved = {name for name, value in stage.parameters.items() if holds_reference(value)}
        settled = {name: value for name, value in stage.parameters.items() if name not in unresolved}
        now = self.key_inputs(stage, settled, {})
        unresolved |= {name for name in before.parameters if dbutils_inputs.is_task_value(name)}
        unchanged = {name: before.parameters[name] for name in unresolved if name in before.parameters}
        now = replace(now, parameters={**now.parameters, **unchanged}, tables=before.tables)
        return next(iter(differences(before, now, packages)), None)

    def begin_attempt(
        self, stage: Stage, parameters: Mapping[str, Any], versions: Mapping[str, int], path: Path
    ) -> AttemptSnapshot:
        """What an attempt that begins now depends on; also written to `path`, beside its notebook."""
        self.code.refresh()
        key_inputs = self.key_inputs(stage, parameters, versions)
        atomic.write_json(path, key_inputs.to_json())
        return AttemptSnapshot(key_inputs, self._named_files(stage, key_inputs))

    def end_attempt(
        self,
        stage: Stage,
        snapshot: AttemptSnapshot,
        origin: tuple[str, int],
        registry_usage: Path,
        outputs: Mapping[str, int],
    ) -> dict[str, Any]:
        """What a later run needs to take the result of an attempt that has succeeded.

        `key` is None where code or files changed while it ran: nobody can say which of both it has used.

        Args:
            origin: run id and number of the attempt.
            registry_usage: the file in which the attempt noted how it used the model registry.
            outputs: the versions that it committed, by table.
        """
        self.code.refresh()
        begun, files = snapshot.key_inputs, self._named_files(stage, snapshot.key_inputs)
        ended = replace(self.key_inputs(stage, {}, {}), parameters=begun.parameters, tables=begun.tables)
        same_files = all(files.get(name) == digest for name, digest in snapshot.files.items())
        return {
            "key": begun.key if ended.key == begun.key and same_files else None,
            "run_id": origin[0],
            "attempt": origin[1],
            "outputs": {name: self._tables.identity(name, version) for name, version in outputs.items()},
            "files": files,
            "registry": atomic.read_json(registry_usage),
        }

    def remember(self, reusable: Mapping[str, Any], run_id: str) -> None:
        """From now on this run has the result."""
        if reusable.get("key"):
            index.remember(self.pipeline.paths.runs, reusable["key"], CachedResult(run_id))

    def accept(self, stage: Stage, newest_versions: Mapping[str, int]) -> tuple[str, str | None]:
        """Take the newest result of a stage for current, whatever has changed since.

        Args:
            newest_versions: the newest version of each table, for those that no upstream result names.
        Returns:
            The run that has it, and what had changed (None: nothing).
        Raises:
            NothingToAccept: no run has a result of it.
        """
        record = self._newest_record(stage)
        if record is None:
            raise NothingToAccept.of(stage.name, str(self.pipeline.paths.runs))
        parameters = resolve(dict(stage.parameters), lambda up, scrap: record.stages[up].scraps.get(scrap))
        writers = writers_of_inputs(self.pipeline, stage)
        outputs = [record.stages[name].outputs for name in writers if name in record.stages]
        values = dbutils_inputs.task_values(stage, self.pipeline.stages, lambda up: _scraps(record, up))
        counted = {**parameters, **dbutils_inputs.as_parameters(values)}
        key_inputs = self.key_inputs(stage, counted, versions_read(stage, newest_versions, outputs))
        newest = self._newest_key(stage)
        changes = differences(newest[0], key_inputs, newest[1]) if newest else ["what it depended on was not recorded"]
        if changes:
            index.remember(self.pipeline.paths.runs, key_inputs.key, CachedResult(record.run_id, accepted=True))
        return record.run_id, ", ".join(changes) or None

    def _table_state(self, name: str, version: int) -> TableState:
        """A table whose log does not tell its content equals no other, not even itself."""
        return TableState(version, self._tables.identity(name, version) or f"unknown {uuid.uuid4().hex}")

    def _miss_reason(self, stage: Stage, key_inputs: CacheKeyInputs) -> str:
        newest = self._newest_key(stage)
        if newest is None:
            return "no earlier result"
        changes = differences(newest[0], key_inputs, newest[1])
        remainder = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
        return f"{changes[0]}{remainder}" if changes else "its last result was not kept as current"

    def _newest_record(self, stage: Stage) -> RunRecord | None:
        return next((record for record in self.history if _has_result(record, stage.name)), None)

    def _newest_key(self, stage: Stage) -> tuple[CacheKeyInputs, Packages] | None:
        """What the key of the stage's newest result was made of, if that was recorded."""
        record = self._newest_record(stage)
        if record is None:
            return None
        reusable = record.stages[stage.name].reuse
        folder = RunFolder(self.pipeline.paths.runs / reusable["run_id"])
        value = atomic.read_json(folder.attempt(stage.name, reusable["attempt"], KEY_INPUTS))
        if value is None:
            return None
        return CacheKeyInputs.from_json(value), Packages(_packages(record), dict(self.environment["packages"]))

    def _named_files(self, stage: Stage, key_inputs: CacheKeyInputs) -> dict[str, str]:
        named = self.code.read(stage.notebook).reached.files
        return validity.named_files(stage, named, key_inputs.parameters)


def writers_of_inputs(pipeline: Pipeline, stage: Stage) -> list[str]:
    """The stages that write a table which this one reads, in their order."""
    reads = set(stage.reads)
    return [name for name, other in pipeline.stages.items() if not reads.isdisjoint(other.writes)] if reads else []


def versions_read(stage: Stage, otherwise: Mapping[str, int], outputs: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The version of each table that a stage reads: of the last output that has it, else as in `otherwise`."""
    versions = {name: version for name, version in otherwise.items() if name in stage.reads}
    for tables in outputs:
        versions |= {name: output["version"] for name, output in tables.items() if name in stage.reads}
    return versions


def recorded_result(record: RunRecord, stage: str) -> dict[str, Any]:
    """What a stage of a run left behind, and what it would cost to make it again."""
    return {**record.stages[stage].result, "saved_usd": bill.result_cost_usd(record, record.stages[stage])}


def _has_result(record: RunRecord, stage: str) -> bool:
    return stage in record.stages and record.stages[stage].status.done and bool(record.stages[stage].reuse)


def _scraps(record: RunRecord, stage: str) -> Mapping[str, Any]:
    return record.stages[stage].scraps if stage in record.stages else {}


def _packages(record: RunRecord) -> dict[str, str]:
    return {"python": record.environment.get("python", ""), **record.environment.get("packages", {})}
