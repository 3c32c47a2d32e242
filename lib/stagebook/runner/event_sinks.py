"""Where a run is reported to as it goes: MLflow, the system tables, notices. What fails is kept, and said."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from stagebook import notify
from stagebook.formatting import first_line
from stagebook.model.pipeline import Pipeline, Tracking
from stagebook.runs.folders import RunFolder
from stagebook.system_tables.write import write_runs
from stagebook.tracking import sync

NOTIFY_SECONDS = 20.0


@dataclass(frozen=True)
class EventSinks:
    """The sinks of a pipeline's runs. `tables` is the folder of its tables."""

    tracking: Tracking
    notifications: Mapping[str, Any]
    tables: Path

    @classmethod
    def of(cls, pipeline: Pipeline) -> Self:
        """Those of a pipeline."""
        return cls(pipeline.tracking, pipeline.notifications, pipeline.paths.tables)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "tracking": asdict(self.tracking),
            "notifications": dict(self.notifications),
            "tables": str(self.tables),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The sinks that `to_json` has written."""
        return cls(Tracking(**value["tracking"]), value["notifications"], Path(value["tables"]))

    def sync_mlflow(self, folder: RunFolder, *, final: bool) -> dict[str, Any]:
        """Send to MLflow what it lacks of the record; gives the ids of its runs.

        Raises:
            TrackingUnavailable, TrackingRefused: see `tracking.sync`.
        """
        record = folder.load()
        return sync.sync(record, self.tracking, folder.path, final=final) if record else {}

    def finish(self, folder: RunFolder, skip_tracking: Exception | None = None) -> list[str]:
        """The last word to all sinks; the problems there were.

        Args: skip_tracking: why MLflow is not asked again.
        """
        tracking = [f"tracking: {one_line(skip_tracking)}"] if skip_tracking is not None else []
        return [
            *(tracking or _problems("tracking", lambda: self.sync_mlflow(folder, final=True))),
            *_problems("system tables", lambda: self.post_to_system_tables(folder)),
            *self.notify(folder),
        ]

    def post_to_system_tables(self, folder: RunFolder) -> None:
        """Enter the record into the system tables, as far as the run got."""
        if record := folder.load():
            write_runs([record], self.tables, datetime.now(UTC).date())

    def notify(self, folder: RunFolder) -> list[str]:
        """Send the notice of how the run ended, where one is asked for; the problems there were."""
        record = folder.load()
        notice = notify.notice_for(record, self.notifications, report=folder.report) if record else None
        urls = notify.urls(os.environ)
        return notify.send(notice, urls, timeout=NOTIFY_SECONDS) if notice and urls else []


def one_line(error: BaseException) -> str:
    """An error in a line."""
    return first_line(f"{type(error).__name__}: {error}")


def _problems(sink: str, task: Callable[[], object]) -> list[str]:
    try:
        task()
    except Exception as error:
        return [f"{sink}: {one_line(error)}"]
    return []
