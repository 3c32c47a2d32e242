"""The notebooks that a parameter file names: what they declare, and what those of Databricks take from their job."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stagebook import dag
from stagebook.errors import ConfigError, did_you_mean
from stagebook.model.pipeline import Guest, Stage
from stagebook.notebook.outline import outline
from stagebook.notebook.parameters import Parameter, declared
from stagebook.notebook.ways import Ways, ways
from stagebook.params.findings import Finding
from stagebook.params.merge import Merged
from stagebook.params.spec import PipelineSpec


@dataclass(frozen=True)
class Notebook:
    """What a notebook declares, by name (None: it does not tell), and its ways where it is one of Databricks."""

    declared: Mapping[str, Parameter] | None = None
    ways: Ways | None = None

    @property
    def takes_all(self) -> bool:
        """Whether all parameters of the pipeline reach it, as those of a job reach every task."""
        return self.ways is not None and self.declared is None


def of_file(path: Path) -> Notebook:
    """What a notebook file says.

    Raises:
        UnreadableNotebook, NotIncluded: see `notebook.read`.
        SyntaxError: its parameters cell is not valid Python.
    """
    found = outline(path)
    return Notebook(declared(found), ways(found) if found.guest else None)


def of_stages(spec: PipelineSpec, merged: Merged, root: Path) -> tuple[dict[str, Notebook], list[Finding]]:
    """Each stage's notebook; a missing or broken one is a finding. Each file is read once."""
    findings: list[Finding] = []
    by_path: dict[Path, Notebook] = {}
    for name, stage in spec.stages.items():
        path = root / stage.notebook
        key, where = f"stages.{name}.notebook", merged.where(("stages", name, "notebook"))
        if path in by_path:
            continue
        by_path[path] = Notebook()
        try:
            by_path[path] = of_file(path)
        except ConfigError as error:
            findings.append(Finding(where, key, str(error)))
        except SyntaxError as error:
            what = f"{path}: its parameters cell is not Python: {error.msg} (line {error.lineno})."
            findings.append(Finding(where, key, what))
    return {name: by_path[root / stage.notebook] for name, stage in spec.stages.items()}, findings


def as_guest(stage: Stage, notebook: Notebook, engine: str) -> Stage:
    """The stage, with what its notebook takes from a job of Databricks; one that names Spark's session gets Spark.

    Args: engine: of the pipeline.
    """
    if notebook.ways is None:
        return stage
    injected = frozenset(name for name, parameter in (notebook.declared or {}).items() if not parameter.widget)
    wants = "spark" if notebook.ways.spark and (stage.engine or engine) == "auto" else stage.engine
    return replace(stage, engine=wants, guest=Guest(injected, notebook.ways.values, notebook.ways.unseen))


def reaching(shared: Mapping[str, Any], notebook: Notebook) -> dict[str, Any]:
    """The parameters of all stages that reach one."""
    known = shared if notebook.takes_all else notebook.declared or {}
    return {key: value for key, value in shared.items() if key in known}


def findings(
    spec: PipelineSpec, merged: Merged, notebooks: Mapping[str, Notebook], graph: dag.Graph
) -> Iterator[Finding]:
    """Cells that are not run here, and task values of stages that are not upstream."""
    for name in spec.stages:
        found = notebooks[name].ways
        if found is None:
            continue
        where, key = merged.where(("stages", name, "notebook")), f"stages.{name}.notebook"
        for number, language in found.foreign:
            what = f"its code cell {number} is in %{language}, and only Python, SQL and shell cells are run here."
            yield Finding(where, key, what)
        above = dag.upstream(graph, [name]) - {name}
        for task, value in sorted(found.values or ()):
            call = f"it gets the task value '{value}' of '{task}'"
            if task not in spec.stages:
                hint = did_you_mean(task, sorted(spec.stages))
                yield Finding(where, key, f"{call}, and there is no such stage.{hint}", ", ".join(sorted(spec.stages)))
            elif task not in above:
                yield Finding(where, key, f"{call}, which is not upstream of '{name}'. Add it to depends_on.")
