"""The notebooks that a parameter file names: the parameters that they declare, and what Databricks notebooks use."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stagebook.config.findings import Finding
from stagebook.config.merge import Merged
from stagebook.config.spec import PipelineSpec
from stagebook.errors import ConfigError, did_you_mean
from stagebook.graph import Graph, upstream
from stagebook.model.pipeline import DbutilsInputs, Stage
from stagebook.notebooks.dbutils_usage import DbutilsUsage, dbutils_usage
from stagebook.notebooks.kernels import THIS_KERNEL, NotebookKernel
from stagebook.notebooks.outline import outline
from stagebook.notebooks.parameters import Parameter, computed_in_cell, declared
from stagebook.notebooks.parameters_cell import Computation, NotPython


@dataclass(frozen=True)
class NotebookInterface:
    """The parameters that a notebook declares (None: unknown), and a Databricks notebook's use of `dbutils`.

    `parameters_problem` says why its parameters cell cannot be read; then the notebook fails there. `computations` are
    what that cell computes from parameters.
    """

    declared: Mapping[str, Parameter] | None = None
    dbutils_usage: DbutilsUsage | None = None
    kernel: NotebookKernel = THIS_KERNEL
    computations: Sequence[Computation] = ()
    parameters_problem: str | None = None

    @property
    def accepts_all(self) -> bool:
        """Whether all parameters of the pipeline are passed to it, as a job passes its parameters to every task."""
        return self.dbutils_usage is not None and self.declared is None and self.parameters_problem is None


def read_interface(path: Path) -> NotebookInterface:
    """The interface of a notebook file.

    Raises:
        UnreadableNotebook, NotIncluded: as `notebooks.read.load`.
    """
    notebook = outline(path)
    interface = NotebookInterface(
        dbutils_usage=dbutils_usage(notebook) if notebook.is_databricks else None,
        kernel=NotebookKernel(notebook.kernel, notebook.language),
    )
    try:
        return replace(interface, declared=declared(notebook), computations=computed_in_cell(notebook))
    except NotPython as error:
        line = f" (line {error.line})" if error.line else ""
        return replace(interface, parameters_problem=f"its parameters cell is not Python: {error.reason}{line}")


def read_interfaces(
    spec: PipelineSpec, merged: Merged, root: Path
) -> tuple[dict[str, NotebookInterface], list[Finding]]:
    """The interface of each stage's notebook, and a finding for each that is missing or broken. Files are read once."""
    findings: list[Finding] = []
    by_path: dict[Path, NotebookInterface] = {}
    for name, stage in spec.stages.items():
        path = root / stage.notebook
        if path in by_path:
            continue
        by_path[path] = NotebookInterface()
        try:
            by_path[path] = read_interface(path)
        except ConfigError as error:
            findings.append(Finding(merged.where(("stages", name, "notebook")), f"stages.{name}.notebook", str(error)))
    return {name: by_path[root / stage.notebook] for name, stage in spec.stages.items()}, findings


def with_dbutils_inputs(stage: Stage, notebook: NotebookInterface, engine: str) -> Stage:
    """The stage with what its Databricks notebook gets from a run; one that names Spark's session gets Spark.

    Args: engine: the pipeline's engine.
    """
    usage = notebook.dbutils_usage
    if usage is None:
        return stage
    injected = frozenset(name for name, parameter in (notebook.declared or {}).items() if not parameter.widget)
    return replace(
        stage,
        engine="spark" if usage.uses_spark and (stage.engine or engine) == "auto" else stage.engine,
        dbutils_inputs=DbutilsInputs(injected, usage.task_values, usage.untracked),
    )


def accepted_parameters(shared: Mapping[str, Any], notebook: NotebookInterface) -> dict[str, Any]:
    """Those of the pipeline's parameters that the notebook accepts."""
    names = shared if notebook.accepts_all else notebook.declared or {}
    return {name: value for name, value in shared.items() if name in names}


def check(
    spec: PipelineSpec, merged: Merged, notebooks: Mapping[str, NotebookInterface], edges: Graph
) -> Iterator[Finding]:
    """Findings for cells that do not run here, and for task values of stages that are not upstream."""
    for name in spec.stages:
        usage = notebooks[name].dbutils_usage
        if usage is None:
            continue
        where, key = merged.where(("stages", name, "notebook")), f"stages.{name}.notebook"
        for number, language in usage.unsupported_cells:
            message = f"its code cell {number} is in %{language}, and only Python, SQL and shell cells are run here."
            yield Finding(where, key, message)
        stages_upstream = upstream(edges, [name]) - {name}
        for task, value in sorted(usage.task_values or ()):
            call = f"it gets the task value '{value}' of '{task}'"
            if task not in spec.stages:
                hint = did_you_mean(task, sorted(spec.stages))
                yield Finding(where, key, f"{call}, and there is no such stage.{hint}", ", ".join(sorted(spec.stages)))
            elif task not in stages_upstream:
                yield Finding(where, key, f"{call}, which is not upstream of '{name}'. Add it to depends_on.")
