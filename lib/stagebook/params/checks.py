"""What must hold beyond the shape of the file: one function a rule, each yielding findings."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stagebook import dag
from stagebook.cost import rates
from stagebook.errors import did_you_mean
from stagebook.model.pricing import PriceBook
from stagebook.notebook.parameters import Parameter, contradiction
from stagebook.params import deployment, notebooks
from stagebook.params.findings import Finding
from stagebook.params.merge import Merged
from stagebook.params.notebooks import Notebook
from stagebook.params.prices import cluster, terms
from stagebook.params.references import holds_reference, references
from stagebook.params.spec import PipelineSpec, StageSpec


@dataclass(frozen=True)
class Subject:
    """What the rules look at."""

    spec: PipelineSpec
    merged: Merged
    notebooks: Mapping[str, Notebook]
    left_out: frozenset[str]  # stages that were already reported as malformed
    book: PriceBook

    @property
    def declared(self) -> dict[str, Mapping[str, Parameter] | None]:
        """Each stage's parameters by name; None where its notebook does not tell."""
        return {name: notebook.declared for name, notebook in self.notebooks.items()}

    @property
    def graph(self) -> dict[str, list[str]]:
        """The graph of the edges that lead somewhere."""
        stages = self.spec.stages
        return {name: [up for up in stage.depends_on if up in stages] for name, stage in stages.items()}

    def stage_parameters(self) -> Iterator[tuple[str, StageSpec, str, Any, str]]:
        """Every parameter set for one stage: stage name, spec, parameter, value, place."""
        for name, stage in self.spec.stages.items():
            for parameter, value in stage.parameters.items():
                yield (
                    name,
                    stage,
                    parameter,
                    value,
                    self.merged.where(("stages", name, "parameters", parameter)),
                )


def unknown_stages(subject: Subject) -> Iterator[Finding]:
    known = set(subject.spec.stages) | subject.left_out
    for name, stage in subject.spec.stages.items():
        for place, upstream in enumerate(stage.depends_on):
            if upstream not in known:
                where = subject.merged.where(("stages", name, "depends_on", place))
                hint = did_you_mean(upstream, sorted(known))
                yield Finding(
                    where,
                    f"stages.{name}.depends_on",
                    f"there is no stage '{upstream}'.{hint}",
                    ", ".join(sorted(known)),
                )


def cycles(subject: Subject) -> Iterator[Finding]:
    if cycle := dag.find_cycle(subject.graph):
        where = subject.merged.where(("stages", cycle[0], "depends_on"))
        yield Finding(
            where,
            f"stages.{cycle[0]}.depends_on",
            f"the stages depend on each other in a circle: {' → '.join(cycle)}.",
        )


def undeclared_for_a_stage(subject: Subject) -> Iterator[Finding]:
    for name, _, parameter, _, where in subject.stage_parameters():
        declared = subject.declared.get(name)
        if declared is not None and parameter not in declared:
            hint = did_you_mean(parameter, list(declared))
            what = f"stage '{name}' has no parameter '{parameter}'.{hint}"
            yield Finding(where, f"stages.{name}.parameters.{parameter}", what, ", ".join(sorted(declared)) or "none")


def undeclared_everywhere(subject: Subject) -> Iterator[Finding]:
    if any(notebook.takes_all for notebook in subject.notebooks.values()):
        return
    known = {parameter for declared in subject.declared.values() for parameter in declared or ()}
    for parameter in subject.spec.parameters:
        if parameter not in known:
            where = subject.merged.where(("parameters", parameter))
            what = f"no notebook declares '{parameter}'.{did_you_mean(parameter, sorted(known))}"
            yield Finding(where, f"parameters.{parameter}", what, ", ".join(sorted(known)) or "none")


def wrong_types(subject: Subject) -> Iterator[Finding]:
    for name, _, parameter, value, where in subject.stage_parameters():
        declared = (subject.declared.get(name) or {}).get(parameter)
        if declared and not holds_reference(value) and (why := contradiction(declared, value)):
            yield Finding(where, f"stages.{name}.parameters.{parameter}", f"{why}, as its notebook annotates it.")
    for parameter, value in subject.spec.parameters.items():
        where = subject.merged.where(("parameters", parameter))
        reported: set[str] = set()
        for name, parameters in subject.declared.items():
            declared = (parameters or {}).get(parameter)
            if (
                declared
                and not holds_reference(value)
                and (why := contradiction(declared, value))
                and why not in reported
            ):
                reported.add(why)
                yield Finding(
                    where,
                    f"parameters.{parameter}",
                    f"{why}, as the notebook of stage '{name}' annotates it.",
                )


def not_literal(subject: Subject) -> Iterator[Finding]:
    """Only identifiers and JSON-like values reach a notebook: papermill writes both into source."""
    for name, _, parameter, value, where in subject.stage_parameters():
        yield from _plain(f"stages.{name}.parameters", parameter, value, where)
    for parameter, value in subject.spec.parameters.items():
        yield from _plain("parameters", parameter, value, subject.merged.where(("parameters", parameter)))


def _plain(owner: str, parameter: str, value: Any, where: str) -> Iterator[Finding]:
    if not parameter.isidentifier():
        yield Finding(where, f"{owner}.{parameter}", f"'{parameter}' is not a Python name.")
    elif (kind := _odd(value)) is not None:
        yield Finding(
            where,
            f"{owner}.{parameter}",
            f"{kind} cannot be passed to a notebook.",
            "null, true, numbers, text, lists, mappings",
        )


def _odd(value: Any) -> str | None:
    match value:
        case float() if not math.isfinite(value):
            return f"the number {value}"
        case None | bool() | int() | float() | str():
            return None
        case list():
            return next((kind for item in value if (kind := _odd(item))), None)
        case dict():
            return next((kind for item in value.values() if (kind := _odd(item))), None)
        case _:
            return f"a {type(value).__name__}"


def bad_references(subject: Subject) -> Iterator[Finding]:
    for parameter, value in subject.spec.parameters.items():
        for text, *_ in references(value):
            where = subject.merged.where(("parameters", parameter))
            yield Finding(
                where,
                f"parameters.{parameter}",
                f"{text} belongs under one stage's parameters: here it would reach its own stage.",
            )
    for name, _, parameter, value, where in subject.stage_parameters():
        yield from _references_of(subject, name, value, f"stages.{name}.parameters.{parameter}", where)
    for name, stage in subject.spec.stages.items():
        if stage.only_if is None:
            continue
        key, where = f"stages.{name}.only_if", subject.merged.where(("stages", name, "only_if"))
        if not holds_reference(stage.only_if):
            yield Finding(where, key, f"{stage.only_if!r} is not a reference.", "{{tasks.<stage>.values.<scrap>}}")
        yield from _references_of(subject, name, stage.only_if, key, where)


def _references_of(subject: Subject, name: str, value: Any, key: str, where: str) -> Iterator[Finding]:
    known = set(subject.spec.stages) | subject.left_out
    for text, target, _ in references(value):
        if target is None:
            yield Finding(
                where,
                key,
                f"{text} is not a reference that is known here.",
                "{{tasks.<stage>.values.<scrap>}}",
            )
        elif target not in known:
            yield Finding(
                where,
                key,
                f"{text}: there is no stage '{target}'.{did_you_mean(target, sorted(known))}",
                ", ".join(sorted(known)),
            )
        elif target in subject.spec.stages and target not in dag.upstream(subject.graph, [name]) - {name}:
            yield Finding(where, key, f"{text}: stage '{target}' is not upstream of '{name}'. Add it to depends_on.")


def reads_before_written(subject: Subject) -> Iterator[Finding]:
    writers: dict[str, list[str]] = {}
    for name, stage in subject.spec.stages.items():
        for table in stage.writes:
            writers.setdefault(table, []).append(name)
    for name, stage in subject.spec.stages.items():
        above = dag.upstream(subject.graph, [name]) if stage.reads else set()
        for place, table in enumerate(stage.reads):
            makers = writers.get(table, [])
            if makers and not above & set(makers):
                where = subject.merged.where(("stages", name, "reads", place))
                yield Finding(
                    where,
                    f"stages.{name}.reads",
                    f"'{table}' is written by '{makers[0]}', which is not upstream. Add it to depends_on.",
                )


def writes_of_external_tables(subject: Subject) -> Iterator[Finding]:
    for name, stage in subject.spec.stages.items():
        for place, table in enumerate(stage.writes):
            if table in subject.spec.tables.external:
                where = subject.merged.where(("stages", name, "writes", place))
                what = f"'{table}' is an external table (tables.external): it is read, never written."
                yield Finding(where, f"stages.{name}.writes", what)


def unknown_profiles(subject: Subject) -> Iterator[Finding]:
    known = list(subject.spec.profiles)
    for name, stage in subject.spec.stages.items():
        if stage.profile is not None and stage.profile not in known:
            where = subject.merged.where(("stages", name, "profile"))
            hint = did_you_mean(stage.profile, known)
            yield Finding(
                where,
                f"stages.{name}.profile",
                f"there is no profile '{stage.profile}'.{hint}",
                ", ".join(known) or "none",
            )


def bad_deployment(subject: Subject) -> Iterator[Finding]:
    yield from deployment.findings(subject.spec, subject.merged)


def strange_in_guests(subject: Subject) -> Iterator[Finding]:
    yield from notebooks.findings(subject.spec, subject.merged, subject.notebooks, subject.graph)


def unpriced_profiles(subject: Subject) -> Iterator[Finding]:
    for name, profile in subject.spec.profiles.items():
        for flaw in rates.flaws(cluster(profile), terms(subject.spec.cost), subject.book):
            where = subject.merged.where(("profiles", name, flaw.key))
            yield Finding(where, f"profiles.{name}.{flaw.key}", flaw.what, flaw.allowed)


def unfit_pools(subject: Subject) -> Iterator[Finding]:
    """A stage that takes of a pool that does not exist, or more than there is, would wait for ever."""
    sizes = subject.spec.pools
    for name, stage in subject.spec.stages.items():
        for pool, amount in stage.pools.items():
            where, key = subject.merged.where(("stages", name, "pools", pool)), f"stages.{name}.pools.{pool}"
            if pool not in sizes:
                hint = did_you_mean(pool, sorted(sizes))
                yield Finding(where, key, f"there is no pool '{pool}'.{hint}", ", ".join(sorted(sizes)))
            elif amount > sizes[pool]:
                yield Finding(where, key, f"takes {amount:g}, and the pool holds {sizes[pool]:g}.")


RULES = (
    unknown_stages,
    cycles,
    undeclared_for_a_stage,
    undeclared_everywhere,
    wrong_types,
    not_literal,
    bad_references,
    reads_before_written,
    writes_of_external_tables,
    unknown_profiles,
    bad_deployment,
    strange_in_guests,
    unpriced_profiles,
    unfit_pools,
)
