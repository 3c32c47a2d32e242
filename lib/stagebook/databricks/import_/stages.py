"""Turns the tasks of a Databricks job into stages of a parameter file: what a stage can hold of a task."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stagebook.config.references import references
from stagebook.config.structure import NAME
from stagebook.databricks.validate.subject import dependencies
from stagebook.model.pipeline import RunIf
from stagebook.notebooks.parameters import Parameter, from_text

_REFERENCE = re.compile(
    r"\{\{\s*job\.parameters\.(?P<parameter>[\w-]+)\s*\}\}|\$\{(?P<variable>(var|bundle)\.[\w-]+)\}"
)

Task = Mapping[str, Any]
DeclaredParameters = Callable[[str], Mapping[str, Parameter] | None]
"""Path of a notebook → the parameters that it declares; None if it declares none or there is no such file."""


@dataclass(frozen=True)
class JobTasks:
    """A job's tasks by key, and which of them are stages.

    `job_parameters` maps a name to its default, `variables` the bundle's variables (`var.x`) to their values in the
    default target. `notebook` gives the path in the parameter file for a task's `notebook_path`.
    """

    by_key: Mapping[str, Task]
    job_parameters: Mapping[str, Any]
    variables: Mapping[str, str]
    notebook: Callable[[str], str]
    declared: DeclaredParameters

    def is_stage(self, key: str) -> bool:
        """Whether a task is a notebook task whose key can name a stage."""
        task = self.by_key[key].get("notebook_task")
        return (
            NAME.fullmatch(key) is not None and isinstance(task, Mapping) and isinstance(task.get("notebook_path"), str)
        )

    def path(self, key: str) -> str:
        """The notebook of a stage, as the parameter file names it."""
        return self.notebook(self.by_key[key]["notebook_task"]["notebook_path"])

    def condition(self, key: str) -> tuple[str, str] | None:
        """The condition task directly in front of a stage and its reference; None: none fits `only_if`."""
        upstream = dependencies(self.by_key[key])
        if len(upstream) != 1 or upstream[0].get("outcome") != "true" or "run_if" in self.by_key[key]:
            return None
        name = upstream[0]["task_key"]
        test = self.by_key.get(name, {}).get("condition_task")
        if not isinstance(test, Mapping) or (test.get("op"), test.get("right")) != ("EQUAL_TO", "true"):
            return None
        left = str(test.get("left"))
        match list(references(left)):
            case [(text, stage, _)] if text == left and stage in self._upstream_stages(name, frozenset()):
                return name, left
        return None

    def stages(self) -> dict[str, dict[str, Any]]:
        """The stages, with all that a stage can hold."""
        return {key: self._stage(key) for key in self.by_key if self.is_stage(key)}

    def _stage(self, key: str) -> dict[str, Any]:
        task = self.by_key[key]
        stage: dict[str, Any] = {"notebook": self.path(key)}
        condition = self.condition(key)
        entry = self.by_key[condition[0]] if condition else task
        if upstream := [name for up in dependencies(entry) for name in self._nearest_stages(up["task_key"])]:
            stage["depends_on"] = list(dict.fromkeys(upstream))
        if entry.get("run_if") in set(RunIf):
            stage["run_if"] = entry["run_if"]
        if condition:
            stage["only_if"] = condition[1]
        stage |= dict(_retries(task))
        if parameters := dict(self._parameters(key)):
            stage["parameters"] = parameters
        return stage

    def _nearest_stages(self, key: str) -> list[str]:
        """The task if it is a stage, else the stages nearest upstream of it."""
        if key in self.by_key and self.is_stage(key):
            return [key]
        return sorted(self._nearest_upstream(key, frozenset()))

    def _nearest_upstream(self, key: str, visited: frozenset[str]) -> set[str]:
        """The stages nearest upstream of a task, through tasks that are no stages."""
        stages: set[str] = set()
        for up in dependencies(self.by_key.get(key, {})):
            name = up["task_key"]
            if name in self.by_key and name not in visited:
                stages |= {name} if self.is_stage(name) else self._nearest_upstream(name, visited | {name})
        return stages

    def _upstream_stages(self, key: str, visited: frozenset[str]) -> set[str]:
        """All stages upstream of a task."""
        stages: set[str] = set()
        for up in dependencies(self.by_key.get(key, {})):
            name = up["task_key"]
            if name in self.by_key and name not in visited:
                stages |= ({name} if self.is_stage(name) else set()) | self._upstream_stages(name, visited | {name})
        return stages

    def _parameters(self, key: str) -> Iterator[tuple[str, Any]]:
        """The task's parameters that fit its notebook, without those that a job's parameter overrides."""
        parameters = self.by_key[key]["notebook_task"].get("base_parameters")
        declared, upstream = self.declared(self.path(key)), self._upstream_stages(key, frozenset())
        for name, text in parameters.items() if isinstance(parameters, Mapping) else ():
            if not isinstance(text, str) or not name.isidentifier() or name in self.job_parameters:
                continue
            text = self.by_default(text)
            if "{{" in text:
                if (declared is None or name in declared) and all(up in upstream for _, up, _ in references(text)):
                    yield name, text
            elif (value := parameter_value(name, text, declared)) is not None:
                yield name, value

    def by_default(self, text: str) -> str:
        """The text with the default values of the job's parameters and the bundle's variables filled in."""

        def default(reference: re.Match[str]) -> str:
            if variable := reference["variable"]:
                return self.variables.get(variable, reference[0])
            value = self.job_parameters.get(reference["parameter"])
            return _REFERENCE.sub(default, value) if isinstance(value, str) and "{{" not in value else reference[0]

        return _REFERENCE.sub(default, text)


def parameter_value(name: str, text: str, declared: Mapping[str, Parameter] | None) -> Any | None:
    """The value of a parameter; None if the notebook does not declare it, or the text is a reference."""
    if "${" in text or "{{" in text or (declared is not None and name not in declared):
        return None
    return from_text(text, declared.get(name) if declared is not None else None)


def _retries(task: Task) -> Iterator[tuple[str, Any]]:
    for name, high in (("max_retries", 100), ("min_retry_interval_millis", None), ("timeout_seconds", None)):
        value = task.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0 and (high is None or value <= high):
            yield name, value
    if task.get("retry_on_timeout") is True:
        yield "retry_on_timeout", True
