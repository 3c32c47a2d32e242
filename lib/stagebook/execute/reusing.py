"""Results of earlier runs: what a stage depends on now, whether a result still stands, and why not."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

from stagebook import reuse
from stagebook.code.cache import SourceCache
from stagebook.code.reach import Reach, Reached, own_roots
from stagebook.cost import bill
from stagebook.errors import ConfigError
from stagebook.execute import guests, left
from stagebook.execute.left import TableStates
from stagebook.model.pipeline import Pipeline, Stage
from stagebook.model.record import RunRecord
from stagebook.notebook.outline import outline
from stagebook.notebook.read import content
from stagebook.params.references import holds_reference, resolve
from stagebook.reuse import Ingredients, TableState
from stagebook.storage import atomic, results
from stagebook.storage.results import Kept
from stagebook.storage.runs import RunFolder

INGREDIENTS = ".ingredients.json"


class Earlier(Protocol):
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
class Found:
    """Why a stage runs; or, with `result` (fields of its record), where what stands for it comes from."""

    why: str
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Code:
    """What a stage's notebook does, declares and reaches, as of one moment."""

    cells: tuple[str, ...]
    defaults: Mapping[str, Any]
    reached: Reached


@dataclass(frozen=True)
class _Look:
    """What was read of notebooks and modules at one moment; stages that run at once share it, or take a newer one."""

    reach: Reach
    codes: dict[Path, Code] = field(default_factory=dict)


@dataclass(frozen=True)
class Begun:
    """What an attempt depends on, and the files that it names with their digests, as of its beginning."""

    ingredients: Ingredients
    files: Mapping[str, str]


class Results:
    """Decides for the stages of one run; what it reads of notebooks and modules it keeps until `look_again`."""

    def __init__(
        self,
        pipeline: Pipeline,
        tables: TableStates,
        earlier: Earlier,
        environment: Mapping[str, Any],
        cache: SourceCache,
    ) -> None:
        """Args: environment: what the run's record keeps of Python and its packages."""
        self.pipeline, self.tables, self.earlier = pipeline, tables, earlier
        self.environment, self.cache = environment, cache
        self.look_again()

    def look_again(self) -> None:
        """Forget what was read: notebooks and modules may have changed."""
        self._look = _Look(Reach(own_roots(), self.cache))

    def ingredients(self, stage: Stage, parameters: Mapping[str, Any], inputs: Mapping[str, int]) -> Ingredients:
        """What an attempt with these parameters and table versions depends on now."""
        code = self.code(stage)
        return Ingredients(
            stage=(self.pipeline.name, stage.name, str(self.pipeline.places.tables)),
            cells=code.cells,
            parameters={**code.defaults, **parameters},
            modules=code.reached.modules,
            engine=stage.engine or self.pipeline.engine,
            environment=self.environment["sha256"],
            tables={name: self._state(name, version) for name, version in sorted(inputs.items())},
        )

    def code(self, stage: Stage) -> Code:
        """What the stage's notebook does and reaches."""
        look, path = self._look, stage.notebook
        if path not in look.codes:
            found = self.cache.notebook(content(path), lambda: outline(path))
            look.codes[path] = Code(found.cells, found.defaults, look.reach.of(found.whole, path.parent))
        return look.codes[path]

    def may_call_mlflow(self, stage: Stage) -> bool:
        """Whether the notebook or the project's code below it may call MLflow by itself, not through `stage`."""
        imported = self.code(stage).reached.imported
        return imported is None or "mlflow" in imported or "mlflow" in content(stage.notebook)

    def _state(self, name: str, version: int) -> TableState:
        """A table whose log does not tell equals no other, not even itself."""
        return TableState(version, self.tables.identity(name, version) or f"unknown {uuid.uuid4().hex}")

    def find(self, stage: Stage, ingredients: Ingredients) -> Found:
        """The result that stands for a stage; or why the stage has to run."""
        kept = results.recall(self.pipeline.places.runs, ingredients.key)
        record = self.earlier.of(kept.run_id) if kept else None
        if kept is None or record is None or not _has(record, stage.name):
            return Found(self._what_changed(stage, ingredients))
        if gone := left.gone(stage, record, self.pipeline, self.tables, self._files(stage, ingredients)):
            return Found(gone)
        result = result_of(record, stage.name)
        origin = result["reuse"]["run_id"]
        return Found(
            f"accepted as of run {origin}" if kept.accepted else f"nothing has changed since run {origin}", result
        )

    def own_change(self, stage: Stage) -> str | None:
        """What has changed of a stage whose upstream stages run first; None where only these are in question."""
        before = self._before(stage)
        if before is None:
            return "no earlier result"
        waits = {name for name, value in stage.parameters.items() if holds_reference(value)}
        now = self.ingredients(stage, {k: v for k, v in stage.parameters.items() if k not in waits}, {})
        waits |= {name for name in before[0].parameters if guests.is_counted(name)}
        same = {name: before[0].parameters[name] for name in waits if name in before[0].parameters}
        now = replace(now, parameters={**now.parameters, **same}, tables=before[0].tables)
        return next(iter(reuse.differences(before[0], now, before[1])), None)

    def _what_changed(self, stage: Stage, ingredients: Ingredients) -> str:
        before = self._before(stage)
        if before is None:
            return "no earlier result"
        found = reuse.differences(before[0], ingredients, before[1])
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return f"{found[0]}{more}" if found else "its last result was not kept as current"

    def _before(self, stage: Stage) -> tuple[Ingredients, reuse.Packages] | None:
        """What the newest result of a stage depended on, if there is one that tells."""
        record = next((one for one in self.earlier if _has(one, stage.name)), None)
        if record is None:
            return None
        kept = record.stages[stage.name].reuse
        folder = RunFolder(self.pipeline.places.runs / kept["run_id"])
        value = atomic.read_json(folder.attempt(stage.name, kept["attempt"], INGREDIENTS))
        if value is None:
            return None
        return Ingredients.from_json(value), reuse.Packages(_packages(record), dict(self.environment["packages"]))

    def _files(self, stage: Stage, ingredients: Ingredients) -> dict[str, str]:
        return left.files(stage, self.code(stage).reached.files, ingredients.parameters)

    def began(self, stage: Stage, parameters: Mapping[str, Any], inputs: Mapping[str, int], path: Path) -> Begun:
        """What an attempt that begins now depends on; also kept at `path`, beside its notebook."""
        self.look_again()
        ingredients = self.ingredients(stage, parameters, inputs)
        atomic.write_json(path, ingredients.to_json())
        return Begun(ingredients, self._files(stage, ingredients))

    def ended(
        self,
        stage: Stage,
        begun: Begun,
        origin: tuple[str, int],
        registry: Path,
        outputs: Mapping[str, int],
    ) -> dict[str, Any]:
        """What a later run needs to take the result of an attempt that has succeeded.

        `key` is None where code or files changed while it ran: nobody can say which of both it has used.
        """
        self.look_again()
        ingredients, after = begun.ingredients, self._files(stage, begun.ingredients)
        now = replace(self.ingredients(stage, {}, {}), parameters=ingredients.parameters, tables=ingredients.tables)
        steady = now.key == ingredients.key and all(after.get(name) == digest for name, digest in begun.files.items())
        return {
            "key": ingredients.key if steady else None,
            "run_id": origin[0],
            "attempt": origin[1],
            "outputs": {name: self.tables.identity(name, version) for name, version in outputs.items()},
            "files": after,
            "registry": atomic.read_json(registry),
        }

    def remember(self, reused: Mapping[str, Any], run_id: str) -> None:
        """From now on this run has the result."""
        if reused.get("key"):
            results.remember(self.pipeline.places.runs, reused["key"], Kept(run_id))

    def accept(self, stage: Stage, tables: Mapping[str, int]) -> tuple[str, str | None]:
        """Take the newest result of a stage for current, whatever has changed since.

        Args:
            tables: the newest version of each table, for those that no upstream result names.
        Returns:
            The run that has it, and what had changed (None: nothing).
        Raises:
            NothingToAccept: no run has a result of it.
        """
        record = next((one for one in self.earlier if _has(one, stage.name)), None)
        if record is None:
            raise NothingToAccept.of(stage.name, str(self.pipeline.places.runs))
        parameters = resolve(dict(stage.parameters), lambda up, scrap: record.stages[up].scraps.get(scrap))
        outputs = [record.stages[name].outputs for name in makers(self.pipeline, stage) if name in record.stages]
        values = guests.task_values(stage, self.pipeline.stages, lambda up: _scraps(record, up))
        counted = {**parameters, **guests.counted(values)}
        ingredients = self.ingredients(stage, counted, versions_read(stage, tables, outputs))
        before = self._before(stage)
        changes = (
            reuse.differences(before[0], ingredients, before[1]) if before else ["what it depended on is not kept"]
        )
        if changes:
            results.remember(self.pipeline.places.runs, ingredients.key, Kept(record.run_id, accepted=True))
        return record.run_id, ", ".join(changes) or None


def makers(pipeline: Pipeline, stage: Stage) -> list[str]:
    """The stages that write a table which this one reads, in their order."""
    reads = set(stage.reads)
    return [name for name, other in pipeline.stages.items() if not reads.isdisjoint(other.writes)] if reads else []


def versions_read(stage: Stage, otherwise: Mapping[str, int], outputs: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The version of each table that a stage reads: of the last output that has it, else as given."""
    versions = {name: version for name, version in otherwise.items() if name in stage.reads}
    for made in outputs:
        versions |= {name: output["version"] for name, output in made.items() if name in stage.reads}
    return versions


def _has(record: RunRecord, stage: str) -> bool:
    found = record.stages.get(stage)
    return found is not None and found.status.done and bool(found.reuse)


def _scraps(record: RunRecord, stage: str) -> Mapping[str, Any]:
    return record.stages[stage].scraps if stage in record.stages else {}


def result_of(record: RunRecord, stage: str) -> dict[str, Any]:
    """What a stage of a run has left, and what it would cost to make it again."""
    found = record.stages[stage]
    return {**found.result, "saved_usd": bill.worth(record, found)}


def _packages(record: RunRecord) -> dict[str, str]:
    return {"python": record.environment.get("python", ""), **record.environment.get("packages", {})}
