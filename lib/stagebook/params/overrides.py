"""Single parameters from the environment and from `-p`, laid over the parameter files."""

from collections.abc import Mapping, Sequence
from typing import Any

from stagebook.errors import did_you_mean
from stagebook.params import yaml_file
from stagebook.params.findings import Finding
from stagebook.params.merge import Merged

PREFIX = "STAGEBOOK_PARAM_"
GATE = "gate"


def apply(
    merged: Merged,
    environ: Mapping[str, str],
    flags: Sequence[tuple[str, str]],
    declared: Mapping[str, Sequence[str]],
) -> list[Finding]:
    """Lay environment variables, then `-p` flags, over the merged files; what cannot be read is a finding.

    A parameter that is set for all stages here also replaces what a file says for one stage: whoever
    types `-p seed=3` means every stage. `declared` gives each stage's parameter names, `flags` come with where
    they were said.
    """
    findings: list[Finding] = []
    names = {name for stage in declared.values() for name in stage} | set(merged.values.get("parameters", {}))
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        stage, _, name = variable.removeprefix(PREFIX).rpartition("__")
        stage = _matching(stage, declared) if stage else ""
        name = _matching(name, declared.get(stage, ()) if stage else names)
        _put(merged, stage, name, environ[variable], variable, declared, findings)
    for flag, place in flags:
        target, equals, text = flag.partition("=")
        if not equals:
            findings.append(Finding(place, "", "this is not name=value."))
            continue
        stage, _, name = target.strip().rpartition(".")
        _put(merged, stage, name, text, place, declared, findings)
    return findings


def _matching(name: str, known: Sequence[str] | set[str] | Mapping[str, Any]) -> str:
    """The known name that equals this one when case is set aside; else its lower case."""
    return next((other for other in known if other.upper() == name.upper()), name.lower())


def _put(
    merged: Merged,
    stage: str,
    name: str,
    text: str,
    place: str,
    declared: Mapping[str, Sequence[str]],
    findings: list[Finding],
) -> None:
    try:
        value = yaml_file.scalar(text)
    except yaml_file.InvalidYaml as error:
        findings.append(Finding(place, "", str(error)))
        return
    if stage and stage not in declared:
        hint = did_you_mean(stage, list(declared))
        findings.append(Finding(place, "", f"there is no stage '{stage}'.{hint}", ", ".join(declared)))
    elif stage:
        merged.put(("stages", stage, "parameters", name), value, place)
    elif name == GATE and GATE in merged.values:
        merged.put((GATE,), value, place)  # the section, so that its rules are checked
    else:
        merged.put(("parameters", name), value, place)
        for other in declared:
            merged.drop(("stages", other, "parameters", name))
