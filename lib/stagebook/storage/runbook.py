"""The open book of a live run: journal, record and `run.json` kept in step."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from stagebook.model.events import Event, apply
from stagebook.model.record import RunRecord
from stagebook.storage.journal import Journal
from stagebook.storage.runs import RunFolder

Listener = Callable[[Event, RunRecord], None]


class RunBook(AbstractContextManager["RunBook"]):
    """Takes events from any thread: journal first, then the record, then whoever listens."""

    def __init__(self, folder: RunFolder, clock: Callable[[], datetime]) -> None:
        self.folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._record = folder.load()
        self._journal = Journal(folder.events)
        self._listeners: list[Listener] = []

    @property
    def record(self) -> RunRecord:
        """The record as of the last event.

        Raises:
            LookupError: before the first `run_started`.
        """
        if self._record is None:
            raise LookupError("the run has not been started")
        return self._record

    def listen(self, listener: Listener) -> None:
        """Call `listener(event, record)` after each event, in the telling thread."""
        self._listeners.append(listener)

    def tell(self, name: str, **fields: Any) -> None:
        """Journal one event, change the record by it and rewrite `run.json`."""
        self.tell_all([(name, fields)])

    def tell_all(self, told: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Several events that are true at once: written to the disk together."""
        if not told:
            return
        with self._lock:
            at = stamp(self._clock())
            events: list[Event] = [{"at": at, "event": name, **fields} for name, fields in told]
            self._journal.append(*events)
            for event in events:
                self._record = apply(self._record, event)
            self.folder.save(self.record)
            for event in events:
                for listener in self._listeners:
                    listener(event, self.record)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()


def stamp(moment: datetime) -> str:
    """UTC ISO 8601 with milliseconds: `2026-11-23T23:53:06.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
