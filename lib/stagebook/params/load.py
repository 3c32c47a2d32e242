"""The entrance: names of parameter files in, a checked `Pipeline` out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from stagebook.cost.rates import rate
from stagebook.errors import ConfigError
from stagebook.model.pipeline import Narrowed, Pipeline, Places, RetryPolicy, SparkSettings, Stage, Tracking
from stagebook.model.pricing import Budget, Market, PriceBook, Rate
from stagebook.params import checks, external, merge, notebooks, overrides, prices, structure
from stagebook.params.deployment import deployment
from stagebook.params.findings import Finding, InvalidParameters
from stagebook.params.notebooks import Notebook
from stagebook.params.spec import PipelineSpec, RetrySpec, StageSpec


@dataclass(frozen=True)
class Flags:
    """What the command line says on top of the parameter files.

    `said_at` tells of parameters that were written in a file where that was: `name=value` → `file:line`.
    """

    parameters: tuple[str, ...] = ()
    retries: int | None = None
    engine: str | None = None
    runs_dir: Path | None = None
    warehouse: Path | None = None
    max_cost: Decimal | None = None
    said_at: Mapping[str, str] = field(default_factory=dict)


def load(names: Sequence[str], flags: Flags, environ: Mapping[str, str], cwd: Path) -> Pipeline:
    """Read, merge and check parameter files; nothing is started or written.

    Args:
        names: paths, or names looked up in `params/`; later ones win.
        environ: `STAGEBOOK_PARAM_<NAME>`, `STAGEBOOK_RUNS_DIR` and `STAGEBOOK_WAREHOUSE` are read.
    Raises:
        InvalidParameters: with all findings at once.
        ConfigError: if a file is missing or is not YAML.
    """
    pipeline, findings = try_to_load(names, flags, environ, cwd)
    if pipeline is None:
        raise InvalidParameters.of(findings)
    return pipeline


def try_to_load(
    names: Sequence[str], flags: Flags, environ: Mapping[str, str], cwd: Path
) -> tuple[Pipeline | None, list[Finding]]:
    """The pipeline; or None and everything that is wrong with it, in the order of the files. Otherwise as `load`."""
    if not names:
        raise ConfigError("--params is missing: name a parameter file, such as `--params dev.yaml`.")
    merged, files = merge.read_layers(names, cwd)
    root = project_root(files[-1])
    spec, findings = structure.parse(merged, PipelineSpec)
    if spec is None:
        return None, in_order(findings)
    found, notebook_findings = notebooks.of_stages(spec, merged, root)
    findings += notebook_findings
    said = [(text, flags.said_at.get(text, f"-p {text}")) for text in flags.parameters]
    by_stage = {name: list(found[name].declared or ()) for name in spec.stages}
    findings += overrides.apply(merged, environ, said, by_stage)
    overridden, again = structure.parse(merged, PipelineSpec)
    findings += [finding for finding in again if finding not in findings]
    spec = overridden or spec
    left_out = frozenset(set(merged.values.get("stages", {})) - set(spec.stages))
    book, unreadable = prices.read(spec.cost.prices, merged, root)
    findings += unreadable
    subject = checks.Subject(spec, merged, found, left_out, book)
    findings += [finding for rule in checks.RULES for finding in rule(subject)]
    findings += external.check(spec, merged, root)
    if findings:
        return None, in_order(findings)
    return assemble(spec, found, book, root, files, flags, environ), []


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Findings by file and line."""

    def place(finding: Finding) -> tuple[str, int]:
        file, _, line = finding.where.rpartition(":")
        return (file, int(line)) if line.isdigit() else (finding.where, 0)

    return sorted(findings, key=place)


def project_root(file: Path) -> Path:
    """Paths in a parameter file count from the folder that holds `params/`, or from the file's own."""
    return file.parent.parent if file.parent.name == "params" else file.parent


def assemble(
    spec: PipelineSpec,
    found: Mapping[str, Notebook],
    book: PriceBook,
    root: Path,
    files: Sequence[Path],
    flags: Flags,
    environ: Mapping[str, str],
) -> Pipeline:
    """The pipeline of a spec whose stages have these notebooks. Nothing is checked."""
    places = _places(spec, root, flags, environ)
    shared = dict(spec.parameters)
    if spec.gate:
        shared[overrides.GATE] = [rule.model_dump(exclude_defaults=True) for rule in spec.gate]
    stages = {
        name: notebooks.as_guest(
            _stage(name, stage, spec.defaults, notebooks.reaching(shared, found[name]), root, flags),
            found[name],
            flags.engine or spec.tables.engine,
        )
        for name, stage in spec.stages.items()
    }
    return Pipeline(
        name=spec.pipeline,
        stages=stages,
        parameters=shared,
        places=places,
        tracking=_tracking(spec, places),
        engine=flags.engine or spec.tables.engine,
        spark=_spark(spec),
        notifications=spec.notifications.model_dump(),
        deployment=deployment(spec),
        params_files=tuple(_relative(file, root) for file in files),
        rates=_rates(spec, book),
        market=Market(book, prices.terms(spec.cost)),
        pools=dict(spec.pools),
        budget=_budget(spec, flags),
    )


def _budget(spec: PipelineSpec, flags: Flags) -> Budget:
    per_run = spec.budget.max_usd_per_run if flags.max_cost is None else flags.max_cost
    return Budget(per_run, spec.budget.max_usd_per_month)


def _rates(spec: PipelineSpec, book: PriceBook) -> dict[str, Rate]:
    found = {
        name: rate(name, prices.cluster(profile), prices.terms(spec.cost), book)
        for name, profile in spec.profiles.items()
    }
    return {name: priced for name, priced in found.items() if priced is not None}


def _spark(spec: PipelineSpec) -> SparkSettings:
    """One server serves all stages: it is as large, and waits as long, as the most demanding profile says."""
    profiles = [spec.profiles[stage.profile] for stage in spec.stages.values() if stage.profile]
    memory = [profile.driver_memory_gb for profile in profiles if profile.driver_memory_gb is not None]
    idle = [profile.autotermination_minutes for profile in profiles if profile.autotermination_minutes]
    return SparkSettings(
        remote=spec.spark.remote,
        driver_memory_gb=max(memory, default=None),
        idle_minutes=max(idle, default=SparkSettings.idle_minutes),
        conf=dict(spec.spark.conf),
    )


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _stage(
    name: str,
    spec: StageSpec,
    defaults: RetrySpec,
    shared: Mapping[str, Any],
    root: Path,
    flags: Flags,
) -> Stage:
    return Stage(
        name=name,
        notebook=(root / spec.notebook).resolve(),
        depends_on=tuple(dict.fromkeys(spec.depends_on)),
        parameters={**shared, **spec.parameters},
        reads=tuple(spec.reads),
        writes=tuple(spec.writes),
        retry=_retry(spec, defaults, flags.retries),
        run_if=spec.run_if,
        only_if=spec.only_if,
        profile=spec.profile,
        engine=flags.engine or spec.engine,
        work=tuple(spec.work),
        narrowed=_narrowed(spec),
        reuse=spec.reuse == "auto",
        kernel=spec.kernel or defaults.kernel or "auto",
        pools=dict(spec.pools),
    )


def _retry(spec: RetrySpec, defaults: RetrySpec, retries: int | None) -> RetryPolicy:
    def value(key: str, fallback: Any) -> Any:
        own = getattr(spec, key)
        return own if own is not None else next((v for v in (getattr(defaults, key),) if v is not None), fallback)

    timeout = value("timeout_seconds", 0)
    once = isinstance(spec, StageSpec) and spec.idempotent is False
    return RetryPolicy(
        max_retries=0 if once else retries if retries is not None else value("max_retries", 0),
        min_interval=timedelta(milliseconds=value("min_retry_interval_millis", 0)),
        timeout=timedelta(seconds=timeout) if timeout else None,
        retry_on_timeout=value("retry_on_timeout", False),
    )


def _narrowed(spec: StageSpec) -> dict[str, Narrowed]:
    return {
        name: Narrowed(None if read.columns is None else tuple(read.columns), tuple(read.where))
        for name, read in spec.reads.items()
        if read.columns or read.where
    }


def _places(spec: PipelineSpec, root: Path, flags: Flags, environ: Mapping[str, str]) -> Places:
    moved = flags.warehouse or environ.get("STAGEBOOK_WAREHOUSE")
    warehouse = Path(moved).absolute() if moved else root / spec.warehouse
    runs_dir = flags.runs_dir or environ.get("STAGEBOOK_RUNS_DIR")
    runs = Path(runs_dir).absolute() if runs_dir else root / spec.runs_dir
    own_tables = spec.tables.root is not None and not moved
    tables = root / str(spec.tables.root) if own_tables else warehouse / "tables"
    return Places(root.resolve(), runs.resolve(), warehouse.resolve(), tables.resolve(), external.folders(spec, root))


def _tracking(spec: PipelineSpec, places: Places) -> Tracking:
    uri = spec.tracking.uri or f"sqlite:///{places.warehouse / 'mlflow.db'}"
    artifacts = None if spec.tracking.uri else str(places.warehouse / "mlartifacts")
    return Tracking(uri, spec.tracking.experiment, spec.tracking.registered_model, artifacts)
