"""The ids of a run's MLflow runs, in `mlflow.json` in the run's folder; one process writes at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from stagebook import atomic
from stagebook.errors import TrackingUnavailable
from stagebook.model.pipeline import Tracking
from stagebook.tracking.connection import public_uri

FILE = "mlflow.json"
LOCK_SECONDS = 60.0


@dataclass
class Links:
    """The content of `mlflow.json`.

    `sent` maps a stage (the run itself: empty) to the fingerprint of the view that was sent last, `artifacts` a path
    to the size and the modification time of the file that was sent, `notes` a stage to what MLflow holds differently.
    """

    tracking_uri: str
    experiment_id: str | None = None
    run_id: str | None = None
    stages: dict[str, str] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, list[int]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path, uri: str) -> Self:
        """What the file says of this address; empty where it is damaged, and the ids are found again by tag."""
        saved = atomic.readable_json(folder / FILE)
        if not isinstance(saved, dict) or saved.get("tracking_uri") != uri:
            return cls(uri)
        kinds = {item.name: type(getattr(cls(uri), item.name)) for item in fields(cls)}
        usable = {name: value for name, value in saved.items() if name in kinds and isinstance(value, kinds[name])}
        ids = {name: saved.get(name) for name in ("experiment_id", "run_id") if isinstance(saved.get(name), str)}
        return cls(**{**usable, **ids})

    def save(self, folder: Path) -> None:
        """Write the file. Called after each new id, so that a crash loses none."""
        atomic.write_json(folder / FILE, asdict(self))

    def for_record(self) -> dict[str, Any]:
        """The part that the run's record contains: address and ids, and notes if there are any."""
        keys = ("tracking_uri", "experiment_id", "run_id", "stages")
        notes = [note for lines in self.notes.values() for note in lines]
        return {key: value for key, value in asdict(self).items() if key in keys} | ({"notes": notes} if notes else {})


@contextmanager
def locked_links(folder: Path, tracking: Tracking) -> Iterator[Links]:
    """The links of a run, locked against other processes; empty if they belong to another tracking server.

    Raises:
        TrackingUnavailable: another process holds the lock for a minute.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "mlflow.lock", timeout=LOCK_SECONDS):
            yield Links.load(folder, public_uri(tracking.uri))
    except Timeout as fault:
        raise TrackingUnavailable.of(public_uri(tracking.uri), "another process is sending this run") from fault
