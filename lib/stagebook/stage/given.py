"""What a stage is given by the machine that it runs on: parameters of a job, and secrets."""

import os
from typing import Any

from stagebook.errors import ConfigError
from stagebook.stage.host import host, value_of
from stagebook.standins.secrets import variable


def parameter(name: str, default: Any, of: str | None = None) -> Any:
    """The value that a Databricks job passes for a parameter; the default everywhere else.

    Exported notebooks call it below their parameters cell; papermill sets parameters by itself.

    Args:
        of: the parameter's annotation as text, such as `list[int]`; None: the type of the default.
    Raises:
        ConfigError: the job passes a text that stands for no such value.
    """
    there = host()
    text = None if there is None else there.widget(name)
    return default if text is None else value_of(name, text, default, of)


def secret(scope: str, key: str) -> str:
    """A secret: of a scope on Databricks, of the environment variable `<SCOPE>_<KEY>` elsewhere.

    Raises:
        ConfigError: naming the variable, never a value.
    """
    if (there := host()) is not None:
        return there.secret(scope, key)
    if (value := os.environ.get(variable(scope, key))) is None:
        raise ConfigError(f"secret '{key}' of scope '{scope}': set the environment variable {variable(scope, key)}.")
    return value
