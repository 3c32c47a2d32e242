"""Stand-ins for what Databricks puts into a notebook: `dbutils` without a workspace.

    dbutils = Dbutils(widgets={"day": "2013-01-01"}, task_values=…, secrets=Vault({"mail": {"key": "…"}}))

Names, argument names and kinds of errors are Databricks'. What has no meaning on one machine is refused in words.
"""

from collections.abc import Mapping
from pathlib import Path

from stagebook.standins.errors import InputWidgetNotDefined
from stagebook.standins.files import Files
from stagebook.standins.notebook import Library, Notebook, NotebookExit
from stagebook.standins.secrets import EnvironmentSecrets, Secrets, SecretSource, Vault
from stagebook.standins.task_values import Jobs, TaskValues
from stagebook.standins.widgets import Widgets

__all__ = [
    "Dbutils",
    "EnvironmentSecrets",
    "InputWidgetNotDefined",
    "NotebookExit",
    "SecretSource",
    "TaskValues",
    "Vault",
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
        widgets: what the job passes, texts by name.
        task_values: of this task and those upstream; None outside of a job.
        volumes: the folder that `/Volumes` stands for; None: there are no volumes here.
        """
        self.widgets = Widgets(widgets)
        self.jobs = Jobs(task_values)
        self.secrets = Secrets(secrets)
        self.fs = Files(volumes)
        self.notebook = Notebook()
        self.library = Library()
