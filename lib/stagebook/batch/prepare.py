"""What a batch is going to do, all of it checked before anything starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from stagebook.batch.compare import goal_of
from stagebook.batch.expand import expand
from stagebook.batch.sharing import Keys, keys
from stagebook.errors import ConfigError, did_you_mean
from stagebook.model.batch import Batch, Configuration, Setting
from stagebook.model.pipeline import Pipeline
from stagebook.params import sweeps
from stagebook.params.findings import InvalidParameters
from stagebook.params.load import in_order, load, try_to_load
from stagebook.run.pipeline import Surface
from stagebook.run.request import RunRequest
from stagebook.storage import atomic, runs
from stagebook.storage.runbook import stamp

BATCH = "batch.json"


class SameTwice(ConfigError):
    """Two configurations differ in nothing that runs."""

    @classmethod
    def of(cls, sweep: str, one: int, other: int, selected: Sequence[str]) -> Self:
        return cls(
            f"{sweep}: configurations {one} and {other} differ in no parameter of a stage that runs.\n"
            f"  These run: {', '.join(selected)}. Vary what they declare, or widen `from`, `to` or `only`."
        )


class NoSuchBatch(ConfigError):
    """There is no batch of this id to go on with."""

    @classmethod
    def of(cls, batch_id: str, where: str, known: Sequence[str]) -> Self:
        return cls(
            f"there is no batch '{batch_id}' in {where}.{did_you_mean(batch_id, known)}\n"
            f"  the last batches: {', '.join(known[-3:]) or 'none'}"
        )


@dataclass(frozen=True)
class BatchRequest:
    """One call of `stagebook batch`.

    `sweep` names a sweep file; `run` is what all configurations ask for; `jobs` of them run at once. With `resume`, a
    batch id, that batch is gone on with, whatever the file says now. `batch_id` is the id of a new one.
    """

    sweep: str | None
    run: RunRequest
    jobs: int = 1
    resume: str | None = None
    batch_id: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A batch whose configurations are all valid: their requests, and the keys of their stages."""

    batch: Batch
    pipeline: Pipeline
    requests: dict[int, RunRequest]
    keys: Mapping[int, Keys]

    def to_text(self) -> str:
        """The configurations, and how many different results each of their stages has."""
        lines = [f"{one.n:>4}  {one.to_text()}" for one in self.batch.configurations]
        stages = list(dict.fromkeys(name for found in self.keys.values() for name in found))
        different = {name: len({found[name] for found in self.keys.values() if name in found}) for name in stages}
        width = max(map(len, stages))
        return "\n".join([*lines, "", *(f"{name:{width}}  at most {count} ×" for name, count in different.items())])


def prepare(request: BatchRequest, surface: Surface) -> Prepared:
    """Read and check everything; nothing is started or written.

    Raises:
        InvalidParameters: with what is wrong with the sweep, or with any configuration, each with its place.
        ConfigError: there is no such file, metric or batch; or two configurations are the same.
    """
    if request.resume is not None:
        return _resumed(request, surface)
    if request.sweep is None:
        raise ConfigError("--sweep is missing: name a sweep file, such as `--sweep train`.")
    sweep = sweeps.read(request.sweep, surface.cwd)
    common = replace(request.run, first=sweep.first, last=sweep.last, only=sweep.only)
    settings = dict(enumerate(expand(sweep), start=1))
    requests = {n: _request(common, found) for n, found in settings.items()}
    pipelines = _checked(requests, surface)
    first = next(iter(pipelines.values()))
    now = surface.clock()
    batch_id = request.batch_id or f"batch-{runs.new_run_id(now)}"
    width = len(str(len(settings)))
    batch = Batch(
        id=runs.folder(first.places.runs, batch_id).run_id,
        sweep=sweep.name,
        started_at=stamp(now),
        request=common.to_json(),
        goal=goal_of(sweep, first),
        configurations=tuple(
            Configuration(n, f"{batch_id}-{n:0{width}}", {one.name: one.value for one in found})
            for n, found in settings.items()
        ),
    )
    prepared = _prepared(batch, pipelines, requests)
    _all_different(sweep.file, prepared, pipelines)
    return prepared


def _resumed(request: BatchRequest, surface: Surface) -> Prepared:
    places = load(request.run.params, request.run.flags, surface.environ, surface.cwd).places
    file = runs.folder(places.runs, str(request.resume)).path / BATCH
    kept = atomic.read_json(file)
    if kept is None:
        known = sorted(path.parent.name for path in places.runs.glob(f"*/{BATCH}"))
        raise NoSuchBatch.of(str(request.resume), str(places.runs), known)
    batch = replace(Batch.from_json(kept), finished_at=None, exit_code=None)
    common = replace(RunRequest.from_json(batch.request), urgent_from=request.run.urgent_from)
    requests = {
        one.n: _request(common, [Setting(name, value, str(file)) for name, value in one.settings.items()])
        for one in batch.configurations
    }
    return _prepared(batch, _checked(requests, surface), requests)


def _prepared(batch: Batch, pipelines: dict[int, Pipeline], requests: dict[int, RunRequest]) -> Prepared:
    found = {n: keys(pipeline, requests[n]) for n, pipeline in pipelines.items()}
    return Prepared(batch, next(iter(pipelines.values())), requests, found)


def _request(common: RunRequest, settings: Sequence[Setting]) -> RunRequest:
    """The run of a configuration: what all ask for, and its settings, which win."""
    texts = tuple(one.text for one in settings)
    said = {one.text: one.where for one in settings}
    return replace(common, flags=replace(common.flags, parameters=(*common.flags.parameters, *texts), said_at=said))


def _checked(requests: dict[int, RunRequest], surface: Surface) -> dict[int, Pipeline]:
    """The pipeline of each configuration; what is wrong with several is told once."""
    pipelines: dict[int, Pipeline] = {}
    findings = []
    for n, one in requests.items():
        pipeline, wrong = try_to_load(one.params, one.flags, surface.environ, surface.cwd)
        findings += [finding for finding in wrong if finding not in findings]
        if pipeline is not None:
            pipelines[n] = pipeline
    if findings:
        raise InvalidParameters.of(in_order(findings))
    return pipelines


def _all_different(sweep: str, prepared: Prepared, pipelines: dict[int, Pipeline]) -> None:
    seen: dict[tuple[tuple[str, str], ...], int] = {}
    for n, found in prepared.keys.items():
        if (other := seen.setdefault(tuple(found.items()), n)) != n:
            raise SameTwice.of(sweep, other, n, list(found))
