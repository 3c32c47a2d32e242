"""Errors of the dbutils shim: those that Databricks raises too, and refusals of what one machine cannot do."""

from collections.abc import Sequence
from typing import Self

from stagebook.errors import PermanentError


class DbutilsError(PermanentError):
    """Base of the errors of the dbutils shim; permanent, since a second attempt would fail alike."""


class InputWidgetNotDefined(DbutilsError):
    """A notebook reads a widget that neither it nor its job has defined."""

    @classmethod
    def of(cls, name: str) -> Self:
        return cls(f"No input widget named {name} is defined")


class InvalidInputWidgetDefinition(DbutilsError):
    """A widget's default is not one of its choices."""

    @classmethod
    def of(cls, name: str, default: str, choices: Sequence[str]) -> Self:
        return cls(f"The default value {default!r} of widget {name} is not one of its choices: {', '.join(choices)}")


class NoTaskValue(DbutilsError, ValueError):
    """A notebook reads a task value of a task that is not upstream, or that has not set it."""

    @classmethod
    def of_task(cls, task: str) -> Self:
        return cls(f"No task '{task}' is upstream of this one. Add it to depends_on, or correct the name.")

    @classmethod
    def of_key(cls, task: str, key: str, keys: Sequence[str]) -> Self:
        return cls(f"Task '{task}' has not set a task value '{key}'. It has set: {', '.join(keys) or 'nothing'}.")


class SecretDoesNotExist(DbutilsError, ValueError):
    """A notebook reads a secret that does not exist."""

    @classmethod
    def of(cls, scope: str, key: str, hint: str) -> Self:
        return cls(f"Secret does not exist with scope: {scope} and key: {key}{hint}")


class NotebookRunUnsupported(DbutilsError):
    """A notebook calls `dbutils.notebook.run`, which starts a job of its own, and there is no workspace to run it."""

    @classmethod
    def of(cls, path: str) -> Self:
        return cls(
            f"dbutils.notebook.run({path!r}) would start a job of its own.\n"
            f"  Make '{path}' a stage of the pipeline, or include it with: %run {path}"
        )


class UnsupportedPath(DbutilsError, ValueError):
    """A notebook uses a path that only a workspace has."""

    @classmethod
    def of(cls, path: str, reason: str) -> Self:
        return cls(f"{path}: {reason}\n  On this machine, use /Volumes/<catalog>/<schema>/<volume>/… or a local path.")


class NoSparkSession(DbutilsError):
    """A notebook uses Spark's session, and its stage runs on another engine."""

    @classmethod
    def of(cls, stage: str, engine: str) -> Self:
        return cls(
            f"the notebook uses `spark`, and stage '{stage}' runs on {engine}.\n"
            f"  Set in the parameter file: stages.{stage}.engine: spark (or run with --engine spark)."
        )


class PackageMissing(DbutilsError):
    """A notebook installs a package that this environment does not have, or has in another version."""

    @classmethod
    def of(cls, requirement: str, installed: str | None) -> Self:
        state = "it is not installed" if installed is None else f"{installed} is installed"
        return cls(
            f"%pip install {requirement}: {state}, and notebooks do not change the environment of the pipeline.\n"
            f"  Install it once: uv add '{requirement}', or pip install '{requirement}'."
        )
