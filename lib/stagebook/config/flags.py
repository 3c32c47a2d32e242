"""Values that are typed on the command line or set in the environment: parameters, and conditions on a table."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import cast

from stagebook.config import yaml_file
from stagebook.config.findings import Finding
from stagebook.config.merge import Merged
from stagebook.errors import ConfigError, did_you_mean
from stagebook.model.tables import Predicate

PREFIX = "STAGEBOOK_PARAM_"
GATE = "gate"

_CONDITION = re.compile(r"\s*(?P<column>.+?)\s*(?P<op><=|>=|!=|=|<|>|\sin\s)\s*(?P<value>.+?)\s*", re.DOTALL)


@dataclass(frozen=True)
class Flags:
    """What the command line sets on top of the parameter files.

    `locations` gives the file and line of parameters that a sweep file sets: `name=value` → `file:line`.
    """

    parameters: tuple[str, ...] = ()
    retries: int | None = None
    engine: str | None = None
    runs_dir: Path | None = None
    warehouse: Path | None = None
    max_cost: Decimal | None = None
    locations: Mapping[str, str] = field(default_factory=dict)


def override_parameters(
    merged: Merged, environ: Mapping[str, str], flags: Flags, declared: Mapping[str, Sequence[str]]
) -> list[Finding]:
    """Lay environment variables, then `-p` flags, over the merged files; a finding for each that cannot be read.

    A parameter set for all stages also replaces what a file sets for one stage: `-p seed=3` means every stage.

    Args:
        declared: the names of each stage's parameters.
    """
    overrides = _Overrides(merged, declared)
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        overrides.set_variable(variable, environ[variable])
    for flag in flags.parameters:
        overrides.set_flag(flag, flags.locations.get(flag, f"-p {flag}"))
    return overrides.findings


class _Overrides:
    """Single parameters that replace those of the merged files."""

    def __init__(self, merged: Merged, declared: Mapping[str, Sequence[str]]) -> None:
        self._merged, self._declared = merged, declared
        self._names = {name for names in declared.values() for name in names} | set(merged.values.get("parameters", {}))
        self.findings: list[Finding] = []

    def set_variable(self, variable: str, text: str) -> None:
        """`STAGEBOOK_PARAM_<NAME>` or `STAGEBOOK_PARAM_<STAGE>__<NAME>`, in upper case."""
        stage, _, name = variable.removeprefix(PREFIX).rpartition("__")
        stage = _matching(stage, self._declared) if stage else ""
        name = _matching(name, self._declared.get(stage, ()) if stage else self._names)
        self._set(stage, name, text, variable)

    def set_flag(self, flag: str, location: str) -> None:
        """`name=value` or `stage.name=value`."""
        target, equals, text = flag.partition("=")
        if not equals:
            self.findings.append(Finding(location, "", "this is not name=value."))
            return
        stage, _, name = target.strip().rpartition(".")
        self._set(stage, name, text, location)

    def _set(self, stage: str, name: str, text: str, location: str) -> None:
        try:
            value = yaml_file.parse_value(text)
        except yaml_file.InvalidYaml as error:
            self.findings.append(Finding(location, "", str(error)))
            return
        if stage and stage not in self._declared:
            hint = did_you_mean(stage, list(self._declared))
            allowed = ", ".join(self._declared)
            self.findings.append(Finding(location, "", f"there is no stage '{stage}'.{hint}", allowed))
        elif stage:
            self._merged.put(("stages", stage, "parameters", name), value, location)
        elif name == GATE and GATE in self._merged.values:
            self._merged.put((GATE,), value, location)  # the section, so that its rules are checked
        else:
            self._merged.put(("parameters", name), value, location)
            for stage_name in self._declared:
                self._merged.drop(("stages", stage_name, "parameters", name))


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
