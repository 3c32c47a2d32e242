"""The recorder of a live run: keeps journal, record and `run.json` in step."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stagebook.errors import Unwritable
from stagebook.model.record import AttemptStatus, RunRecord
from stagebook.runs.events import Event, apply
from stagebook.runs.folders import RunFolder
from stagebook.runs.journal import Journal

Listener = Callable[[Event, RunRecord], None]

RESERVE, RECORD_RESERVE = "run.reserve", "run.reserve.json"
RESERVE_BYTES = 64 * 1024
"""What a file holds free on a disk that becomes full: one for the last events of a run, one for its last `run.json`."""

SAVING_SHARE = 0.1
"""Of a run's time, at most this part goes into rewriting `run.json`, whatever the number of stages."""


class RunRecorder(AbstractContextManager["RunRecorder"]):
    """Takes events from any thread: journal first, then the record, then the subscribers.

    `run.json` holds the whole record, so it is not rewritten with each event of a run of many stages: it
    follows when the last rewriting is as long ago as `SAVING_SHARE` asks for, and when the run begins or ends. It can
    be derived again at any time, so a full disk ends the run only where it keeps an event from the journal.
    """

    def __init__(self, folder: RunFolder, clock: Callable[[], datetime]) -> None:
        self.folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._record = folder.load()
        self._journal = Journal(folder.events)
        self._reserve, self._record_reserve = folder.path / RESERVE, folder.path / RECORD_RESERVE
        for reserve in (self._reserve, self._record_reserve):
            with suppress(OSError):
                reserve.write_bytes(b"\0" * RESERVE_BYTES)
        self._listeners: list[Listener] = []
        self._saved_at = float("-inf")
        self._pause = 0.0
        self._later: threading.Timer | None = None

    @property
    def record(self) -> RunRecord:
        """The record as of the last event.

        Raises:
            LookupError: before the first `run_started`.
        """
        if self._record is None:
            raise LookupError("the run has not been started")
        return self._record

    def last_seen(self) -> dict[str, str]:
        """When each attempt whose runner was killed last gave a sign of life, by stage."""
        return {
            name: self.folder.last_seen(name, attempt.n, since=attempt.started_at)
            for name, stage in self.record.stages.items()
            for attempt in stage.attempts
            if attempt.status is AttemptStatus.RUNNING
        }

    def subscribe(self, listener: Listener) -> None:
        """Call `listener(event, record)` after each event, in the thread that emits it."""
        self._listeners.append(listener)

    def emit(self, name: str, **fields: Any) -> None:
        """Journal one event, change the record by it; `run.json` follows.

        Raises:
            Unwritable: the disk takes no more. The event is in the journal where its reserve was enough.
        """
        self.emit_all([(name, fields)])

    def emit_optional(self, name: str, **fields: Any) -> None:
        """As `emit` for an event that nothing depends on: on a full disk it is left out."""
        with suppress(Unwritable):
            self.emit_all([(name, fields)], is_optional=True)

    def emit_all(self, named: Sequence[tuple[str, Mapping[str, Any]]], *, is_optional: bool = False) -> None:
        """Several events that are true at once: written to the disk together."""
        if not named:
            return
        full: Unwritable | None = None
        with self._lock:
            at = stamp(self._clock())
            events: list[Event] = [{"at": at, "event": name, **fields} for name, fields in named]
            try:
                self._journal.append(*events)
            except Unwritable as fault:
                if is_optional or not _release(self._reserve):
                    raise
                self._journal.append(*events)
                full = fault
            for event in events:
                self._record = apply(self._record, event)
            self._save(at_once=any(name.startswith("run_") for name, _ in named))
            for event in events:
                for listener in self._listeners:
                    listener(event, self.record)
        if full is not None:
            raise full

    def _save(self, *, at_once: bool) -> None:
        """Rewrite `run.json` now, or as soon as its share of the time allows."""
        wait = self._saved_at + self._pause - time.monotonic()
        if at_once or wait <= 0:
            self._save_now()
        elif self._later is None:
            self._later = threading.Timer(wait, self._save_late)
            self._later.daemon = True
            self._later.start()

    def _save_now(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        began = time.monotonic()
        try:
            self.folder.save(self.record)
        except OSError:
            self._save_in_reserve()
        self._saved_at = time.monotonic()
        self._pause = (self._saved_at - began) / SAVING_SHARE

    def _save_in_reserve(self) -> None:
        """On a full disk only the end of the run is worth the reserve; the journal has all of it in any case."""
        if self.record.finished_at is not None and _release(self._record_reserve):
            with suppress(OSError):
                self.folder.save(self.record)

    def _save_late(self) -> None:
        with self._lock:
            if self._later is threading.current_thread():
                self._save_now()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._later is not None:
                self._save_now()
            for reserve in (self._reserve, self._record_reserve):
                _release(reserve)
            self._journal.close()


def _release(reserve: Path) -> bool:
    """Free what a file holds free; whether there was something."""
    try:
        reserve.unlink()
    except OSError:
        return False
    return True


def stamp(moment: datetime) -> str:
    """UTC ISO 8601 with milliseconds: `2026-11-23T23:53:06.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
