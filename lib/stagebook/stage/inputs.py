"""What the machine gives a stage: parameters of a Databricks job, and secrets."""

import os
from typing import Any

from stagebook.dbutils.secrets import environment_variable
from stagebook.errors import ConfigError
from stagebook.stage.databricks import databricks_notebook, parse_parameter


def parameter(name: str, default: Any, of: str | None = None) -> Any:
    """The value that a Databricks job passes for a parameter; the default everywhere else.

    Exported notebooks call it below their parameters cell; papermill sets parameters by itself.

    Args:
        of: the parameter's annotation as text, such as `list[int]`; None: the type of the default.
    Raises:
        ConfigError: the job passes a text that is no such value.
    Example:
        >>> stage.parameter("seed", 13)
        13
    """
    notebook = databricks_notebook()
    text = None if notebook is None else notebook.widget(name)
    return default if text is None else parse_parameter(name, text, default, of)


def secret(scope: str, key: str) -> str:
    """A secret: of a scope on Databricks, of the environment variable `<SCOPE>_<KEY>` elsewhere.

    Raises:
        ConfigError: naming the variable, never a value.
    Example:
        >>> os.environ["WAREHOUSE_TOKEN"] = "t0ken"
        >>> stage.secret("warehouse", "token")
        't0ken'
    """
    if (notebook := databricks_notebook()) is not None:
        return notebook.secret(scope, key)
    if (value := os.environ.get(environment_variable(scope, key))) is None:
        raise ConfigError(
            f"secret '{key}' of scope '{scope}': set the environment variable {environment_variable(scope, key)}."
        )
    return value
