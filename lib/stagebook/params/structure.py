"""From merged values to the model that they must fit: every structural finding at once.

What does not fit is reported and left out, so that the rest can still be checked in the same go.
"""

import copy
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from stagebook.errors import did_you_mean
from stagebook.params.findings import Finding
from stagebook.params.merge import Merged

Model = TypeVar("Model", bound=BaseModel)
_ROUNDS = 20


def parse(merged: Merged, model: type[Model]) -> tuple[Model | None, list[Finding]]:
    """The spec of what fits, and a finding for each key that does not."""
    findings: list[Finding] = []
    pruned = Merged(copy.deepcopy(merged.values), merged.places)
    for _ in range(_ROUNDS):
        try:
            return model.model_validate(pruned.values), findings
        except ValidationError as error:
            reported = {finding.key for finding in findings}
            found = [_finding(detail, merged, model) for detail in error.errors()]
            findings += [finding for finding in found if finding.key not in reported]
            for key in sorted({_culprit(detail) for detail in error.errors()}, key=len, reverse=True):
                if not key:
                    return None, findings
                pruned.drop(key)
    return None, findings


def _culprit(detail: Any) -> tuple[str | int, ...]:
    """The key to leave out: the one named, or the mapping around a key that is missing."""
    key = tuple(part for part in detail["loc"] if part != "[key]")
    return key[:-1] if detail["type"] == "missing" else key


def _finding(detail: Any, merged: Merged, model: type[BaseModel]) -> Finding:
    key = tuple(part for part in detail["loc"] if part != "[key]")
    shown = ".".join(map(str, key))
    where = merged.where(key)
    match detail["type"]:
        case "extra_forbidden":
            allowed = _fields_at(model, key[:-1])
            return Finding(where, shown, f"unknown key.{did_you_mean(str(key[-1]), allowed)}", ", ".join(allowed))
        case "missing":
            return Finding(merged.where(key[:-1]), shown, "this key is required.")
        case "literal_error" | "enum":
            allowed = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
            hint = did_you_mean(str(detail["input"]), allowed)
            return Finding(where, shown, f"{detail['input']!r} is not allowed.{hint}", ", ".join(allowed))
        case "string_pattern_mismatch":
            return Finding(
                where,
                shown,
                f"{detail['input']!r} is not a name: letters, digits, '_' and '-', a letter first.",
            )
        case _:
            message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "it should be")
            given = str(detail["input"]) if isinstance(detail["input"], Decimal) else repr(detail["input"])
            return Finding(
                where,
                shown,
                f"{given if len(given) <= 60 else given[:57] + '…'}: {message[0].lower()}{message[1:]}.",
            )


def _fields_at(model: type[BaseModel], key: Sequence[str | int]) -> list[str]:
    """The keys that the model at this place has."""
    kind: Any = model
    for part in key:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = {field.alias or name: field for name, field in kind.model_fields.items()}[str(part)].annotation
        else:
            kind = get_args(kind)[-1]
        kind = (
            next((a for a in get_args(kind) if isinstance(a, type) and issubclass(a, BaseModel)), kind)
            if _optional(kind)
            else kind
        )
    return sorted(field.alias or name for name, field in kind.model_fields.items())


def _optional(kind: Any) -> bool:
    return type(None) in get_args(kind)
