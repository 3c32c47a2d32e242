"""Which run has the result of a key: one small file a key, derived from the journals and lost without harm."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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


def forget(runs: Path, key: str) -> None:
    """Remove what is in the place of an entry and is none."""
    with suppress(OSError):
        file = _file(runs, key)
        if file.is_dir():
            file.rename(file.with_name(f"{file.name}.damaged"))
        file.unlink(missing_ok=True)


def recall(runs: Path, key: str) -> CachedResult | None:
    """Who has the result of `key`, or None where nobody is known to."""
    match atomic.readable_json(_file(runs, key)):
        case {"run_id": str(run_id), **others}:
            accepted, files, observed = (others.get(name) for name in ("accepted", "files", "observed"))
            return CachedResult(run_id, accepted is True, _digests(files), _digests(observed))
    return None


def _digests(value: Any) -> Mapping[str, str] | None:
    return value if isinstance(value, dict) else None


def _file(runs: Path, key: str) -> Path:
    return runs / FOLDER / key[:2] / f"{key}.json"
