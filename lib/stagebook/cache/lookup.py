"""Cache lookups: the key of a stage's result as of now, the earlier run that has it, or why the stage has to run."""

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

from stagebook import atomic
from stagebook.cache import index, validity
from stagebook.cache.explain import Packages, differences
from stagebook.cache.files import named_files
from stagebook.cache.index import CachedResult
from stagebook.cache.key import CacheKeyInputs, TableState
from stagebook.cache.observed import ACCESS, AccessReport, changes, current_digests, observe
from stagebook.cache.sources.parse import file_names
from stagebook.cache.sources.source import Unknown, UnknownKind, digest_of
from stagebook.cache.sources.store import SourceCache
from stagebook.cache.stage_code import CodeReader
from stagebook.cache.validity import AliasLookup, TableStates
from stagebook.config import dbutils_inputs
from stagebook.config.references import holds_reference, resolve
from stagebook.costs import bill
from stagebook.errors import ConfigError
from stagebook.model.context import REGISTRY
from stagebook.model.pipeline import Pipeline, Stage
from stagebook.model.record import RunRecord
from stagebook.runs.folders import RunFolder

KEY_INPUTS = ".key.json"
"""Suffix of the file beside an attempt's notebook that holds what the attempt's key was made of."""


NO_RESULT = "no earlier result"
"""Why a stage runs for the first time."""


class RunHistory(Protocol):
    """Records of the runs of a pipeline, loaded as they are asked for."""

    def __iter__(self) -> Iterator[RunRecord]:
        """Newest first."""
        ...

    def comparable(self) -> Iterator[RunRecord]:
        """Newest first: ordinary runs, and those of the sweep that the present run belongs to."""
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
    """A hit with the `result` (fields of a stage's record), or a miss; `reason` says why, `more` what else differs."""

    reason: str
    result: Mapping[str, Any] | None = None
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttemptSnapshot:
    """What an attempt depends on, and the files that it names with their digests, as of its beginning."""

    key_inputs: CacheKeyInputs
    files: Mapping[str, str]


@dataclass(frozen=True)
class _NewestKey:
    """What the key of a stage's newest result was made of; `changed` is what changed while it was computed."""

    key_inputs: CacheKeyInputs
    packages: Packages
    changed: str | None


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
            variables={name: _variable(name) for name in self._variables(stage)},
            tables={name: self._table_state(name, version) for name, version in sorted(versions.items())},
        )

    def look_up(self, stage: Stage, key_inputs: CacheKeyInputs) -> CacheLookup:
        """The earlier result with this key, if it still holds; or why the stage has to run."""
        cached = index.recall(self.pipeline.paths.runs, key_inputs.key)
        record = self.history.of(cached.run_id) if cached else None
        if cached is None or record is None or not _has_result(record, stage.name):
            reason, *more = self._miss_reasons(stage, key_inputs)
            return CacheLookup(reason, more=tuple(more))
        changed_files = self._changed_files(stage, key_inputs, record, cached)
        invalid = validity.invalid_reason(stage, record, self.pipeline, self._tables, self._aliases, changed_files)
        if invalid is None and not cached.accepted:
            invalid = self._unknown(stage, record)
        if invalid is not None:
            return CacheLookup(invalid)
        result = recorded_result(record, stage.name)
        origin = result["reuse"]["run_id"]
        accepted, unchanged = f"accepted as of run {origin}", f"nothing has changed since run {origin}"
        return CacheLookup(accepted if cached.accepted else unchanged, result)

    def own_changes(self, stage: Stage) -> list[str]:
        """What has changed of a stage whose upstream stages run first; nothing where only these are in question."""
        newest = self._newest_key(stage)
        if newest is None:
            return [NO_RESULT]
        before = newest.key_inputs
        unresolved = {name for name, value in stage.parameters.items() if holds_reference(value)}
        settled = {name: value for name, value in stage.parameters.items() if name not in unresolved}
        now = self.key_inputs(stage, settled, {})
        unresolved |= {name for name in before.parameters if dbutils_inputs.is_task_value(name)}
        unchanged = {name: before.parameters[name] for name in unresolved if name in before.parameters}
        now = replace(now, parameters={**now.parameters, **unchanged}, tables=before.tables)
        return differences(before, now, newest.packages)

    def begin_attempt(
        self, stage: Stage, parameters: Mapping[str, Any], versions: Mapping[str, int], path: Path
    ) -> AttemptSnapshot:
        """What an attempt that begins now depends on; also written to `path`, beside its notebook."""
        self.code.refresh()
        key_inputs = self.key_inputs(stage, parameters, versions)
        with suppress(OSError):  # a full disk costs an explanation later
            atomic.write_json(path, key_inputs.to_json())
        return AttemptSnapshot(key_inputs, self._named_files(stage, key_inputs))

    def end_attempt(
        self, stage: Stage, snapshot: AttemptSnapshot, folder: RunFolder, n: int, outputs: Mapping[str, int]
    ) -> dict[str, Any]:
        """What a later run needs to take the result of an attempt that has succeeded.

        `key` is None where code or files changed while it ran: nobody can say which of both it has used.

        Args:
            folder: of the run.
            n: the attempt's number.
            outputs: the versions that it committed, by table.
        """
        self.code.refresh()
        begun, files = snapshot.key_inputs, self._named_files(stage, snapshot.key_inputs)
        ended = replace(self.key_inputs(stage, {}, {}), parameters=begun.parameters, tables=begun.tables)
        changed = [f"file `{name}`" for name, digest in snapshot.files.items() if files.get(name) != digest]
        changed += [] if ended.key == begun.key else ["its code"]
        report = AccessReport.read(folder.attempt(stage.name, n, ACCESS))
        observed = report and observe(
            report, stage.notebook.parent, self.code.read(stage.notebook).reached.paths, self.code.digest
        )
        return {
            "key": None if changed else begun.key,
            "changed": changed[0] if changed else None,
            "run_id": folder.run_id,
            "attempt": n,
            "outputs": {name: self._tables.identity(name, version) for name, version in outputs.items()},
            "files": files,
            "observed": observed and dict(observed.digests),
            "unknown": [list(item) for item in observed.unknown] if observed else None,
            "registry": atomic.read_json(folder.attempt(stage.name, n, REGISTRY)),
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
        reasons = ["what it depended on was not recorded"]
        if newest is not None:
            reasons = differences(newest.key_inputs, key_inputs, newest.packages)
        reasons += self._changed_files(stage, key_inputs, record, CachedResult(record.run_id))
        if not reasons and (unknown := self._unknown(stage, record)):
            reasons = [unknown]
        if reasons:
            observed = record.stages[stage.name].reuse.get("observed")
            accepted = CachedResult(
                record.run_id,
                accepted=True,
                files=self._named_files(stage, key_inputs),
                observed=None if observed is None else current_digests(observed, self.code.digest),
            )
            index.remember(self.pipeline.paths.runs, key_inputs.key, accepted)
        return record.run_id, ", ".join(reasons) or None

    def _table_state(self, name: str, version: int) -> TableState:
        """A table whose log does not tell its content equals no other, not even itself."""
        return TableState(version, self._tables.identity(name, version) or f"unknown {uuid.uuid4().hex}")

    def _miss_reasons(self, stage: Stage, key_inputs: CacheKeyInputs) -> list[str]:
        newest = self._newest_key(stage)
        if newest is None:
            return [NO_RESULT]
        if reasons := differences(newest.key_inputs, key_inputs, newest.packages):
            return reasons
        return [f"{newest.changed} changed while it ran" if newest.changed else "its last result is no longer indexed"]

    def _newest_record(self, stage: Stage) -> RunRecord | None:
        """The newest record with a result of the stage: of an ordinary run, if there is one."""
        for records in (self.history.comparable(), self.history):
            if (record := next((record for record in records if _has_result(record, stage.name)), None)) is not None:
                return record
        return None

    def _newest_key(self, stage: Stage) -> _NewestKey | None:
        """What the key of the stage's newest result was made of, if that was recorded."""
        record = self._newest_record(stage)
        if record is None:
            return None
        reusable = record.stages[stage.name].reuse
        folder = RunFolder(self.pipeline.paths.runs / reusable["run_id"])
        value = atomic.readable_json(folder.attempt(stage.name, reusable["attempt"], KEY_INPUTS))
        try:
            key_inputs = CacheKeyInputs.from_json(value or {})
        except (AttributeError, LookupError, TypeError, ValueError):  # lost, or damaged
            return None
        packages = Packages(_packages(record), dict(self.environment["packages"]))
        return _NewestKey(key_inputs, packages, reusable.get("changed"))

    def _named_files(self, stage: Stage, key_inputs: CacheKeyInputs) -> dict[str, str]:
        reached, parameters = self.code.read(stage.notebook).reached, key_inputs.parameters
        names = {*reached.files, *file_names(dict(parameters))}
        declared = named_files(self.pipeline.paths.root, (), stage.depends_on_files, {})
        return named_files(stage.notebook.parent, names, reached.folders, parameters) | declared

    def _changed_files(
        self, stage: Stage, key_inputs: CacheKeyInputs, record: RunRecord, cached: CachedResult
    ) -> Iterator[str]:
        """What has changed of the files that the stage names, and of what it was seen to ask for."""
        reuse = record.stages[stage.name].reuse
        files = reuse["files"] if cached.files is None else cached.files
        yield from validity.file_changes(files, self._named_files(stage, key_inputs))
        observed = (reuse.get("observed") if cached.observed is None else cached.observed) or {}
        yield from changes(observed, current_digests(observed, self.code.digest))

    def _variables(self, stage: Stage) -> list[str]:
        return sorted({*self.code.read(stage.notebook).reached.environment, *(stage.reads_environment or ())})

    def _unknown(self, stage: Stage, record: RunRecord) -> str | None:
        """Why nobody can tell whether a result would be the same today; None if that can be told, or is vouched for."""
        if stage.reuse == "trusted":
            return None
        observed = record.stages[stage.name].reuse.get("unknown")
        unknown = list(self.code.read(stage.notebook).reached.unknown)
        if observed is None:
            unknown.append(Unknown(UnknownKind.FILES, "its kernel does not report what it opens"))
        else:
            unknown = [item for item in unknown if item.kind is not UnknownKind.FILES]
            unknown += [Unknown(UnknownKind(kind), text, place) for kind, text, place in observed]
        settled = set[UnknownKind]()
        if stage.depends_on_files:
            settled |= {UnknownKind.FILES, UnknownKind.OPAQUE_FILES}
        if stage.reads_environment is not None:
            settled.add(UnknownKind.ENVIRONMENT)
        reasons = [str(item) for item in unknown if item.kind not in settled]
        return f"cannot be told: {reasons[0]}" if reasons else None


def _variable(name: str) -> str:
    """A digest of an environment variable's value, which may be a secret; empty if it is not set."""
    value = os.environ.get(name)
    return "" if value is None else digest_of(value)


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
