"""What a notebook that was written for Databricks is refused, or told as it would be there. None is worth a retry."""

from collections.abc import Sequence
from typing import Self

from stagebook.errors import PermanentError


class StandinError(PermanentError):
    """Base of what the stand-ins raise: a second attempt would meet the same."""


class InputWidgetNotDefined(StandinError):
    """A notebook asks for a widget that neither it nor its job has made."""

    @classmethod
    def of(cls, name: str) -> Self:
        return cls(f"No input widget named {name} is defined")


class InvalidInputWidgetDefinition(StandinError):
    """A widget's default is not one of its choices."""

    @classmethod
    def of(cls, name: str, default: str, choices: Sequence[str]) -> Self:
        return cls(f"The default value {default!r} of widget {name} is not one of its choices: {', '.join(choices)}")


class NoTaskValue(StandinError, ValueError):
    """A notebook asks for a task value of a task that is not upstream, or that has not set it."""

    @classmethod
    def of_task(cls, task: str) -> Self:
        return cls(f"No task '{task}' is upstream of this one. Add it to depends_on, or correct the name.")

    @classmethod
    def of_key(cls, task: str, key: str, known: Sequence[str]) -> Self:
        there = ", ".join(known) or "nothing"
        return cls(f"Task '{task}' has not set a task value '{key}'. It has set: {there}.")


class SecretDoesNotExist(StandinError, ValueError):
    """A notebook asks for a secret that there is not."""

    @classmethod
    def of(cls, scope: str, key: str, hint: str) -> Self:
        return cls(f"Secret does not exist with scope: {scope} and key: {key}{hint}")


class NotebookNotRun(StandinError):
    """`dbutils.notebook.run` starts a job of its own, and there is no workspace to run it."""

    @classmethod
    def of(cls, path: str) -> Self:
        return cls(
            f"dbutils.notebook.run({path!r}) would start a job of its own.\n"
            f"  Make '{path}' a stage of the pipeline, or include it with: %run {path}"
        )


class PathRefused(StandinError, ValueError):
    """A path that means nothing on one machine."""

    @classmethod
    def of(cls, path: str, why: str) -> Self:
        return cls(
            f"{path}: {why}\n  Files are reached here as /Volumes/<catalog>/<schema>/<volume>/… or as local paths."
        )


class SparkNotHere(StandinError):
    """A notebook uses Spark's session, and its stage computes on another engine."""

    @classmethod
    def of(cls, stage: str, engine: str) -> Self:
        return cls(
            f"the notebook uses `spark`, and stage '{stage}' computes on {engine}.\n"
            f"  Say in the parameter file: stages.{stage}.engine: spark (or run with --engine spark)."
        )


class PackageMissing(StandinError):
    """A notebook installs a package that this environment does not have."""

    @classmethod
    def of(cls, wanted: str, found: str | None) -> Self:
        there = "is not there" if found is None else f"is there as {found}"
        return cls(
            f"%pip install {wanted}: it {there}, and notebooks do not change the environment of the pipeline.\n"
            f"  Install it once: uv add '{wanted}', or pip install '{wanted}'."
        )
