"""Conditions on a table as they are typed: `month = 12`, `dest in [SAN, LAX]`."""

import re
from typing import cast

from stagebook.errors import ConfigError
from stagebook.model.tables import Predicate
from stagebook.params import yaml_file

_CONDITION = re.compile(r"\s*(?P<column>.+?)\s*(?P<op><=|>=|!=|=|<|>|\sin\s)\s*(?P<value>.+?)\s*", re.DOTALL)


def parse(text: str) -> Predicate:
    """The condition of a flag; its value is YAML, as that of a parameter is.

    Raises:
        ConfigError: if it is none, with an example.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"--where '{text}': this is no condition.\n"
            "  A condition is a column, one of = != < <= > >= in, and a value: --where 'dest in [SAN, LAX]'"
        )
    try:
        value = yaml_file.scalar(found["value"])
    except ConfigError as fault:
        raise ConfigError(f"--where '{text}': {fault}") from None
    return cast(Predicate, (found["column"], found["op"].strip(), value))
