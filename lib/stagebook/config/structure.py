"""The base of all models of parameter files, and fitting merged values to a model with every finding at once.

What does not fit is reported and left out, so that the remaining keys are still checked in the same go.
"""

import copy
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from stagebook.config.findings import Finding
from stagebook.config.merge import Merged
from stagebook.config.yaml_file import Key
from stagebook.errors import did_you_mean

NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_-]{0,99}$")
Name = Annotated[str, Field(pattern=NAME.pattern)]
MAX_PATH_BYTES, MAX_NAME_BYTES = 4000, 255
"""What file systems take, of a path and of each name in it."""


def _fits_file_systems(path: str) -> str:
    if len(path.encode()) > MAX_PATH_BYTES or any(len(name.encode()) > MAX_NAME_BYTES for name in path.split("/")):
        raise ValueError(f"a path has at most {MAX_PATH_BYTES:,} bytes, and each name in it {MAX_NAME_BYTES}")
    return path


FilePath = Annotated[str, AfterValidator(_fits_file_systems)]
"""A path that a file system can hold."""

_ROUNDS = 20


class Strict(BaseModel):
    """A section of a parameter file: unknown keys are findings, values are not coerced, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)


def parse(merged: Merged, model: type[Model]) -> tuple[Model | None, list[Finding]]:
    """The model of the values that fit (None if too little fits), and a finding for each key that does not."""
    findings: list[Finding] = []
    pruned = Merged(copy.deepcopy(merged.values), merged.locations)
    for _ in range(_ROUNDS):
        try:
            return model.model_validate(pruned.values), findings
        except ValidationError as error:
            reported = {finding.key for finding in findings}
            round_findings = [_finding(detail, merged, model) for detail in error.errors()]
            findings += [finding for finding in round_findings if finding.key not in reported]
            for key in sorted({_key_to_drop(detail) for detail in error.errors()}, key=len, reverse=True):
                if not key:
                    return None, findings
                pruned.drop(key)
    return None, findings


def _key_of(detail: Any) -> Key:
    return tuple(part for part in detail["loc"] if part != "[key]")


def _key_to_drop(detail: Any) -> Key:
    """The key that an error names, or for a missing key the mapping around it."""
    key = _key_of(detail)
    return key[:-1] if detail["type"] == "missing" else key


def _finding(detail: Any, merged: Merged, model: type[BaseModel]) -> Finding:
    key = _key_of(detail)
    dotted = ".".join(map(str, key))
    where = merged.where(key)
    match detail["type"]:
        case "extra_forbidden":
            allowed = _keys_at(model, key[:-1])
            return Finding(where, dotted, f"unknown key.{did_you_mean(str(key[-1]), allowed)}", ", ".join(allowed))
        case "missing":
            return Finding(merged.where(key[:-1]), dotted, "this key is required.")
        case "literal_error" | "enum":
            allowed = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
            hint = did_you_mean(str(detail["input"]), allowed)
            return Finding(where, dotted, f"{detail['input']!r} is not allowed.{hint}", ", ".join(allowed))
        case "string_pattern_mismatch" if detail["ctx"]["pattern"] == NAME.pattern:
            message = f"{detail['input']!r} is not a name: letters, digits, '_' and '-', a letter first."
            return Finding(where, dotted, message)
        case _:
            reason = detail["msg"].removeprefix("Value error, ").replace("Input should be", "it should be")
            value = str(detail["input"]) if isinstance(detail["input"], Decimal) else repr(detail["input"])
            text = value if len(value) <= 60 else value[:57] + "…"
            return Finding(where, dotted, f"{text}: {reason[0].lower()}{reason[1:]}.")


def _keys_at(model: type[BaseModel], key: Sequence[str | int]) -> list[str]:
    """The keys that are allowed in the mapping at `key`."""
    annotation: Any = model
    for part in key:
        if _is_model(annotation):
            fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
            annotation = fields[str(part)].annotation
        else:
            annotation = get_args(annotation)[-1]
        if type(None) in get_args(annotation):
            annotation = next((arg for arg in get_args(annotation) if _is_model(arg)), annotation)
    return sorted(field.alias or name for name, field in annotation.model_fields.items())


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
