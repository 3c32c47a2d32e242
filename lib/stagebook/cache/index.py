"""Which run has the result of a key: one small file a key, derived from the journals and lost without harm."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from stagebook import atomic

FOLDER = ".results"


@dataclass(frozen=True)
class CachedResult:
    """The run that has a result.

    `accepted` says that a person took it for current although something had changed; `files` and `observed` are the
    digests of files as of then (None: as the result has them).
    """

    run_id: str
    accepted: bool = False
    files: Mapping[str, str] | None = None
    observed: Mapping[str, str] | None = None


def remember(runs: Path, key: str, cached: CachedResult) -> None:
    """Keep who has the result of `key`. A full disk, or a crash before it is written, costs a run again."""
    file = _file(runs, key)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(cached)), encoding="utf-8")


def recall(runs: Path, key: str) -> CachedResult | None:
    """Who has the result of `key`, or None where nobody is known to."""
    try:
        value = atomic.read_json(_file(runs, key))
        return None if value is None else CachedResult(**value)
    except (ValueError, TypeError):
        return None


def _file(runs: Path, key: str) -> Path:
    return runs / FOLDER / key[:2] / f"{key}.json"
