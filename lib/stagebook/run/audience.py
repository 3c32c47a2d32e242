"""Those who are told of a run: MLflow, the system tables, and whoever wants a notice. What fails is kept, and said."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from stagebook import notify
from stagebook.ledger.post import post
from stagebook.model.pipeline import Pipeline, Tracking
from stagebook.storage.runs import RunFolder
from stagebook.track import sync

NOTIFY_SECONDS = 20.0


@dataclass(frozen=True)
class Audience:
    """Where a pipeline's runs are told."""

    tracking: Tracking
    notifications: Mapping[str, Any]
    tables: Path

    @classmethod
    def of(cls, pipeline: Pipeline) -> Self:
        """That of a pipeline."""
        return cls(pipeline.tracking, pipeline.notifications, pipeline.places.tables)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "tracking": asdict(self.tracking),
            "notifications": dict(self.notifications),
            "tables": str(self.tables),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The audience that `to_json` has written."""
        return cls(Tracking(**value["tracking"]), value["notifications"], Path(value["tables"]))

    def tell_mlflow(self, folder: RunFolder, *, final: bool) -> dict[str, Any]:
        """What the record has that MLflow does not; where it is there.

        Raises:
            TrackingUnavailable, TrackingRefused: see `track.sync`.
        """
        record = folder.load()
        return sync.sync(record, self.tracking, folder.path, final=final) if record else {}

    def tell_all(self, folder: RunFolder) -> list[str]:
        """The last word to everybody; the problems there were."""
        return [
            *_tried("tracking", lambda: self.tell_mlflow(folder, final=True)),
            *_tried("system tables", lambda: self.enter(folder)),
            *self.notify(folder),
        ]

    def enter(self, folder: RunFolder) -> None:
        """The record into the system tables, as far as the run got."""
        if record := folder.load():
            post([record], self.tables, datetime.now(UTC).date())

    def notify(self, folder: RunFolder) -> list[str]:
        """The notice of how the run ended, where one is wanted; the problems there were."""
        record = folder.load()
        notice = notify.plan(record, self.notifications, report=folder.report) if record else None
        urls = notify.urls(os.environ)
        return notify.send(notice, urls, timeout=NOTIFY_SECONDS) if notice and urls else []


def in_short(error: BaseException) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def _tried(what: str, task: Callable[[], object]) -> list[str]:
    try:
        task()
    except Exception as error:
        return [f"{what}: {in_short(error)}"]
    return []
