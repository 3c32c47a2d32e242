"""Which fields the events of a journal have, and of which type: what a line without a checksum is checked by."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from stagebook.model.record import AttemptStatus, RunStatus, StageStatus

Check = Callable[[Any], bool]
MAX_NUMBER = 1e15


def _is(*types: type) -> Check:
    return lambda value: isinstance(value, types)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_NUMBER


def _is_count(value: Any) -> bool:
    return _is_number(value) and isinstance(value, int)


def _is_time(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _mapping_of(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _fields(**required: Check) -> Check:
    def check(value: Any) -> bool:
        return isinstance(value, dict) and all(name in value and holds(value[name]) for name, holds in required.items())

    return check


def _status(kind: type[StrEnum]) -> Check:
    return lambda value: isinstance(value, str) and value in set(kind)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_text, _mapping = _is(str), _is(dict)
_stages = _mapping_of(_fields(notebook=_text, depends_on=_are_texts))
_versions = _mapping_of(_is_count)

_REQUIRED: dict[str, Mapping[str, Check]] = {
    "run_started": {
        "run_id": _text,
        "pipeline": _text,
        "params_files": _are_texts,
        "parameters": _mapping,
        "request": _mapping,
        "git": _mapping,
        "environment": _mapping,
        "pins": _versions,
        "stages": _stages,
    },
    "run_resumed": {"stages": _stages, "kept": _are_texts},
    "stage_settled": {"stage": _text, "status": _status(StageStatus), "why": _text},
    "attempt_started": {
        "stage": _text,
        "n": _is_count,
        "why": _text,
        "parameters": _mapping,
        "engine": _or_none(_text),
        "inputs": _versions,
        "notebook": _text,
    },
    "attempt_finished": {
        "stage": _text,
        "n": _is_count,
        "status": _status(AttemptStatus),
        "seconds": _is_number,
        "error": _or_none(_mapping),
        "scraps": _mapping,
        "peak_rss_bytes": _or_none(_is_number),
        "cpu_seconds": _or_none(_is_number),
    },
    "tracking_linked": {"mlflow": _mapping},
    "minute_measured": {"start": _is_time, "end": _is_time, "stages": _are_texts},
    "run_finished": {"status": _status(RunStatus), "exit_code": _is_count},
    "run_reaped": {"last_seen": _mapping_of(_is_time), "ended_at": _is_time, "exit_code": _is_count},
}

_OPTIONAL: Mapping[str, Check] = {
    "rates": _mapping_of(_mapping),
    "reserved_usd": _is_number,
    "machine": _mapping,
    "last_seen": _mapping_of(_is_time),
    "inputs": _versions,
    "outputs": _mapping_of(_fields(version=_is_count)),
    "scraps": _mapping,
    "parameters": _mapping,
    "reuse": _mapping,
    "saved_usd": _or_none(_is_number),
    "choice": _or_none(_mapping),
}


def shape_problem(event: Any) -> str | None:
    """Why a value cannot be an event; None where it can."""
    if not isinstance(event, dict):
        return f"it is no event but {type(event).__name__}"
    name = event.get("event")
    if not isinstance(name, str) or name not in _REQUIRED:
        return f"there is no event {name!r}"[:200]
    required = {"at": _is_time, **_REQUIRED[name]}
    if missing := [field for field in required if field not in event]:
        return f"the event '{name}' lacks '{missing[0]}'"
    checks = {**_OPTIONAL, **required}
    wrong = [field for field, value in event.items() if field in checks and not checks[field](value)]
    return f"'{wrong[0]}' of the event '{name}' cannot be {event[wrong[0]]!r}"[:200] if wrong else None
