"""Values that are typed on the command line or set in the environment: parameters, and conditions on a table.

For a parameter that takes texts, what was typed is the value; for all others it is read as YAML. `name:=value` is read
as YAML in any case.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from stagebook.config import yaml_file
from stagebook.config.findings import Finding
from stagebook.config.merge import Merged
from stagebook.errors import ConfigError, did_you_mean
from stagebook.model.tables import Predicate
from stagebook.notebooks.parameters import Parameter, contradiction

PREFIX = "STAGEBOOK_PARAM_"
GATE = "gate"

_CONDITION = re.compile(r"\s*(?P<column>.+?)\s*(?P<op><=|>=|!=|=|<|>|\sin\s)\s*(?P<value>.+?)\s*", re.DOTALL)


Declared = Mapping[str, Parameter] | None
"""A notebook's parameters by name; None if it does not say which it has."""


@dataclass(frozen=True)
class Flags:
    """What the command line sets on top of the parameter files.

    `locations` gives the file and line of parameters that a sweep file sets: `name:=value` → `file:line`.
    """

    parameters: tuple[str, ...] = ()
    retries: int | None = None
    engine: str | None = None
    runs_dir: Path | None = None
    warehouse: Path | None = None
    max_cost: Decimal | None = None
    kernel_name: str | None = None
    locations: Mapping[str, str] = field(default_factory=dict)


def override_parameters(
    merged: Merged, environ: Mapping[str, str], flags: Flags, declared: Mapping[str, Declared], texts: Collection[str]
) -> list[Finding]:
    """Lay environment variables, then `-p` flags, over the merged files; a finding for each that cannot be read.

    A parameter set for all stages also replaces what a file sets for one stage: `-p seed=3` means every stage.

    Args:
        declared: the parameters of each stage's notebook.
        texts: the stages that take any parameter, as text.
    """
    overrides = _Overrides(merged, declared, texts)
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        overrides.set_variable(variable, environ[variable])
    for flag in flags.parameters:
        overrides.set_flag(flag, flags.locations.get(flag, f"-p {flag}"))
    return overrides.findings


class UnfitText(ConfigError):
    """What was typed is no value of the parameter."""


class _Overrides:
    """Single parameters that replace those of the merged files."""

    def __init__(self, merged: Merged, declared: Mapping[str, Declared], texts: Collection[str]) -> None:
        self._merged, self._declared, self._texts = merged, declared, texts
        self._names = {name for names in declared.values() for name in names or ()}
        self._names |= set(merged.values.get("parameters", {}))
        self.findings: list[Finding] = []

    def set_variable(self, variable: str, text: str) -> None:
        """`STAGEBOOK_PARAM_<NAME>` or `STAGEBOOK_PARAM_<STAGE>__<NAME>`, in upper case."""
        stage, _, name = variable.removeprefix(PREFIX).rpartition("__")
        stage = _matching(stage, self._declared) if stage else ""
        name = _matching(name, self._declared.get(stage) or () if stage else self._names)
        self._set(stage, name, text, variable)

    def set_flag(self, flag: str, location: str) -> None:
        """`name=value` or `stage.name=value`; with `:=` the value is read as YAML."""
        target, equals, text = flag.partition("=")
        if not equals:
            self.findings.append(Finding(location, "", "this is not name=value."))
            return
        stage, _, name = target.removesuffix(":").strip().rpartition(".")
        self._set(stage, name, text, location, as_yaml=target.endswith(":"))

    def _set(self, stage: str, name: str, text: str, location: str, *, as_yaml: bool = False) -> None:
        if stage and stage not in self._declared:
            hint = did_you_mean(stage, list(self._declared))
            allowed = ", ".join(self._declared)
            self.findings.append(Finding(location, "", f"there is no stage '{stage}'.{hint}", allowed))
            return
        try:
            values = {owner: self._value(owner, name, text, as_yaml) for owner in self._owners(stage, name)}
        except ConfigError as error:
            self.findings.append(Finding(location, "", str(error)))
            return
        is_same = len({(type(value), repr(value)) for value in values.values()}) == 1
        if stage:
            self._merged.put(("stages", stage, "parameters", name), values[stage], location)
        elif name == GATE and GATE in self._merged.values:
            self._merged.put((GATE,), values[""], location)  # the section, so that its rules are checked
        elif is_same:
            self._merged.put(("parameters", name), next(iter(values.values())), location)
            for stage_name in self._declared:
                self._merged.drop(("stages", stage_name, "parameters", name))
        else:  # text for one notebook, and a number for another
            self._merged.drop(("parameters", name))
            for owner, value in values.items():
                self._merged.put(("stages", owner, "parameters", name), value, location)

    def _owners(self, stage: str, name: str) -> list[str]:
        """The stages that a value is for; `""` stands for the pipeline where no notebook declares the name."""
        if stage:
            return [stage]
        declaring = [owner for owner, names in self._declared.items() if name in (names or ())]
        return (declaring or sorted(self._texts) or [""]) if name != GATE else [""]

    def _value(self, owner: str, name: str, text: str, as_yaml: bool) -> Any:
        """The value that a text means for a stage.

        Raises:
            ConfigError: it is no YAML, or no value of the parameter.
        """
        if not text.isascii() and not _is_unicode(text):
            raise UnfitText(f"{text!r} is not UTF-8 text.")
        parameter = (self._declared.get(owner) or {}).get(name)
        if not as_yaml and (owner in self._texts or (parameter is not None and parameter.takes_text)):
            return None if text == "null" and _may_be_none(parameter) else text
        if not text.strip():
            raise UnfitText("the value is empty; nothing is written null.")
        value = yaml_file.parse_value(text)
        if not as_yaml and isinstance(value, str) and parameter is not None and _is_number(parameter):
            message = f"{text!r} is text, and the parameter's default is {parameter.default!r}."
            raise UnfitText(f"{message} If text is meant: {name}:={json.dumps(text)}")
        return value


def _may_be_none(parameter: Parameter | None) -> bool:
    """Whether the parameter's annotation allows None beside its texts."""
    return parameter is not None and parameter.type is not None and contradiction(parameter, None) is None


def _is_number(parameter: Parameter) -> bool:
    """Whether the parameter is a number or a boolean, as far as only its default says."""
    return parameter.annotation is None and isinstance(parameter.default, int | float)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _matching(text: str, names: Collection[str]) -> str:
    """The name that equals a text in upper case; without one, the text in lower case."""
    return next((name for name in names if name.upper() == text.upper()), text.lower())


def parse_condition(text: str) -> Predicate:
    """The condition on a table of a `--where` flag, such as `month = 12`; its value is read as YAML.

    Raises:
        ConfigError: if the text is not a condition, with an example.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"--where '{text}': this is no condition.\n"
            "  A condition is a column, one of = != < <= > >= in, and a value: --where 'dest in [SAN, LAX]'"
        )
    try:
        value = yaml_file.parse_value(match["value"])
    except ConfigError as error:
        raise ConfigError(f"--where '{text}': {error}") from None
    return cast(Predicate, (match["column"], match["op"].strip(), value))
