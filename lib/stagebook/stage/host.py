"""Databricks as a stage meets it: the one place that knows `dbutils`."""

import sys
from dataclasses import dataclass
from typing import Any

from stagebook.errors import ConfigError
from stagebook.jobs.tasks import HANDED_ON
from stagebook.notebook.parameters import contradiction, typed
from stagebook.notebook.values import from_text


@dataclass(frozen=True)
class Host:
    """The utilities of a notebook on Databricks, or of a stand-in for it."""

    dbutils: Any

    def widget(self, name: str) -> str | None:
        """The text of a widget, which is how a task's parameters come; None where there is no such widget."""
        return self.dbutils.widgets.getAll().get(name)

    def told(self, name: str, default: str | None = None) -> str:
        """What the exported job hands on for the kit: the widget `stagebook_<name>`.

        Raises:
            ConfigError: there is none, and no default.
        """
        value = self.widget(f"{HANDED_ON}{name}") or default
        if value is None:
            raise ConfigError(
                f"this notebook has no widget '{HANDED_ON}{name}'.\n"
                "  A job that `stagebook export databricks` wrote hands it on where its target has catalog, schema\n"
                f"  and volume. In an interactive notebook: dbutils.widgets.text('{HANDED_ON}{name}', '…')."
            )
        return value

    def hand_on(self, name: str, value: Any) -> None:
        """Set a task value, for tasks downstream."""
        self.dbutils.jobs.taskValues.set(key=name, value=value)

    def secret(self, scope: str, key: str) -> str:
        return self.dbutils.secrets.get(scope=scope, key=key)


def host() -> Host | None:
    """Databricks, where this process is a notebook there; None on any other machine."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    utilities = shell.user_ns.get("dbutils") if shell is not None else None
    return Host(utilities) if hasattr(utilities, "widgets") else None


def value_of(name: str, text: str, default: Any, of: str | None) -> Any:
    """A parameter's value from the text that a job passes.

    Args:
        of: the annotation's text; None: the type of the default.
    Raises:
        ConfigError: the text stands for no such value.
    """
    plain = type(default).__name__ if type(default) in (bool, int, float, list, dict) else None
    parameter = typed(name, of or plain)
    if text == "null" and parameter.type is not None and contradiction(parameter, None) is None:
        return None
    value = from_text(text, parameter)
    if value is None:
        raise ConfigError(
            f"parameter '{name}': the job passes {text!r}, and the notebook wants {parameter.annotation}."
        )
    return value
