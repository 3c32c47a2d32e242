"""The entrance: names of parameter files in, a checked `Pipeline` out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from stagebook.config import checks, merge, notebooks, prices, structure
from stagebook.config.deployment import deployment
from stagebook.config.findings import Finding, InvalidParameters, in_order
from stagebook.config.flags import GATE, Flags, override_parameters
from stagebook.config.kernels import KernelChoice
from stagebook.config.notebooks import NotebookInterface
from stagebook.config.shadowing import hidden_libraries
from stagebook.config.spec import PipelineSpec, RetrySpec, StageSpec
from stagebook.costs.rates import rate
from stagebook.errors import ConfigError
from stagebook.model.pipeline import Paths, Pipeline, RetryPolicy, SparkSettings, Stage, TableRead, Tracking
from stagebook.model.pricing import Budget, Market, PriceBook, Rate


@dataclass(frozen=True)
class PipelineParts:
    """Everything that a pipeline is assembled from. Paths in `spec` count from `root`; `files` are parameter files."""

    spec: PipelineSpec
    notebooks: Mapping[str, NotebookInterface]
    book: PriceBook
    root: Path
    files: Sequence[Path] = ()


def load(
    names: Sequence[str], flags: Flags, environ: Mapping[str, str], cwd: Path, *, keep_going: bool = False
) -> Pipeline:
    """Read, merge and check parameter files; nothing is started or written.

    Args:
        names: paths, or names of files in `params/`; later ones win.
        environ: `STAGEBOOK_PARAM_<NAME>`, `STAGEBOOK_RUNS_DIR` and `STAGEBOOK_WAREHOUSE` are read.
        keep_going: a finding that only fails its own stage is a warning.
    Raises:
        InvalidParameters: with all findings at once.
        ConfigError: if a file is missing or is not YAML.
    """
    pipeline, findings = try_to_load(names, flags, environ, cwd, keep_going=keep_going)
    if pipeline is None:
        raise InvalidParameters.of(findings)
    return pipeline


def try_to_load(
    names: Sequence[str], flags: Flags, environ: Mapping[str, str], cwd: Path, *, keep_going: bool = False
) -> tuple[Pipeline | None, list[Finding]]:
    """The pipeline; or None and all findings, in the order of the files. Otherwise as `load`."""
    if not names:
        raise ConfigError("no parameter file is named: take one of those in params/, such as `dev.yaml`.")
    merged, files = merge.read_layers(names, cwd)
    root = project_root(files[-1])
    file_spec, findings = structure.parse(merged, PipelineSpec)
    if file_spec is None:
        return None, in_order(findings)
    interfaces, notebook_findings = notebooks.read_interfaces(file_spec, merged, root)
    findings += notebook_findings
    declared = {name: interfaces[name].declared for name in file_spec.stages}
    texts = [name for name in file_spec.stages if interfaces[name].accepts_all]
    findings += override_parameters(merged, environ, flags, declared, texts)
    overridden_spec, override_findings = structure.parse(merged, PipelineSpec)
    findings += [finding for finding in override_findings if finding not in findings]
    spec = overridden_spec or file_spec
    malformed = frozenset(set(merged.values.get("stages", {})) - set(spec.stages))
    book, price_findings = prices.read(spec.cost.prices, merged, root)
    findings += price_findings
    chosen = KernelChoice(spec, interfaces, flags.kernel_name)
    subject = checks.CheckSubject(spec, merged, interfaces, malformed, book, root, chosen)
    findings += [finding for rule in checks.RULES for finding in rule(subject)]
    tolerated = [finding for finding in findings if keep_going and finding.fails_its_stage]
    if len(tolerated) < len(findings):
        return None, in_order(findings)
    pipeline = assemble(PipelineParts(spec, interfaces, book, root, files), flags, environ)
    findings = list(_files_for_folders(pipeline.paths, merged, flags, environ))
    if findings:
        return None, findings
    warnings = [*map(str, in_order(tolerated)), *hidden_libraries(dict.fromkeys(subject.notebook_files))]
    return replace(pipeline, warnings=tuple(warnings)), []


def project_root(file: Path) -> Path:
    """Paths in a parameter file count from the folder that holds `params/`, or from the file's own."""
    return file.parent.parent if file.parent.name == "params" else file.parent


def assemble(parts: PipelineParts, flags: Flags, environ: Mapping[str, str]) -> Pipeline:
    """The pipeline of a spec and its notebooks. Nothing is checked."""
    spec = parts.spec
    paths = _paths(spec, parts.root, flags, environ)
    engine = flags.engine or spec.tables.engine
    kernels = KernelChoice(spec, parts.notebooks, flags.kernel_name)
    shared = dict(spec.parameters)
    if spec.gate:
        shared[GATE] = [rule.model_dump(exclude_defaults=True) for rule in spec.gate]
    stages = {}
    for name, stage_spec in spec.stages.items():
        notebook = parts.notebooks[name]
        accepted = notebooks.accepted_parameters(shared, notebook)
        stage = _stage(name, stage_spec, spec.defaults, accepted, parts.root, flags)
        stage = replace(stage, kernel_name=kernels.override(name), own_environment=kernels.is_own(name))
        stages[name] = notebooks.with_dbutils_inputs(stage, notebook, engine)
    return Pipeline(
        name=spec.pipeline,
        stages=stages,
        parameters=shared,
        paths=paths,
        tracking=_tracking(spec, paths),
        engine=engine,
        spark=_spark(spec),
        notifications=spec.notifications.model_dump(),
        deployment=deployment(spec),
        params_files=tuple(merge.display_path(file, parts.root) for file in parts.files),
        rates=_rates(spec, parts.book),
        market=Market(parts.book, prices.terms(spec.cost)),
        pools=dict(spec.pools),
        budget=_budget(spec, flags),
    )


def _budget(spec: PipelineSpec, flags: Flags) -> Budget:
    per_run = spec.budget.max_usd_per_run if flags.max_cost is None else flags.max_cost
    return Budget(per_run, spec.budget.max_usd_per_month)


def _rates(spec: PipelineSpec, book: PriceBook) -> dict[str, Rate]:
    rates = {
        name: rate(name, prices.cluster(profile), prices.terms(spec.cost), book)
        for name, profile in spec.profiles.items()
    }
    return {name: priced for name, priced in rates.items() if priced is not None}


def _spark(spec: PipelineSpec) -> SparkSettings:
    """One server serves all stages: it has the largest memory and the longest idle time of their profiles."""
    profiles = [spec.profiles[stage.profile] for stage in spec.stages.values() if stage.profile]
    memory_gb = [profile.driver_memory_gb for profile in profiles if profile.driver_memory_gb is not None]
    idle_minutes = [profile.autotermination_minutes for profile in profiles if profile.autotermination_minutes]
    return SparkSettings(
        remote=spec.spark.remote,
        driver_memory_gb=max(memory_gb, default=None),
        idle_minutes=max(idle_minutes, default=SparkSettings.idle_minutes),
        conf=dict(spec.spark.conf),
    )


def _stage(
    name: str, spec: StageSpec, defaults: RetrySpec, shared: Mapping[str, Any], root: Path, flags: Flags
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
        table_reads=_table_reads(spec),
        reuse=spec.reuse,
        depends_on_files=tuple(spec.depends_on_files),
        reads_environment=None if spec.reads_environment is None else tuple(spec.reads_environment),
        may_exit=spec.early_exit == "success",
        kernel=spec.kernel or defaults.kernel or "auto",
        pools=dict(spec.pools),
    )


def _retry(spec: StageSpec, defaults: RetrySpec, retries: int | None) -> RetryPolicy:
    def value(key: str, fallback: Any) -> Any:
        values = (getattr(spec, key), getattr(defaults, key), fallback)
        return next(value for value in values if value is not None)

    timeout = value("timeout_seconds", 0)
    return RetryPolicy(
        max_retries=0 if spec.idempotent is False else retries if retries is not None else value("max_retries", 0),
        min_interval=timedelta(milliseconds=value("min_retry_interval_millis", 0)),
        timeout=timedelta(seconds=timeout) if timeout else None,
        retry_on_timeout=value("retry_on_timeout", False),
    )


def _table_reads(spec: StageSpec) -> dict[str, TableRead]:
    """The tables that the stage does not read completely."""
    return {
        name: TableRead(None if read.columns is None else tuple(read.columns), tuple(read.where))
        for name, read in spec.reads.items()
        if read.columns or read.where
    }


def _paths(spec: PipelineSpec, root: Path, flags: Flags, environ: Mapping[str, str]) -> Paths:
    moved_warehouse = flags.warehouse or environ.get("STAGEBOOK_WAREHOUSE")
    warehouse = Path(moved_warehouse).absolute() if moved_warehouse else root / spec.warehouse
    moved_runs = flags.runs_dir or environ.get("STAGEBOOK_RUNS_DIR")
    runs = Path(moved_runs).absolute() if moved_runs else root / spec.runs_dir
    has_own_root = spec.tables.root is not None and not moved_warehouse
    tables = root / str(spec.tables.root) if has_own_root else warehouse / "tables"
    external = checks.external_folders(spec, root)
    return Paths(root.resolve(), runs.resolve(), warehouse.resolve(), tables.resolve(), external)


def _files_for_folders(
    paths: Paths, merged: merge.Merged, flags: Flags, environ: Mapping[str, str]
) -> Iterator[Finding]:
    """A finding for each folder whose path, or a part of it, is a file."""
    moved_runs = "--runs-dir" if flags.runs_dir else environ.get("STAGEBOOK_RUNS_DIR") and "STAGEBOOK_RUNS_DIR"
    moved = "--warehouse" if flags.warehouse else environ.get("STAGEBOOK_WAREHOUSE") and "STAGEBOOK_WAREHOUSE"
    for key, folder, mover in (
        (("runs_dir",), paths.runs, moved_runs),
        (("warehouse",), paths.warehouse, moved),
        (("tables", "root"), paths.tables, moved),
    ):
        existing = next((path for path in (folder, *folder.parents) if path.exists()), folder)
        if existing.is_file():
            yield Finding(mover or merged.where(key), ".".join(key), f"{existing} is a file, and a folder is needed.")


def _tracking(spec: PipelineSpec, paths: Paths) -> Tracking:
    uri = spec.tracking.uri or f"sqlite:///{paths.warehouse / 'mlflow.db'}"
    artifacts = None if spec.tracking.uri else str(paths.warehouse / "mlartifacts")
    return Tracking(uri, spec.tracking.experiment, spec.tracking.registered_model, artifacts)
