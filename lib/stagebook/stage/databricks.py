"""Databricks as a stage sees it: the one module that knows `dbutils`."""

import sys
from dataclasses import dataclass
from typing import Any

from stagebook.databricks.export.tasks import KIT_PREFIX
from stagebook.errors import ConfigError
from stagebook.notebooks.parameters import contradiction, from_text, typed


@dataclass(frozen=True)
class DatabricksNotebook:
    """The utilities of a notebook on Databricks, or of the dbutils shim."""

    dbutils: Any

    def widget(self, name: str) -> str | None:
        """The text of a widget, which is how a task's parameters come; None where there is no such widget."""
        return self.dbutils.widgets.getAll().get(name)

    def setting(self, name: str, default: str | None = None) -> str:
        """What the exported job sets for the kit: the widget `stagebook_<name>`.

        Raises:
            ConfigError: there is none, and no default.
        """
        value = self.widget(f"{KIT_PREFIX}{name}") or default
        if value is None:
            raise ConfigError(
                f"this notebook has no widget '{KIT_PREFIX}{name}'.\n"
                "  A job that `stagebook databricks export` wrote sets it where its target has catalog, schema and\n"
                f"  volume. In an interactive notebook: dbutils.widgets.text('{KIT_PREFIX}{name}', '…')."
            )
        return value

    def set_task_value(self, name: str, value: Any) -> None:
        """Set a task value, for tasks downstream."""
        self.dbutils.jobs.taskValues.set(key=name, value=value)

    def exit(self, value: str) -> None:
        """End the notebook, successfully."""
        self.dbutils.notebook.exit(value)

    def secret(self, scope: str, key: str) -> str:
        return self.dbutils.secrets.get(scope=scope, key=key)


def databricks_notebook() -> DatabricksNotebook | None:
    """Databricks, where this process is a notebook there; None on any other machine."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    utilities = shell.user_ns.get("dbutils") if shell is not None else None
    return DatabricksNotebook(utilities) if hasattr(utilities, "widgets") else None


def parse_parameter(name: str, text: str, default: Any, annotation: str | None) -> Any:
    """A parameter's value from the text that a job passes.

    Args:
        annotation: the annotation's text; None: the type of the default.
    Raises:
        ConfigError: the text is no such value.
    """
    kind = type(default).__name__ if type(default) in (bool, int, float, list, dict) else None
    parameter = typed(name, annotation or kind)
    if text == "null" and parameter.type is not None and contradiction(parameter, None) is None:
        return None
    value = from_text(text, parameter)
    if value is None:
        raise ConfigError(
            f"parameter '{name}': the job passes {text!r}, and the notebook's annotation is {parameter.annotation}."
        )
    return value
