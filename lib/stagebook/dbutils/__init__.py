"""The dbutils shim: `dbutils` without a workspace, for notebooks that were written for Databricks.

A stage puts it into such a notebook (`stagebook.stage.databricks_shell`), and so do the emulated tasks of the tests.
Names, argument names and kinds of errors are Databricks'; what makes no sense on one machine is refused with a reason.

    dbutils = Dbutils(widgets={"day": "2013-01-01"}, task_values=…, secrets=MappingSecrets({"mail": {"key": "…"}}))
"""

from collections.abc import Mapping
from pathlib import Path

from stagebook.dbutils.errors import InputWidgetNotDefined
from stagebook.dbutils.files import FileSystem
from stagebook.dbutils.notebook import LibraryUtility, NotebookExit, NotebookUtility
from stagebook.dbutils.secrets import EnvironmentSecrets, MappingSecrets, Secrets, SecretSource
from stagebook.dbutils.task_values import Jobs, TaskValues
from stagebook.dbutils.widgets import Widgets

__all__ = [
    "Dbutils",
    "EnvironmentSecrets",
    "InputWidgetNotDefined",
    "MappingSecrets",
    "NotebookExit",
    "SecretSource",
    "TaskValues",
]


class Dbutils:
    """`dbutils` as a notebook sees it."""

    def __init__(
        self,
        widgets: Mapping[str, str],
        task_values: TaskValues | None,
        secrets: SecretSource,
        volumes: Path | None = None,
    ) -> None:
        """Args:
        widgets: the job's parameters, texts by name.
        task_values: of this task and those upstream; None outside of a job.
        volumes: the local folder for `/Volumes`; None: there are no volumes.
        """
        self.widgets = Widgets(widgets)
        self.jobs = Jobs(task_values)
        self.secrets = Secrets(secrets)
        self.fs = FileSystem(volumes)
        self.notebook = NotebookUtility()
        self.library = LibraryUtility()
