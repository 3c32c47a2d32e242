"""Checks beyond the structure of the file: one function a rule, each yielding findings."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stagebook import graph
from stagebook.config import deployment, notebooks
from stagebook.config.database_file import database_problem
from stagebook.config.findings import Finding
from stagebook.config.kernels import KernelChoice
from stagebook.config.merge import Merged
from stagebook.config.notebooks import NotebookInterface
from stagebook.config.prices import cluster, terms
from stagebook.config.references import holds_reference, references
from stagebook.config.spec import PipelineSpec
from stagebook.costs import rates
from stagebook.errors import did_you_mean
from stagebook.formatting import without_credentials
from stagebook.model.pricing import PriceBook
from stagebook.notebooks.parameters import Parameter, as_declared, contradiction
from stagebook.notebooks.parameters_cell import Computation


@dataclass(frozen=True)
class CheckSubject:
    """Everything that the rules check."""

    spec: PipelineSpec
    merged: Merged
    notebooks: Mapping[str, NotebookInterface]
    malformed: frozenset[str]  # stages that have been reported and left out of `spec`
    book: PriceBook
    root: Path
    kernels: KernelChoice

    @property
    def notebook_files(self) -> list[Path]:
        """The file of each stage's notebook."""
        return [self.root / stage.notebook for stage in self.spec.stages.values()]

    @property
    def declared(self) -> dict[str, Mapping[str, Parameter] | None]:
        """Each stage's parameters by name; None if its notebook does not declare any."""
        return {name: notebook.declared for name, notebook in self.notebooks.items()}

    @property
    def stage_names(self) -> list[str]:
        """The names of all stages, malformed ones included."""
        return sorted({*self.spec.stages, *self.malformed})

    @property
    def edges(self) -> dict[str, list[str]]:
        """The graph of the stages, without edges to stages that do not exist."""
        stages = self.spec.stages
        return {name: [up for up in stage.depends_on if up in stages] for name, stage in stages.items()}

    def stage_parameters(self) -> Iterator[tuple[str, str, Any, str]]:
        """Every parameter that is set for one stage: stage, parameter, value, location."""
        for name, stage in self.spec.stages.items():
            for parameter, value in stage.parameters.items():
                yield name, parameter, value, self.merged.where(("stages", name, "parameters", parameter))


def unknown_stages(subject: CheckSubject) -> Iterator[Finding]:
    names = subject.stage_names
    for name, stage in subject.spec.stages.items():
        for position, upstream in enumerate(stage.depends_on):
            if upstream not in names:
                where = subject.merged.where(("stages", name, "depends_on", position))
                message = f"there is no stage '{upstream}'.{did_you_mean(upstream, names)}"
                yield Finding(where, f"stages.{name}.depends_on", message, ", ".join(names))


def cycles(subject: CheckSubject) -> Iterator[Finding]:
    if cycle := graph.find_cycle(subject.edges):
        where = subject.merged.where(("stages", cycle[0], "depends_on"))
        message = f"the stages depend on each other in a circle: {' → '.join(cycle)}."
        yield Finding(where, f"stages.{cycle[0]}.depends_on", message)


def undeclared_for_a_stage(subject: CheckSubject) -> Iterator[Finding]:
    for name, parameter, _, where in subject.stage_parameters():
        declared = subject.declared.get(name)
        if declared is not None and parameter not in declared:
            hint = did_you_mean(parameter, list(declared))
            message = f"stage '{name}' has no parameter '{parameter}'.{hint}"
            allowed = ", ".join(sorted(declared)) or "none"
            yield Finding(where, f"stages.{name}.parameters.{parameter}", message, allowed)


def undeclared_everywhere(subject: CheckSubject) -> Iterator[Finding]:
    if any(notebook.accepts_all or notebook.parameters_problem for notebook in subject.notebooks.values()):
        return
    names = sorted({parameter for declared in subject.declared.values() for parameter in declared or ()})
    for parameter in subject.spec.parameters:
        if parameter not in names:
            where = subject.merged.where(("parameters", parameter))
            message = f"no notebook declares '{parameter}'.{did_you_mean(parameter, names)}"
            yield Finding(where, f"parameters.{parameter}", message, ", ".join(names) or "none")


def wrong_types(subject: CheckSubject) -> Iterator[Finding]:
    for name, parameter, value, where in subject.stage_parameters():
        if reason := _type_error(subject.declared.get(name), parameter, value):
            yield Finding(where, f"stages.{name}.parameters.{parameter}", f"{reason}, as its notebook annotates it.")
    for parameter, value in subject.spec.parameters.items():
        where = subject.merged.where(("parameters", parameter))
        reported: set[str] = set()
        for name, declared in subject.declared.items():
            reason = _type_error(declared, parameter, value)
            if reason and reason not in reported:
                reported.add(reason)
                message = f"{reason}, as the notebook of stage '{name}' annotates it."
                yield Finding(where, f"parameters.{parameter}", message)


def _type_error(declared: Mapping[str, Parameter] | None, parameter: str, value: Any) -> str | None:
    declaration = (declared or {}).get(parameter)
    return None if declaration is None or holds_reference(value) else contradiction(declaration, value)


def unreadable_parameters_cells(subject: CheckSubject) -> Iterator[Finding]:
    for name, notebook in subject.notebooks.items():
        if notebook.parameters_problem is not None:
            message = f"{subject.root / subject.spec.stages[name].notebook}: {notebook.parameters_problem}."
            where = subject.merged.where(("stages", name, "notebook"))
            yield Finding(where, f"stages.{name}.notebook", message, fails_its_stage=True)


def stale_values(subject: CheckSubject) -> Iterator[Finding]:
    """What a parameters cell computes from a parameter keeps the value of the default if the parameter is set."""
    for name, notebook in subject.notebooks.items():
        shared = notebooks.accepted_parameters(subject.spec.parameters, notebook)
        values = {key: (value, ("parameters", key)) for key, value in shared.items()}
        own = subject.spec.stages[name].parameters
        values |= {key: (value, ("stages", name, "parameters", key)) for key, value in own.items()}
        for computation in notebook.computations:
            if computation.names and values.keys() >= set(computation.names):
                continue  # what it computes is replaced
            for source in sorted(computation.sources & values.keys()):
                value, key = values[source]
                if not _is_default(notebook.declared, source, value):
                    file = subject.root / subject.spec.stages[name].notebook
                    yield Finding(subject.merged.where(key), ".".join(key), _stale(file, computation, source))


def _is_default(declared: Mapping[str, Parameter] | None, name: str, value: Any) -> bool:
    """Whether a value is the default of its parameter, so that what was computed from the default fits it."""
    parameter = (declared or {}).get(name)
    if parameter is None or parameter.computed or parameter.conditional:
        return False
    own = as_declared(parameter, value)
    return type(own) is type(parameter.default) and own == parameter.default


def _stale(file: Path, computation: Computation, source: str) -> str:
    names = " and ".join(f"`{name}`" for name in computation.names)
    effect = f"computes {names} from" if names else "uses"
    return (
        f"line {computation.line} of the parameters cell of {file} {effect} `{source}` before it is set here.\n"
        f"    Move the line into the next cell{f', or set {names} too' if names else ''}."
    )


def bad_kernels(subject: CheckSubject) -> Iterator[Finding]:
    yield from subject.kernels.check(subject.merged)


def not_literal(subject: CheckSubject) -> Iterator[Finding]:
    """Only identifiers and JSON-like values can be parameters: papermill writes both into source."""
    for name, parameter, value, where in subject.stage_parameters():
        yield from _not_literal(f"stages.{name}.parameters", parameter, value, where)
    for parameter, value in subject.spec.parameters.items():
        yield from _not_literal("parameters", parameter, value, subject.merged.where(("parameters", parameter)))


def _not_literal(owner: str, parameter: str, value: Any, where: str) -> Iterator[Finding]:
    if not parameter.isidentifier():
        yield Finding(where, f"{owner}.{parameter}", f"'{parameter}' is not a Python name.")
    elif (kind := _non_json_kind(value)) is not None:
        allowed = "null, true, numbers, text, lists, mappings"
        yield Finding(where, f"{owner}.{parameter}", f"{kind} cannot be passed to a notebook.", allowed)


def _non_json_kind(value: Any) -> str | None:
    """What a value is, or contains, that JSON does not have; None if there is nothing."""
    match value:
        case None | bool() | int() | float() | str():
            return None
        case list():
            return next((kind for item in value if (kind := _non_json_kind(item))), None)
        case dict():
            return next((kind for item in value.values() if (kind := _non_json_kind(item))), None)
        case _:
            return f"a {type(value).__name__}"


def bad_references(subject: CheckSubject) -> Iterator[Finding]:
    for parameter, value in subject.spec.parameters.items():
        for text, *_ in references(value):
            where = subject.merged.where(("parameters", parameter))
            message = f"{text} belongs under one stage's parameters: here it would reach its own stage."
            yield Finding(where, f"parameters.{parameter}", message)
    for name, parameter, value, where in subject.stage_parameters():
        yield from _references_of(subject, name, value, f"stages.{name}.parameters.{parameter}", where)
    for name, stage in subject.spec.stages.items():
        if stage.only_if is None:
            continue
        key, where = f"stages.{name}.only_if", subject.merged.where(("stages", name, "only_if"))
        if not holds_reference(stage.only_if):
            yield Finding(where, key, f"{stage.only_if!r} is not a reference.", "{{tasks.<stage>.values.<scrap>}}")
        yield from _references_of(subject, name, stage.only_if, key, where)


def _references_of(subject: CheckSubject, name: str, value: Any, key: str, where: str) -> Iterator[Finding]:
    names = subject.stage_names
    for text, target, _ in references(value):
        if target is None:
            message = f"{text} is not a reference that is known here."
            yield Finding(where, key, message, "{{tasks.<stage>.values.<scrap>}}")
        elif target not in names:
            message = f"{text}: there is no stage '{target}'.{did_you_mean(target, names)}"
            yield Finding(where, key, message, ", ".join(names))
        elif target in subject.spec.stages and target not in graph.upstream(subject.edges, [name]) - {name}:
            yield Finding(where, key, f"{text}: stage '{target}' is not upstream of '{name}'. Add it to depends_on.")


def reads_before_written(subject: CheckSubject) -> Iterator[Finding]:
    writers: dict[str, list[str]] = {}
    for name, stage in subject.spec.stages.items():
        for table in stage.writes:
            writers.setdefault(table, []).append(name)
    for name, stage in subject.spec.stages.items():
        upstream = graph.upstream(subject.edges, [name]) if stage.reads else set()
        for position, table in enumerate(stage.reads):
            table_writers = writers.get(table, [])
            if table_writers and not upstream & set(table_writers):
                where = subject.merged.where(("stages", name, "reads", position))
                message = f"'{table}' is written by '{table_writers[0]}', which is not upstream. Add it to depends_on."
                yield Finding(where, f"stages.{name}.reads", message)


def writes_of_external_tables(subject: CheckSubject) -> Iterator[Finding]:
    for name, stage in subject.spec.stages.items():
        for position, table in enumerate(stage.writes):
            if table in subject.spec.tables.external:
                where = subject.merged.where(("stages", name, "writes", position))
                message = f"'{table}' is an external table (tables.external): it is read, never written."
                yield Finding(where, f"stages.{name}.writes", message)


def external_folders(spec: PipelineSpec, root: Path) -> dict[str, Path]:
    """Each external table's folder; a relative path counts from the project's root."""
    return {name: (root / folder).resolve() for name, folder in spec.tables.external.items()}


def missing_external_tables(subject: CheckSubject) -> Iterator[Finding]:
    for name, folder in external_folders(subject.spec, subject.root).items():
        if reason := _external_table_error(subject.spec.tables.external[name], folder):
            yield Finding(subject.merged.where(("tables", "external", name)), f"tables.external.{name}", reason)


def _external_table_error(path: str, folder: Path) -> str | None:
    """The reason why a folder, written as `path`, cannot be read as a table."""
    if "://" in path:
        return f"'{path}' is an address: only folders are read."
    if not folder.is_dir():
        siblings = [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []
        return f"there is no folder {folder}.{did_you_mean(folder.name, siblings)}"
    if not (folder / "_delta_log").is_dir():
        return f"{folder} is no Delta table: there is no _delta_log in it."
    return None


def unknown_profiles(subject: CheckSubject) -> Iterator[Finding]:
    profiles = list(subject.spec.profiles)
    for name, stage in subject.spec.stages.items():
        if stage.profile is not None and stage.profile not in profiles:
            where = subject.merged.where(("stages", name, "profile"))
            message = f"there is no profile '{stage.profile}'.{did_you_mean(stage.profile, profiles)}"
            yield Finding(where, f"stages.{name}.profile", message, ", ".join(profiles) or "none")


def bad_deployment(subject: CheckSubject) -> Iterator[Finding]:
    yield from deployment.check(subject.spec, subject.merged)


def unsupported_in_databricks_notebooks(subject: CheckSubject) -> Iterator[Finding]:
    yield from notebooks.check(subject.spec, subject.merged, subject.notebooks, subject.edges)


def bad_tracking(subject: CheckSubject) -> Iterator[Finding]:
    if (uri := subject.spec.tracking.uri) is not None and (reason := _address_error(uri)):
        where = subject.merged.where(("tracking", "uri"))
        allowed = "http://host:port, https://host, sqlite:////folder/mlflow.db, postgresql://…, mysql://…, databricks"
        yield Finding(where, "tracking.uri", f"{without_credentials(uri)!r} {reason}", allowed)


_SCHEMES = ("http", "https", "file", "sqlite", "postgresql", "mysql", "mssql", "databricks", "databricks-uc")
_SCHEMES_WITH_HOST = ("http", "https", "postgresql", "mysql", "mssql")


def _address_error(uri: str) -> str | None:
    """The reason why MLflow cannot be at an address."""
    scheme, separator, rest = uri.partition("://")
    kind = scheme.partition("+")[0].lower()
    if not separator:
        return None if scheme.partition(":")[0] in ("databricks", "file") or "/" in uri else "is not an address."
    if kind not in _SCHEMES:
        return f"begins with '{scheme}', which MLflow does not know.{did_you_mean(scheme, _SCHEMES)}"
    try:
        parts = urlsplit(uri)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        return f"is not an address: {str(error)[0].lower()}{str(error)[1:]}."
    if kind in _SCHEMES_WITH_HOST and (not host or port == 0 or any(map(str.isspace, uri))):
        return "names no host, or port 0, or has blanks in it."
    if kind == "sqlite":
        return _database_error(rest)
    return None


def _database_error(rest: str) -> str | None:
    """The reason why a sqlite file cannot be made; `rest` is the address behind `sqlite://`."""
    path = Path(rest.removeprefix("/").partition("?")[0])
    if not rest.startswith("/"):
        return "has two slashes: a sqlite address has three, and four before an absolute path."
    if str(path) in (".", ":memory:"):
        return "would be lost with each process: name a file."
    if path.is_dir():
        return "is a folder: name a file in it."
    folder = next((parent for parent in path.absolute().parents if parent.exists()), Path("/"))
    if not folder.is_dir() or folder.is_relative_to("/proc") or not os.access(folder, os.W_OK):
        return f"cannot be made: nothing can be written in {folder}."
    return None


def unpriced_profiles(subject: CheckSubject) -> Iterator[Finding]:
    for name, profile in subject.spec.profiles.items():
        for problem in rates.pricing_problems(cluster(profile), terms(subject.spec.cost), subject.book):
            where = subject.merged.where(("profiles", name, problem.key))
            yield Finding(where, f"profiles.{name}.{problem.key}", problem.message, problem.allowed)


def unfit_pools(subject: CheckSubject) -> Iterator[Finding]:
    """A stage that needs a pool that does not exist, or more than its size, would wait for ever."""
    sizes = subject.spec.pools
    for name, stage in subject.spec.stages.items():
        for pool, amount in stage.pools.items():
            where, key = subject.merged.where(("stages", name, "pools", pool)), f"stages.{name}.pools.{pool}"
            if pool not in sizes:
                hint = did_you_mean(pool, sorted(sizes))
                yield Finding(where, key, f"there is no pool '{pool}'.{hint}", ", ".join(sorted(sizes)))
            elif amount > sizes[pool]:
                yield Finding(where, key, f"takes {amount:g}, and the pool holds {sizes[pool]:g}.")


def impossible_tracking_databases(subject: CheckSubject) -> Iterator[Finding]:
    uri = subject.spec.tracking.uri
    if uri is not None and (problem := database_problem(uri, Path.cwd())):
        where = subject.merged.where(("tracking", "uri"))
        yield Finding(where, "tracking.uri", problem, "a file in a folder on a disk, or the address of a server")


RULES = (
    unknown_stages,
    cycles,
    unreadable_parameters_cells,
    bad_kernels,
    undeclared_for_a_stage,
    undeclared_everywhere,
    wrong_types,
    stale_values,
    not_literal,
    bad_references,
    reads_before_written,
    writes_of_external_tables,
    missing_external_tables,
    unknown_profiles,
    bad_tracking,
    bad_deployment,
    unsupported_in_databricks_notebooks,
    unpriced_profiles,
    unfit_pools,
    impossible_tracking_databases,
)
