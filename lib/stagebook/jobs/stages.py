"""From the tasks of a Databricks job to stages of a parameter file: what a stage can say of a task."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stagebook.jobs.check.subject import dependencies
from stagebook.model.pipeline import RunIf
from stagebook.notebook.parameters import Parameter
from stagebook.notebook.values import from_text
from stagebook.params.basics import NAME
from stagebook.params.references import references

_NAMED = re.compile(r"\{\{\s*job\.parameters\.(?P<parameter>[\w-]+)\s*\}\}|\$\{(?P<variable>(var|bundle)\.[\w-]+)\}")

Task = Mapping[str, Any]
Declared = Callable[[str], Mapping[str, Parameter] | None]
"""The path of a notebook → the parameters that it declares; None where it declares none or is not there."""


@dataclass(frozen=True)
class Tasks:
    """A job's tasks by key, and what is a stage among them."""

    by_key: Mapping[str, Task]
    job_parameters: Mapping[str, Any]  # name → default
    variables: Mapping[str, str]  # of the bundle: `var.x` → what it is in the default target
    notebook: Callable[[str], str]  # a task's notebook_path → the path in the parameter file
    declared: Declared

    def is_stage(self, key: str) -> bool:
        """Whether a task is a notebook that a stage can stand for."""
        run = self.by_key[key].get("notebook_task")
        return (
            NAME.fullmatch(key) is not None and isinstance(run, Mapping) and isinstance(run.get("notebook_path"), str)
        )

    def path(self, key: str) -> str:
        """The notebook of a stage, as the parameter file names it."""
        return self.notebook(self.by_key[key]["notebook_task"]["notebook_path"])

    def condition(self, key: str) -> tuple[str, str] | None:
        """The condition task right in front of a stage, and the reference that `only_if` can hold of it."""
        above = dependencies(self.by_key[key])
        if len(above) != 1 or above[0].get("outcome") != "true" or "run_if" in self.by_key[key]:
            return None
        name = above[0]["task_key"]
        test = self.by_key.get(name, {}).get("condition_task")
        if not isinstance(test, Mapping) or (test.get("op"), test.get("right")) != ("EQUAL_TO", "true"):
            return None
        left = str(test.get("left"))
        found = list(references(left))
        if len(found) != 1 or found[0][0] != left or found[0][1] not in self._stages_above(name, frozenset()):
            return None
        return name, left

    def stages(self) -> dict[str, dict[str, Any]]:
        """The stages, with all that a stage can say."""
        return {key: self._stage(key) for key in self.by_key if self.is_stage(key)}

    def _stage(self, key: str) -> dict[str, Any]:
        task = self.by_key[key]
        stage: dict[str, Any] = {"notebook": self.path(key)}
        condition = self.condition(key)
        before = self.by_key[condition[0]] if condition else task
        if above := [name for up in dependencies(before) for name in self._stage_or_above(up["task_key"])]:
            stage["depends_on"] = list(dict.fromkeys(above))
        if before.get("run_if") in set(RunIf):
            stage["run_if"] = before["run_if"]
        if condition:
            stage["only_if"] = condition[1]
        stage |= dict(_retries(task))
        if parameters := dict(self._parameters(key)):
            stage["parameters"] = parameters
        return stage

    def _stage_or_above(self, key: str) -> list[str]:
        if key in self.by_key and self.is_stage(key):
            return [key]
        return sorted(self._nearest_above(key, frozenset()))

    def _nearest_above(self, key: str, seen: frozenset[str]) -> set[str]:
        """The stages nearest upstream of a task, through tasks that are none."""
        found: set[str] = set()
        for up in dependencies(self.by_key.get(key, {})):
            name = up["task_key"]
            if name in self.by_key and name not in seen:
                found |= {name} if self.is_stage(name) else self._nearest_above(name, seen | {name})
        return found

    def _stages_above(self, key: str, seen: frozenset[str]) -> set[str]:
        """All stages upstream of a task."""
        found: set[str] = set()
        for up in dependencies(self.by_key.get(key, {})):
            name = up["task_key"]
            if name in self.by_key and name not in seen:
                found |= ({name} if self.is_stage(name) else set()) | self._stages_above(name, seen | {name})
        return found

    def _parameters(self, key: str) -> Iterator[tuple[str, Any]]:
        """What fits the notebook. A job's parameter wins over a task's, so that one is left out."""
        given = self.by_key[key]["notebook_task"].get("base_parameters")
        declared, above = self.declared(self.path(key)), self._stages_above(key, frozenset())
        for name, text in given.items() if isinstance(given, Mapping) else ():
            if not isinstance(text, str) or not name.isidentifier() or name in self.job_parameters:
                continue
            text = self.by_default(text)
            if "{{" in text:
                if (declared is None or name in declared) and all(up in above for _, up, _ in references(text)):
                    yield name, text
            elif (value := known_value(name, text, declared)) is not None:
                yield name, value

    def by_default(self, text: str) -> str:
        """The text, with parameters of the job and variables of the bundle as they are by default."""

        def known(reference: re.Match[str]) -> str:
            if variable := reference["variable"]:
                return self.variables.get(variable, reference[0])
            value = self.job_parameters.get(reference["parameter"])
            return _NAMED.sub(known, value) if isinstance(value, str) and "{{" not in value else reference[0]

        return _NAMED.sub(known, text)


def known_value(name: str, text: str, declared: Mapping[str, Parameter] | None) -> Any | None:
    """The value of a parameter, or None where the text is no value for the notebook: a variable, or not declared."""
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
