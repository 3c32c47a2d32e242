"""What a sweep run is going to do, all of it checked before anything starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from stagebook import atomic
from stagebook.config import sweeps
from stagebook.config.findings import InvalidParameters, in_order
from stagebook.config.load import load, try_to_load
from stagebook.config.request import RunRequest
from stagebook.errors import ConfigError, did_you_mean
from stagebook.model.pipeline import Pipeline
from stagebook.model.sweep import Configuration, ParameterSetting, SweepRun
from stagebook.runner.environment import RunEnvironment
from stagebook.runs import folders
from stagebook.runs.folders import SWEEP_FILE
from stagebook.runs.recorder import stamp
from stagebook.sweeps.compare import objective_of
from stagebook.sweeps.expand import expand
from stagebook.sweeps.shared_stages import StageKeys, stage_keys


class EqualConfigurations(ConfigError):
    """Two configurations differ in nothing that runs."""

    @classmethod
    def of(cls, sweep: str, first: int, second: int, selected: Sequence[str]) -> Self:
        return cls(
            f"{sweep}: configurations {first} and {second} differ in no parameter of a stage that runs.\n"
            f"  These run: {', '.join(selected)}. Vary what they declare, or widen `from`, `to` or `only`."
        )


class NoSuchSweep(ConfigError):
    """There is no sweep run of this id to resume."""

    @classmethod
    def of(cls, sweep_id: str, where: str, existing: Sequence[str]) -> Self:
        return cls(
            f"there is no sweep run '{sweep_id}' in {where}.{did_you_mean(sweep_id, existing)}\n"
            f"  the last sweep runs: {', '.join(existing[-3:]) or 'none'}"
        )


@dataclass(frozen=True)
class SweepRequest:
    """One call of `stagebook sweep`.

    `sweep` names a sweep file; `run` is what all configurations ask for; `jobs` of them run at once. With `resume`, the
    id of a sweep run, that one goes on, whatever the file says now. `sweep_id` is the id of a new one.
    """

    sweep: str | None
    run: RunRequest
    jobs: int = 1
    resume: str | None = None
    sweep_id: str | None = None


@dataclass(frozen=True)
class PreparedSweep:
    """A sweep run whose configurations are all valid: their requests, and the keys of their stages."""

    sweep_run: SweepRun
    pipeline: Pipeline
    requests: dict[int, RunRequest]
    keys: Mapping[int, StageKeys]

    def to_text(self) -> str:
        """The configurations, and how many different results each of their stages has."""
        lines = [f"{configuration.n:>4}  {configuration.to_text()}" for configuration in self.sweep_run.configurations]
        stages = list(dict.fromkeys(name for keys in self.keys.values() for name in keys))
        counts = {name: len({keys[name] for keys in self.keys.values() if name in keys}) for name in stages}
        width = max(map(len, stages))
        return "\n".join([*lines, "", *(f"{name:{width}}  at most {count} ×" for name, count in counts.items())])


def prepare(request: SweepRequest, environment: RunEnvironment) -> PreparedSweep:
    """Read and check everything; nothing is started or written.

    Raises:
        InvalidParameters: with what is wrong with the sweep, or with any configuration, each with its place.
        ConfigError: there is no such file, metric or sweep run; or two configurations are the same.
    """
    if request.resume is not None:
        return _prepare_resumed(request, environment)
    if request.sweep is None:
        raise ConfigError("--sweep is missing: name a sweep file, such as `--sweep train`.")
    sweep = sweeps.read(request.sweep, environment.cwd)
    shared = replace(request.run, first=sweep.first, last=sweep.last, only=sweep.only)
    settings = dict(enumerate(expand(sweep), start=1))
    requests = {n: _configured(shared, own) for n, own in settings.items()}
    pipelines = _load_all(requests, environment)
    pipeline = next(iter(pipelines.values()))
    now = environment.clock()
    sweep_id = request.sweep_id or f"sweep-{folders.new_run_id(now)}"
    width = len(str(len(settings)))
    sweep_run = SweepRun(
        id=folders.folder(pipeline.paths.runs, sweep_id).run_id,
        sweep=sweep.name,
        started_at=stamp(now),
        request=shared.to_json(),
        objective=objective_of(sweep, pipeline),
        configurations=tuple(
            Configuration(n, f"{sweep_id}-{n:0{width}}", {setting.name: setting.value for setting in own})
            for n, own in settings.items()
        ),
    )
    prepared = _with_keys(sweep_run, pipelines, requests)
    _refuse_equal(sweep.file, prepared)
    return prepared


def _prepare_resumed(request: SweepRequest, environment: RunEnvironment) -> PreparedSweep:
    paths = load(request.run.params, request.run.flags, environment.environ, environment.cwd).paths
    file = folders.folder(paths.runs, str(request.resume)).path / SWEEP_FILE
    value = atomic.read_json(file)
    if value is None:
        existing = sorted(path.parent.name for path in paths.runs.glob(f"*/{SWEEP_FILE}"))
        raise NoSuchSweep.of(str(request.resume), str(paths.runs), existing)
    sweep_run = replace(SweepRun.from_json(value), finished_at=None, exit_code=None)
    shared = replace(RunRequest.from_json(sweep_run.request), urgent_from=request.run.urgent_from)
    requests = {
        configuration.n: _configured(
            shared, [ParameterSetting(name, setting, str(file)) for name, setting in configuration.settings.items()]
        )
        for configuration in sweep_run.configurations
    }
    return _with_keys(sweep_run, _load_all(requests, environment), requests)


def _with_keys(sweep_run: SweepRun, pipelines: dict[int, Pipeline], requests: dict[int, RunRequest]) -> PreparedSweep:
    keys = {n: stage_keys(pipeline, requests[n]) for n, pipeline in pipelines.items()}
    return PreparedSweep(sweep_run, next(iter(pipelines.values())), requests, keys)


def _configured(shared: RunRequest, settings: Sequence[ParameterSetting]) -> RunRequest:
    """The run of a configuration: what all ask for, and its own settings, which win."""
    parameters = (*shared.flags.parameters, *(setting.text for setting in settings))
    places = {setting.text: setting.where for setting in settings}
    return replace(shared, flags=replace(shared.flags, parameters=parameters, locations=places))


def _load_all(requests: dict[int, RunRequest], environment: RunEnvironment) -> dict[int, Pipeline]:
    """The pipeline of each configuration; a finding of several is reported once."""
    pipelines: dict[int, Pipeline] = {}
    findings = []
    for n, request in requests.items():
        pipeline, own_findings = try_to_load(request.params, request.flags, environment.environ, environment.cwd)
        findings += [finding for finding in own_findings if finding not in findings]
        if pipeline is not None:
            pipelines[n] = pipeline
    if findings:
        raise InvalidParameters.of(in_order(findings))
    return pipelines


def _refuse_equal(sweep: str, prepared: PreparedSweep) -> None:
    first_with: dict[tuple[tuple[str, str], ...], int] = {}
    for n, keys in prepared.keys.items():
        if (first := first_with.setdefault(tuple(keys.items()), n)) != n:
            raise EqualConfigurations.of(sweep, first, n, list(keys))
