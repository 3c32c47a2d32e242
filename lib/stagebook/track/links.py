"""Which MLflow runs belong to a run: kept in its folder, one writer at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stagebook.errors import TrackingUnavailable
from stagebook.model.pipeline import Tracking
from stagebook.storage import atomic
from stagebook.track.connection import public

LOCK_SECONDS = 60.0


@dataclass
class Links:
    """`mlflow.json`. `sent` holds fingerprints of what was sent last, `artifacts` size and time of files."""

    tracking_uri: str
    experiment_id: str | None = None
    run_id: str | None = None
    stages: dict[str, str] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, list[int]] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Written at each new id, so that a crash forgets none."""
        atomic.write_json(folder / "mlflow.json", asdict(self))

    def public(self) -> dict[str, Any]:
        """What the record keeps of it."""
        known = ("tracking_uri", "experiment_id", "run_id", "stages")
        return {key: value for key, value in asdict(self).items() if key in known}


@contextmanager
def held(folder: Path, tracking: Tracking) -> Iterator[Links]:
    """The links of a run for one process at a time; empty ones where another server is meant now.

    Raises:
        TrackingUnavailable: another process holds them for a minute.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "mlflow.lock", timeout=LOCK_SECONDS):
            uri = public(tracking.uri)
            known = atomic.read_json(folder / "mlflow.json") or {}
            yield Links(**known) if known.get("tracking_uri") == uri else Links(uri)
    except Timeout as fault:
        raise TrackingUnavailable.of(public(tracking.uri), "another process is telling it") from fault
